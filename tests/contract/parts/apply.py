from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import INTEGER, STRING, closed, config_map, ingress

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("create, update, patch")

KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {**closed(name=STRING, port=INTEGER), "required": ["name"]},
}
LISTS = closed(
    spec=closed(
        keyed=KEYED,
        distinct={"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        whole={"type": "array", "x-kubernetes-list-type": "atomic", "items": STRING},
        plain={"type": "array", "items": STRING},
        one={**closed(x=STRING, y=STRING), "x-kubernetes-map-type": "atomic"},
    )
)


def in_order(body: Any) -> Any:
    """Sort the causes: kube-apiserver tells them in any order."""
    causes = sorted(body["details"]["causes"], key=lambda cause: cause["field"])
    return {**body, "details": {**body["details"], "causes": causes}}


@case
def applying_creates_and_then_changes(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}), expect=201)
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "2"}), expect=200)


@case
def applying_the_same_again_keeps_the_version(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}))
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}))


@case
def what_is_no_longer_applied_is_removed(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1", "goes": "1"}, labels={"l": "1"}))
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}))


@case
def what_another_also_applies_stays(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"shared": "1", "own": "1"}), "one")
    api.apply(f"{api.config_maps}/a", config_map("a", {"shared": "1"}), "two")
    api.apply(f"{api.config_maps}/a", config_map("a", {"own": "1"}), "one")
    api.apply(f"{api.config_maps}/a", config_map("a"), "two")


@case
def applying_what_another_applied_is_a_conflict(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1", "l": "1"}), "one")
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "2"}), "two", expect=409)
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "2", "l": "2"}), "two", expect=409)
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "2"}), "two", force=True)
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1", "l": "1"}), "one", expect=409)


@case
def applying_what_was_written_otherwise_is_a_conflict(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "1"}), fieldManager="writer")
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "2"}), "one", expect=409)
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}), "one")


@case
def conflicts_with_several_managers_are_listed(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}), "one")
    api.apply(f"{api.config_maps}/a", config_map("a", {"l": "1"}), "two")
    body = config_map("a", {"k": "2", "l": "2"})
    api.apply(f"{api.config_maps}/a", body, "three", expect=409, only=in_order)


@case
def an_update_takes_over_what_it_changes(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1", "l": "1"}), "one")
    api.patch(f"{api.config_maps}/a", {"data": {"k": "2"}}, fieldManager="editor")
    api.apply(f"{api.config_maps}/a", config_map("a", {"l": "1"}), "one")


@case
def applying_needs_a_manager(api: Dialogue) -> None:
    api.patch(f"{api.config_maps}/a", config_map("a"), "apply", expect=422)
    api.patch(f"{api.config_maps}/a", config_map("a"), "apply", fieldManager="m" * 129, expect=422)


@case
def only_applying_may_be_forced(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", {}, force=True, expect=422)


@case
def applying_cannot_carry_managed_fields(api: Dialogue) -> None:
    managed = [{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]
    api.apply(f"{api.config_maps}/a", config_map("a", managedFields=managed), expect=400)


@case
def applying_may_demand_a_version(api: Dialogue) -> None:
    made = api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}))
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "2"}, resourceVersion=made.version))
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "3"}, resourceVersion=made.version), expect=409)
    api.apply(f"{api.config_maps}/b", config_map("b", resourceVersion=made.version))


@case
def applying_names_its_kind_and_object(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", {"metadata": {"name": "a"}}, expect=400)
    api.apply(f"{api.config_maps}/a", {**config_map("a"), "kind": "Secret"}, expect=400)
    api.apply(f"{api.config_maps}/a", config_map("b"), expect=400)
    api.apply(f"{api.config_maps}/a", {"apiVersion": "v1", "kind": "ConfigMap"}, expect=400)


@case
def unknown_fields_of_an_apply_are_refused(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", {**config_map("a"), "unknown": 1}, expect=500)


@case
def applied_lists_merge_by_their_type(api: Dialogue) -> None:
    thing = api.define(schema=LISTS)
    one = {"keyed": [{"name": "x", "port": 1}], "distinct": ["a"], "whole": ["a"], "plain": ["a"], "one": {"x": "1"}}
    api.apply(f"{thing.path}/a", thing.make("a", spec=one), "one")
    two = {"keyed": [{"name": "y", "port": 2}], "distinct": ["b", "a"]}
    api.apply(f"{thing.path}/a", thing.make("a", spec=two), "two")
    api.apply(f"{thing.path}/a", thing.make("a", spec={"keyed": [{"name": "x", "port": 3}]}), "two", expect=409)
    api.apply(f"{thing.path}/a", thing.make("a", spec={"whole": ["b"], "one": {"y": "2"}}), "two", expect=409)
    api.apply(f"{thing.path}/a", thing.make("a", spec={"plain": ["a"]}), "one")


@case
def an_applied_list_has_each_key_once(api: Dialogue) -> None:
    thing = api.define(schema=LISTS)
    twice = [{"name": "x", "port": 1}, {"name": "x", "port": 2}]
    api.apply(f"{thing.path}/a", thing.make("a", spec={"keyed": twice}), expect=500)
    api.apply(f"{thing.path}/a", thing.make("a", spec={"distinct": ["a", "a"]}), expect=500)


@case
def built_in_lists_merge_by_their_type(api: Dialogue) -> None:
    ingresses = api.path("ingresses", "networking.k8s.io/v1")
    body = ingress("a")
    body["spec"]["tls"] = [{"hosts": ["a.test"], "secretName": "s"}]
    api.apply(f"{ingresses}/a", body, "one")
    api.apply(f"{ingresses}/a", ingress("a", host="b.test"), "two", expect=409)
    api.apply(f"{ingresses}/a", ingress("a"), "two")


@case
def finalizers_and_owners_are_applied_by_value(api: Dialogue) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "11111111-2222-3333-4444-555555555555"}
    api.apply(f"{api.config_maps}/a", config_map("a", finalizers=["x.test/one"], ownerReferences=[owner]), "one")
    api.apply(f"{api.config_maps}/a", config_map("a", finalizers=["x.test/two"]), "two")
    api.apply(f"{api.config_maps}/a", config_map("a"), "one")


@case
def managers_are_told_apart_by_operation_and_name(api: Dialogue) -> None:
    api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}), "one")
    api.patch(f"{api.config_maps}/a", {"data": {"l": "1"}}, fieldManager="one")
    api.patch(f"{api.config_maps}/a", {"data": {"m": "1"}})
    api.patch(f"{api.config_maps}/a", {"data": {"l": None}}, fieldManager="two")


@case
def the_managed_fields_can_be_reset(api: Dialogue) -> None:
    made = api.apply(f"{api.config_maps}/a", config_map("a", {"k": "1"}), "one")
    api.put(f"{api.config_maps}/a", made.but(metadata={"managedFields": [{}]}))
    api.patch(f"{api.config_maps}/a", {"data": {"l": "1"}}, fieldManager="two")
    api.put(f"{api.config_maps}/a", made.but(metadata={"managedFields": [], "resourceVersion": None}))
