"""The garbage collector, as kube-controller-manager's behaves; the bare kube-apiserver has none to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def ref(owner: dict[str, Any], *, blocking: bool = False) -> dict[str, Any]:
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}
    return {**reference, "blockOwnerDeletion": True} if blocking else reference


def test_dependents_go_with_their_owner_down_the_tree(server: Any, new_config_map: Callable[..., Any]) -> None:
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    child = server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(owner)]))
    server.done("POST", CONFIGMAPS, new_config_map("grandchild", ownerReferences=[ref(child)]))
    server.done("POST", CONFIGMAPS, new_config_map("stranger"))

    server.done("DELETE", f"{CONFIGMAPS}/owner")

    assert server.names(CONFIGMAPS) == ["stranger"]


def test_an_object_whose_owner_never_was_is_deleted(server: Any, new_config_map: Callable[..., Any]) -> None:
    absent = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "no-such-uid"}

    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[absent]))

    assert server.names(CONFIGMAPS) == []


def test_one_living_owner_keeps_an_object(server: Any, new_config_map: Callable[..., Any]) -> None:
    one = server.done("POST", CONFIGMAPS, new_config_map("one"))
    two = server.done("POST", CONFIGMAPS, new_config_map("two"))
    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(one), ref(two)]))

    server.done("DELETE", f"{CONFIGMAPS}/one")

    owners = server.done("GET", f"{CONFIGMAPS}/child")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["two"]


def test_an_owner_in_another_namespace_is_none(server: Any, new_config_map: Callable[..., Any]) -> None:
    owner = server.done("POST", "/api/v1/namespaces/kube-system/configmaps", new_config_map("owner"))

    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(owner)]))

    assert server.names(CONFIGMAPS) == []


def test_orphaned_dependents_stay_and_lose_the_reference(server: Any, new_config_map: Callable[..., Any]) -> None:
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(owner)]))

    server.done("DELETE", f"{CONFIGMAPS}/owner?propagationPolicy=Orphan")

    assert server.names(CONFIGMAPS) == ["child"]
    assert "ownerReferences" not in server.done("GET", f"{CONFIGMAPS}/child")["metadata"]


def test_in_the_foreground_the_owner_waits_for_what_blocks_it(server: Any, new_config_map: Callable[..., Any]) -> None:
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    child = new_config_map("child", ownerReferences=[ref(owner, blocking=True)], finalizers=["example.com/wait"])
    server.done("POST", CONFIGMAPS, child)

    server.done("DELETE", f"{CONFIGMAPS}/owner?propagationPolicy=Foreground")
    assert server.names(CONFIGMAPS) == ["child", "owner"]
    assert server.done("GET", f"{CONFIGMAPS}/owner")["metadata"]["finalizers"] == ["foregroundDeletion"]

    server.merge(f"{CONFIGMAPS}/child", {"metadata": {"finalizers": None}})
    assert server.names(CONFIGMAPS) == []


def test_in_the_foreground_what_does_not_block_is_not_waited_for(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    child = new_config_map("child", ownerReferences=[ref(owner)], finalizers=["example.com/wait"])
    server.done("POST", CONFIGMAPS, child)

    server.done("DELETE", f"{CONFIGMAPS}/owner?propagationPolicy=Foreground")

    assert server.names(CONFIGMAPS) == ["child"]
    assert "deletionTimestamp" in server.done("GET", f"{CONFIGMAPS}/child")["metadata"]


def test_without_control_loops_nothing_is_collected(new_server: Any, new_config_map: Callable[..., Any]) -> None:
    server = new_server(controllers=False)
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(owner)]))

    server.done("DELETE", f"{CONFIGMAPS}/owner")

    assert server.names(CONFIGMAPS) == ["child"]


def test_in_the_foreground_another_living_owner_keeps_an_object(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    one = server.done("POST", CONFIGMAPS, new_config_map("one"))
    two = server.done("POST", CONFIGMAPS, new_config_map("two"))
    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(one, blocking=True), ref(two)]))

    server.done("DELETE", f"{CONFIGMAPS}/one?propagationPolicy=Foreground")

    assert server.names(CONFIGMAPS) == ["child", "two"]
    owners = server.done("GET", f"{CONFIGMAPS}/child")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["two"]


def test_a_circle_of_owners_goes_in_the_foreground(server: Any, new_config_map: Callable[..., Any]) -> None:
    one = server.done("POST", CONFIGMAPS, new_config_map("one"))
    two = server.done("POST", CONFIGMAPS, new_config_map("two", ownerReferences=[ref(one, blocking=True)]))
    three = server.done("POST", CONFIGMAPS, new_config_map("three", ownerReferences=[ref(two, blocking=True)]))
    server.merge(f"{CONFIGMAPS}/one", {"metadata": {"ownerReferences": [ref(three, blocking=True)]}})

    server.done("DELETE", f"{CONFIGMAPS}/one?propagationPolicy=Foreground")

    assert server.names(CONFIGMAPS) == []


def test_an_object_without_namespace_is_not_collected_for_an_owner_in_one(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    space = {"metadata": {"name": "kept", "ownerReferences": [ref(owner)]}}

    server.done("POST", "/api/v1/namespaces", space)
    assert "kept" in server.names("/api/v1/namespaces")
    never = {**ref(owner), "uid": "never"}
    server.done("POST", "/api/v1/namespaces", {"metadata": {"name": "also-kept", "ownerReferences": [never]}})
    assert "also-kept" in server.names("/api/v1/namespaces")


def test_an_owner_of_a_kind_that_is_not_served_is_not_known_to_be_absent(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    owner = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "no-such-uid"}

    server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[owner]))

    assert server.names(CONFIGMAPS) == ["child"]


def test_dependents_go_with_the_definition_of_their_owner(widgets: Any, new_config_map: Callable[..., Any]) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    owner = widgets.done("POST", "/apis/example.com/v1/namespaces/default/widgets", widget)
    reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": owner["metadata"]["uid"]}
    widgets.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[reference]))

    widgets.done("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")

    assert widgets.names(CONFIGMAPS) == []


def test_many_dependents_go_in_parts(server: Any, new_config_map: Callable[..., Any]) -> None:
    for policy in ("Background", "Foreground", "Orphan"):
        owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
        for number in range(120):
            server.done("POST", CONFIGMAPS, new_config_map(f"c{number}", ownerReferences=[ref(owner, blocking=True)]))

        server.done("DELETE", f"{CONFIGMAPS}/owner?propagationPolicy={policy}")

        left = server.done("GET", CONFIGMAPS)["items"]
        assert len(left) == (120 if policy == "Orphan" else 0)
        assert not any("ownerReferences" in item["metadata"] for item in left)


def test_an_owner_that_waits_hears_of_a_dependent_that_had_dependents(
    server: Any, new_config_map: Callable[..., Any]
) -> None:
    owner = server.done("POST", CONFIGMAPS, new_config_map("owner"))
    child = server.done("POST", CONFIGMAPS, new_config_map("child", ownerReferences=[ref(owner, blocking=True)]))
    held = new_config_map("grandchild", ownerReferences=[ref(child)], finalizers=["example.com/wait"])
    server.done("POST", CONFIGMAPS, held)

    server.done("DELETE", f"{CONFIGMAPS}/owner?propagationPolicy=Foreground")

    assert server.names(CONFIGMAPS) == ["grandchild"]
