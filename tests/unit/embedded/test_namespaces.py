from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcontroller.api.keys import Key
from kcontroller.embedded.loops.namespaces import Namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

SPACES = "/api/v1/namespaces"
SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}


def test_a_namespace_takes_its_objects_with_it(widgets: Any, new_config_map: Callable[..., Any]) -> None:
    widgets.done("POST", SPACES, SPACE)
    widgets.done("POST", f"{SPACES}/team/configmaps", new_config_map("a"))
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    widgets.done("POST", "/apis/example.com/v1/namespaces/team/widgets", widget)

    widgets.done("DELETE", f"{SPACES}/team")

    assert "team" not in widgets.names(SPACES)
    assert widgets.names("/apis/example.com/v1/widgets") == []
    assert widgets.ask("GET", f"{SPACES}/team/configmaps/a")[0] == 404


def test_a_finalizer_inside_holds_the_namespace(server: Any, new_config_map: Callable[..., Any]) -> None:
    server.done("POST", SPACES, SPACE)
    server.done("POST", f"{SPACES}/team/configmaps", new_config_map("a", finalizers=["example.com/wait"]))

    server.done("DELETE", f"{SPACES}/team")
    assert server.done("GET", f"{SPACES}/team")["status"]["phase"] == "Terminating"
    code, status = server.ask("POST", f"{SPACES}/team/configmaps", new_config_map("b"))
    assert (code, status["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")

    server.merge(f"{SPACES}/team/configmaps/a", {"metadata": {"finalizers": None}})
    assert "team" not in server.names(SPACES)


def test_a_finalizer_of_its_own_holds_an_empty_namespace(server: Any) -> None:
    server.done("POST", SPACES, {**SPACE, "metadata": {"name": "team", "finalizers": ["example.com/wait"]}})

    server.done("DELETE", f"{SPACES}/team")
    assert server.done("GET", f"{SPACES}/team")["spec"] == {}

    server.merge(f"{SPACES}/team", {"metadata": {"finalizers": None}})
    assert "team" not in server.names(SPACES)


def test_nothing_is_created_in_a_namespace_that_is_not_there(server: Any, new_config_map: Callable[..., Any]) -> None:
    code, status = server.ask("POST", f"{SPACES}/nowhere/configmaps", new_config_map("a"))

    assert (code, status["message"]) == (404, 'namespaces "nowhere" not found')


def test_the_default_namespace_stays(server: Any) -> None:
    assert server.ask("DELETE", f"{SPACES}/default")[0] == 403


def test_many_objects_go_in_parts_and_nothing_else_waits_for_all_of_them(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    server.done("POST", SPACES, SPACE)
    for number in range(120):
        server.done("POST", f"{SPACES}/team/configmaps", new_config_map(f"c{number}"))
    namespaces = next(each for each in server.api.loops._controllers if isinstance(each, Namespaces))

    document = server.api.backend.store.get("", "namespaces", Key("", "team")).document()
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    server.api.backend.store.put("", "namespaces", document)
    assert namespaces.work(("", "team"))
    assert len(server.names(f"{SPACES}/team/configmaps")) == 70

    server.settle()
    assert "team" not in server.names(SPACES)


def test_a_namespace_of_the_same_name_that_came_since_is_not_emptied(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    server.done("POST", SPACES, SPACE)
    server.done("POST", f"{SPACES}/team/configmaps", new_config_map("a"))
    namespaces = next(each for each in server.api.loops._controllers if isinstance(each, Namespaces))

    namespaces.work(("", "team"))

    assert server.names(f"{SPACES}/team/configmaps") == ["a"]
