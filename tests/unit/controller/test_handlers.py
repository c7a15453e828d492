from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.controller.event import Event
from kcontroller.controller.handlers import ForObject, ForOwner, Handler, Mapped
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, added, deleted, entry, owner, updated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.cache.store import Change

APPS = "apps/v1 Deployment"
EU = FakeCluster("eu", cluster_scoped=["v1 Node"])


def requests(handler: Handler, change: Change) -> list[Request]:
    return list(handler.requests(Event("eu", CONFIG_MAP, change), EU))  # type: ignore[arg-type]


def child(*owners: dict[str, Any]) -> Any:
    return entry("child", namespace="team", ownerReferences=list(owners))


@pytest.mark.parametrize("make", [added, deleted, lambda one: updated(one, one)])
def test_for_object_names_the_object_once(make: Any) -> None:
    assert requests(ForObject(), make(entry("a", namespace="team"))) == [Request("eu", "team", "a")]


def test_the_owners_before_and_after_are_named() -> None:
    change = updated(child(owner(APPS, "one")), child(owner(APPS, "other")))

    assert requests(ForOwner(gvk_of(APPS)), change) == [Request("eu", "team", "one"), Request("eu", "team", "other")]


def test_an_owner_that_stays_is_named_once() -> None:
    assert len(requests(ForOwner(gvk_of(APPS)), updated(child(owner(APPS, "a")), child(owner(APPS, "a"))))) == 1


@pytest.mark.parametrize("make", [added, deleted])
def test_owners_of_new_and_deleted_children_are_named(make: Any) -> None:
    assert requests(ForOwner(gvk_of(APPS)), make(child(owner(APPS, "a")))) == [Request("eu", "team", "a")]


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("apps/v1 Deployment", True),
        ("apps/v1beta1 Deployment", True),
        ("apps/v1 StatefulSet", False),
        ("extensions/v1 Deployment", False),
        ("v1 Deployment", False),
    ],
)
def test_group_and_kind_are_compared_and_the_version_is_not(reference: str, found: bool) -> None:  # noqa: FBT001
    assert bool(requests(ForOwner(gvk_of(APPS)), added(child(owner(reference, "a"))))) is found


def test_only_the_controller_counts_unless_every_owner_does() -> None:
    change = added(child(owner(APPS, "a", controller=False), owner(APPS, "b")))

    assert [each.name for each in requests(ForOwner(gvk_of(APPS)), change)] == ["b"]
    assert [each.name for each in requests(ForOwner(gvk_of(APPS), every_owner=True), change)] == ["a", "b"]


def test_a_cluster_scoped_owner_has_no_namespace() -> None:
    assert requests(ForOwner(gvk_of("v1 Node")), added(child(owner("v1 Node", "n")))) == [Request("eu", "", "n")]


def test_an_orphan_names_nobody() -> None:
    assert requests(ForOwner(gvk_of(APPS)), added(child())) == []


def test_a_malformed_owner_does_not_hide_the_others() -> None:
    strange = {"apiVersion": "///", "kind": "", "name": "x", "uid": "u", "controller": True}

    assert [each.name for each in requests(ForOwner(gvk_of(APPS)), added(child(strange, owner(APPS, "a"))))] == ["a"]


# ---- map functions ---------------------------------------------------------------------------------------------------


def by_label(_cluster: Any, obj: Any) -> Iterable[Key]:
    return [Key("team", obj.metadata.labels["to"])]


def test_a_map_function_is_asked_about_the_object_before_and_after() -> None:
    change = updated(entry("x", labels={"to": "old"}), entry("x", labels={"to": "new"}))

    assert requests(Mapped(by_label), change) == [Request("eu", "team", "old"), Request("eu", "team", "new")]


def test_the_same_request_twice_counts_once() -> None:
    change = updated(entry("x", labels={"to": "a"}), entry("x", labels={"to": "a"}))

    assert len(requests(Mapped(by_label), change)) == 1


def test_keys_are_of_the_same_cluster_and_requests_of_any() -> None:
    given = [Key("n", "a"), Request("us", "n", "b")]

    assert requests(Mapped(lambda _cluster, _obj: iter(given)), added(entry("x"))) == [
        Request("eu", "n", "a"),
        Request("us", "n", "b"),
    ]


def test_a_map_function_gets_the_cluster() -> None:
    seen = []
    requests(Mapped(lambda cluster, _obj: seen.append(cluster) or ()), added(entry("x")))  # type: ignore[func-returns-value]

    assert seen == [EU]


@pytest.mark.parametrize("answer", [["a"], [None], Key("n", "a"), [("n", "a")]])
def test_what_is_not_a_key_is_refused(answer: Any) -> None:
    with pytest.raises(TypeError, match="a map function must return Key or Request objects, got "):
        requests(Mapped(lambda _cluster, _obj: answer), added(entry("x")))


@pytest.mark.parametrize("broken", ["old", "new"])
def test_a_side_that_fails_does_not_lose_the_other(broken: str) -> None:
    sides = {"old": entry("x", labels={"to": "old"}), "new": entry("x", labels={"to": "new"})}
    sides[broken] = entry("x")
    handler = Mapped(by_label)
    heard = iter(handler.requests(Event("eu", CONFIG_MAP, updated(**sides)), EU))  # type: ignore[arg-type]

    assert next(heard).name == ("new" if broken == "old" else "old")
    with pytest.raises(KeyError):
        next(heard)


def test_map_functions_are_user_code_and_the_others_are_not() -> None:
    assert (Mapped(by_label).user_code, ForObject().user_code, ForOwner(gvk_of(APPS)).user_code) == (True, False, False)
