"""HTTP for probes and metrics: who may ask what is small, so that it answers when the rest of the process does not.

* `address`: an option's text to a listening socket, or one clear line why not.
* `http`: `HttpServer`, one loop thread that gathers request heads and a few workers that answer them.
* `dispatch`: method and path to a function; GET and HEAD only.
* `health`: named checks behind ``/healthz`` and ``/readyz``.
* `metrics`: ``/metrics``.

A server never knows what it serves, and no answer waits for the API server: a probe that hangs on it would make the
kubelet restart every replica at once when the API server is slow.
"""
