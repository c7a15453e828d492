"""An API server in one Python process: for demos, development and tests.

::

    from kcontroller.embedded.server import EmbeddedServer

    with EmbeddedServer() as server:
        server.write_kubeconfig(Path("kubeconfig"))

It speaks the API of kube-apiserver as clients see it: one sequence of versions, watches, apply, CustomResourceDefinitions,
discovery. ``tests/contract`` sends the same requests to it and to the real one. It has no admission webhooks, no CEL, no
RBAC, no conversion but by name, and keeps nothing on disk. ``docs/embedded-server.md`` says what else it does not do.

One request's way, by file:

1. ``server`` (thread, TLS, front ends) and ``app`` (HTTP) take it; ``identity`` says who asks; ``milo`` finds the control
   plane in its path; ``calls`` parses the rest against the catalog of ``kinds``; ``faults`` may have a rule for it;
   ``requests`` logs it.
2. ``discovery`` and ``openapi`` answer for the catalog, ``api`` for objects.
3. Reads: ``reads`` and ``watches`` take from ``store`` what ``selection`` lets pass, and ``representation`` (with
   ``tables``) writes it as the client asked.
4. Writes: ``bodies`` (with ``protobuf``) decodes; ``patching`` (with ``strategic``) and ``managed`` (with ``fields`` and
   ``merging``) make of a patch a document; ``writes`` takes it through ``structural``, ``validation``, ``metadata`` and
   ``strategies``; ``deletion`` deletes; ``scale`` is the subresource.
5. ``loops`` run after the request: ``crds`` (with ``definitions``), ``namespaces``, ``garbage``, ``projects``.

``boot`` puts it together. ``recorded`` reads the built-in kinds from ``data/``, which ``kcontroller.testing.recording``
wrote from a real kube-apiserver; ``schemas`` is how everything reads a schema, ``statuses`` how everything refuses.
"""
