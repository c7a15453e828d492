"""An object that no recursive decoder reads, made by anyone who may create a custom resource."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from kcontroller import Object, ObjectReconciler
from tests.integration.conftest import Seen, crd

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Context, Manager, Request, Result
    from kcontroller.testing.control_plane import ApiServer

DEPTH = 2000
DEEPS = "/apis/example.com/v1/namespaces/default/deeps"


class Watcher(ObjectReconciler[Object]):
    kind: ClassVar[str] = "example.com/v1 Deep"

    def __init__(self) -> None:
        self.seen = Seen()

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        self.seen.add(request.name)
        return None

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        raise AssertionError


def deep(name: str) -> str:
    """Write the object by hand: ``json.dumps`` gives up on it too."""
    head = {"apiVersion": "example.com/v1", "kind": "Deep", "metadata": {"name": name, "namespace": "default"}}
    return json.dumps({**head, "spec": "HERE"}).replace('"HERE"', '{"a":' * DEPTH + "1" + "}" * DEPTH)


def test_an_object_nested_too_deep_keeps_no_other_from_its_reconciler(
    server: ApiServer,
    start: Callable[..., Manager],
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert server.request("POST", definitions, crd("deeps", "Deep").data)[0] == 201
    eventually(lambda: server.request("GET", DEEPS)[0] == 200)

    def post(body: str) -> int:
        return server._exchange("POST", DEEPS, body, user="admin", seconds=10)[0]

    def plain(name: str) -> str:
        return deep(name).replace('{"a":' * DEPTH + "1" + "}" * DEPTH, "{}")

    try:
        assert post(deep("before")) == 201
        assert post(plain("first")) == 201
        watcher = Watcher()
        start(watcher)
        eventually(lambda: watcher.seen.count("first") == 1)
        assert post(deep("during")) == 201
        assert post(plain("second")) == 201
        eventually(lambda: watcher.seen.count("second") == 1)

        assert watcher.seen.snapshot().keys() == {"first", "second"}
    finally:
        server.request("DELETE", f"{definitions}/deeps.example.com")
