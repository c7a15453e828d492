from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kcontroller.api import codec, owners
from kcontroller.api.objects import Object, OwnerReference
from kcontroller.errors import AlreadyOwned
from tests.unit.api.kinds import meta, unstructured, widget

FORMS = pytest.mark.parametrize("make", [widget, unstructured])
Make = Callable[..., Any]


def child(*references: OwnerReference, namespace: str = "default") -> Object:
    obj = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}})
    if references:
        obj.metadata.owner_references = list(references)
    return obj


def reference(**changes: Any) -> OwnerReference:
    fields = {"api_version": "example.com/v1", "kind": "Widget", "name": "w", "uid": "u-1"}
    return OwnerReference(**{**fields, **changes})


@FORMS
def test_the_controller_is_marked_and_blocks_the_owners_deletion(make: Make) -> None:
    obj, owned = make(), child()
    assert owners.set_controller(obj, owned)
    assert owned.metadata.owner_references == [reference(controller=True, block_owner_deletion=True)]
    assert not owners.set_controller(obj, owned)
    assert owners.is_controlled_by(owned, obj)
    assert owners.controller_of(owned) == owned.metadata.owner_references[0]


def test_a_typed_child_can_be_owned() -> None:
    owned = widget(metadata=meta(name="child", uid="u-2"))
    assert owners.set_controller(unstructured(), owned, block_owner_deletion=False)
    assert codec.changed(owned)[1]["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "name": "w",
            "uid": "u-1",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def test_a_second_controller_is_refused() -> None:
    owned = child(reference(name="other", uid="u-9", controller=True))
    with pytest.raises(AlreadyOwned, match="c is already controlled by Widget other"):
        owners.set_controller(widget(), owned)
    assert [each.name for each in owned.metadata.owner_references] == ["other"]


@pytest.mark.parametrize("changes", [{"uid": "u-old"}, {"api_version": "example.com/v1alpha1"}])
def test_an_owner_is_found_again_by_group_kind_and_name(changes: dict[str, str]) -> None:
    owned = child(reference(controller=True, **changes))
    assert owners.set_controller(widget(), owned)
    assert owned.metadata.owner_references == [reference(controller=True, block_owner_deletion=True)]


def test_a_namesake_in_another_group_is_another_owner() -> None:
    owned = child(reference(api_version="other.com/v1", controller=True, uid="u-9"))
    with pytest.raises(AlreadyOwned):
        owners.set_controller(widget(), owned)


def test_a_dead_namesake_does_not_control_the_child() -> None:
    assert not owners.is_controlled_by(child(reference(uid="u-old", controller=True)), widget())
    assert not owners.is_controlled_by(child(reference(uid="", controller=True)), widget(metadata=meta(uid="")))
    assert not owners.is_controlled_by(child(reference()), widget())


def test_a_plain_owner_joins_the_others() -> None:
    owned = child(reference(name="first", uid="u-9", controller=True))
    assert owners.add_owner(widget(), owned)
    assert not owners.add_owner(widget(), owned)
    assert owned.metadata.owner_references == [reference(name="first", uid="u-9", controller=True), reference()]


def test_an_owner_is_removed_and_the_others_stay() -> None:
    owned = child(reference(name="first", uid="u-9"), reference(uid="u-old"))
    assert owners.remove_owner(widget(), owned)
    assert not owners.remove_owner(widget(), owned)
    assert [each.name for each in owned.metadata.owner_references] == ["first"]


def test_an_owner_that_was_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="Widget w has no uid; own children only with an object that was read"):
        owners.set_controller(widget(metadata={"name": "w", "namespace": "default"}), child())


@pytest.mark.parametrize(("namespace", "where"), [("other", "namespace 'other'"), ("", "the cluster scope")])
@pytest.mark.parametrize("own", [owners.set_controller, owners.add_owner])
def test_an_owner_of_another_namespace_is_refused(own: Make, namespace: str, where: str) -> None:
    with pytest.raises(ValueError, match=f"Widget default/w cannot own c in {where}"):
        own(widget(), child(namespace=namespace))


def test_a_cluster_scoped_owner_owns_in_any_namespace() -> None:
    node = Object({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u"}})
    assert owners.add_owner(node, child())


def test_nulls_in_a_reference_are_absent() -> None:
    owned = child()
    owned.data["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": None}
    ]
    assert owners.controller_of(owned) is None


def test_a_plain_owner_that_was_the_controller_is_none_any_more() -> None:
    owned = child(reference(controller=True, block_owner_deletion=True))
    assert owners.add_owner(widget(), owned)
    assert owned.metadata.owner_references == [reference()]
    assert owners.controller_of(owned) is None


@pytest.mark.parametrize("changes", [{}, {"uid": "u-old"}, {"api_version": "example.com/v1alpha1"}])
@pytest.mark.parametrize("controls", [True, None])
def test_an_owner_is_an_owner_whether_or_not_it_controls(changes: dict[str, str], *, controls: bool | None) -> None:
    assert owners.has_owner(widget(), child(reference(controller=controls, **changes)))


@pytest.mark.parametrize("other", [{"name": "first"}, {"kind": "Gadget"}, {"api_version": "other.com/v1"}])
def test_somebody_else_is_no_owner(other: dict[str, str]) -> None:
    assert not owners.has_owner(widget(), child(reference(**other)))
    assert not owners.has_owner(widget(), child())


def test_only_who_is_the_controller_is_removed_as_the_controller() -> None:
    first = reference(name="first", uid="u-9")
    owned = child(first, reference(uid="u-old", controller=True))
    assert owners.remove_controller(widget(), owned)
    assert not owners.remove_controller(widget(), owned)
    assert owned.metadata.owner_references == [first]

    for kept in (reference(), reference(name="other", uid="u-8", controller=True)):
        owned = child(kept)
        assert not owners.remove_controller(widget(), owned)
        assert owned.metadata.owner_references == [kept]
