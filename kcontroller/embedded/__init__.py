"""An API server in one Python process: for demos, development and tests.

::

    from kcontroller.embedded.server import EmbeddedServer

    with EmbeddedServer() as server:
        server.write_kubeconfig(Path("kubeconfig"))

It speaks the API of kube-apiserver as clients see it: one sequence of versions, watches, apply, custom resources,
discovery. ``tests/contract`` sends the same requests to it and to the real one. It has no admission webhooks, CEL or
RBAC, no conversion but by name, and keeps nothing on disk; ``docs/embedded-server.md`` says what else it does not do.

One request's way, by file:

1. ``server`` (a thread, a port, certificates) and ``web/app`` take it; ``web/identity`` says who asks; ``milo`` finds
   the control plane in its path; ``calls`` parses the rest against the catalog of ``kinds``; ``faults`` may have a rule
   for it; ``requests`` logs it.
2. ``views/discovery`` and ``views/openapi`` answer for the catalog, ``api`` for objects.
3. Reads: ``reads`` and ``watches`` take from ``store`` what ``selection`` lets pass; ``views/representation`` writes it
   as the client asked.
4. Writes: ``intake`` takes in the body (``bodies``), or what ``patches`` made of the object; ``ownership`` keeps who
   owns which field and does apply; ``writes`` takes the document through ``strategies`` and ``validation`` into the
   store; ``deletion`` and ``scale`` are what their names say.
5. ``loops`` run after the request: definitions (``definitions``), namespaces, garbage, Milo's projects.

``boot`` puts it together. ``recorded`` reads the built-in kinds from ``data/``, which ``kcontroller.testing.recording``
wrote from a real kube-apiserver; ``schemas`` is how everything reads a schema, ``statuses`` how everything refuses.
"""
