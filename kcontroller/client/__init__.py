"""Verbs on objects, straight to the API server; this room knows no cache.

`client.Client` is what people call. It stands on two small ports that move bytes: a `Reader` and a `Writer`
(`ports.py`). `direct.py` implements both with HTTP; `kcontroller.cluster` puts its cache behind the same `Reader`, so
that a reconciler sees one client whether a read is answered from memory or from the server.
"""
