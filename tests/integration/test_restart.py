"""The API server dies and comes back under a running manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kcontroller import Manager, ManagerOptions, Object, ObjectReconciler, Request, Result, load_config
from tests.integration.conftest import OPTIONS, Seen, config_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Context
    from kcontroller.testing.control_plane import ControlPlane

CONFIG_MAP = "v1 ConfigMap"
PATH = "/api/v1/namespaces/default/configmaps"


class Watcher(ObjectReconciler[Object]):
    """Notes what it is asked about, and what it saw last."""

    kind: ClassVar[str] = CONFIG_MAP

    def __init__(self) -> None:
        self.seen = Seen()
        self.last: dict[str, str | None] = {}

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        self.last[request.name] = None if found is None else found.get("data.n")
        self.seen.add(request.name)
        return None

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        raise AssertionError


def test_a_killed_api_server_costs_no_event(
    fresh_control_plane: ControlPlane, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    plane = fresh_control_plane
    server = plane.servers[0]

    def create(name: str, value: str) -> None:
        assert server.request("POST", PATH, config_map("default", name, n=value))[0] == 201

    def change(name: str, value: str) -> None:
        assert server.request("PUT", f"{PATH}/{name}", config_map("default", name, n=value))[0] == 200

    def delete(name: str) -> None:
        assert server.request("DELETE", f"{PATH}/{name}")[0] == 200

    for name in ("changed", "recreated", "deleted-first", "deleted-second", "untouched"):
        create(name, "before")
    watcher = Watcher()
    manager = Manager(load_config(kubeconfig=str(plane.kubeconfig)), options=ManagerOptions(**OPTIONS))
    manager.add(watcher)
    with manager:
        assert manager.wait_ready(15), manager.pending()
        eventually(lambda: watcher.last.get("untouched") == "before")
        for cycle in ("first", "second"):
            plane.kill(0)
            eventually(lambda: CONFIG_MAP in manager.cluster().troubles())
            plane.start(0)
            change("changed", cycle)
            delete("recreated")
            create("recreated", cycle)
            create(f"short-lived-{cycle}", cycle)
            delete(f"short-lived-{cycle}")
            delete(f"deleted-{cycle}")
            create(f"created-{cycle}", cycle)
            expected = {"changed": cycle, "recreated": cycle, f"deleted-{cycle}": None, f"created-{cycle}": cycle}
            eventually(lambda wanted=expected: wanted.items() <= watcher.last.items())  # type: ignore[misc]
            eventually(lambda: same_as_server(manager, plane))
        assert not manager.cluster().troubles()
        assert watcher.seen.count("untouched") == 1, "what did not change is not told again"


def same_as_server(manager: Manager, plane: ControlPlane) -> bool:
    cached = {each.metadata.name: each.get("data") for each in manager.cluster().client.list(CONFIG_MAP)}
    _status, answer = plane.servers[0].request("GET", "/api/v1/configmaps")
    return cached == {each["metadata"]["name"]: each.get("data") for each in answer["items"]}
