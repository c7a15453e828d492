from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import config_map, ingress, namespace

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("finalizers and deletion")

HELD = {"finalizers": ["x.test/one", "x.test/two"]}


def options(**fields: Any) -> dict[str, Any]:
    return {"kind": "DeleteOptions", "apiVersion": "v1", **fields}


@case
def a_deletion_answers_with_success(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.delete(f"{api.config_maps}/a")
    api.get(f"{api.config_maps}/a", expect=404)
    api.delete(f"{api.config_maps}/a", expect=404)


@case
def a_deleted_custom_resource_is_gone(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.delete(f"{widget.path}/a")
    api.get(f"{widget.path}/a", expect=404)


@case
def finalizers_hold_an_object(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    api.delete(f"{api.config_maps}/a")
    api.get(f"{api.config_maps}/a")
    api.patch(f"{api.config_maps}/a", {"metadata": {"finalizers": ["x.test/two"]}})
    api.patch(f"{api.config_maps}/a", {"metadata": {"finalizers": None}})
    api.get(f"{api.config_maps}/a", expect=404)


@case
def finalizers_hold_a_custom_resource(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", metadata=HELD, spec={"size": 1}))
    api.delete(f"{widget.path}/a")
    held = api.get(f"{widget.path}/a")
    api.put(f"{widget.path}/a", held.but(metadata={"finalizers": []}))
    api.get(f"{widget.path}/a", expect=404)


@case
def a_second_deletion_changes_nothing(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    first = api.delete(f"{api.config_maps}/a")
    second = api.delete(f"{api.config_maps}/a")
    same = first["metadata"]["deletionTimestamp"] == second["metadata"]["deletionTimestamp"]
    api.note("the deletion time stays", same)


@case
def the_time_of_deletion_cannot_be_changed(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    api.patch(f"{api.config_maps}/a", {"metadata": {"deletionTimestamp": "2001-01-01T00:00:00Z"}}, expect=422)
    held = api.delete(f"{api.config_maps}/a")
    later = api.put(f"{api.config_maps}/a", held.but(metadata={"deletionTimestamp": "2001-01-01T00:00:00Z"}))
    api.note("the deletion time stays", later["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"])
    api.patch(f"{api.config_maps}/a", {"metadata": {"deletionTimestamp": None, "labels": {"l": "1"}}})
    api.patch(f"{api.config_maps}/a", {"metadata": {"deletionGracePeriodSeconds": 9}}, expect=422)


@case
def finalizers_cannot_be_added_after_deletion(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    api.delete(f"{api.config_maps}/a")
    late = {"metadata": {"finalizers": ["x.test/one", "x.test/two", "x.test/late"]}}
    api.patch(f"{api.config_maps}/a", late, expect=422)
    api.patch(f"{api.config_maps}/a", {"metadata": {"finalizers": ["x.test/two", "x.test/one"]}})


@case
def finalizers_of_a_custom_resource_cannot_be_added_after_deletion(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", metadata=HELD))
    api.delete(f"{widget.path}/a")
    api.patch(f"{widget.path}/a", {"metadata": {"finalizers": ["x.test/late"]}}, expect=422)


@case
def an_object_that_is_held_can_be_changed(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", metadata=HELD, spec={"size": 1}))
    api.delete(f"{widget.path}/a")
    api.patch(f"{widget.path}/a", {"spec": {"size": 2}})
    api.patch(f"{widget.path}/a/status", {"status": {"phase": "Going"}})


@case
def a_held_name_is_still_taken(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    api.delete(f"{api.config_maps}/a")
    api.post(api.config_maps, config_map("a"), expect=409)


@case
def a_name_is_free_after_deletion(api: Dialogue) -> None:
    first = api.post(api.config_maps, config_map("a"))
    api.delete(f"{api.config_maps}/a")
    second = api.post(api.config_maps, config_map("a"))
    api.note("another uid", first.uid != second.uid)


@case
def the_last_change_and_the_end_come_together(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a", {"k": "1"}, **HELD))
    api.delete(f"{api.config_maps}/a")
    stream = api.watch(api.config_maps, resourceVersion=made.version)
    held = api.get(f"{api.config_maps}/a")
    api.put(f"{api.config_maps}/a", held.but(data={"k": "2"}, metadata={"finalizers": None}))
    stream.read(2)


@case
def a_deletion_may_demand_a_uid_and_a_version(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    path = f"{api.config_maps}/a"
    api.delete(path, options(preconditions={"uid": "11111111-2222-3333-4444-555555555555"}), expect=409)
    api.delete(path, options(preconditions={"resourceVersion": "1"}), expect=409)
    api.delete(path, options(preconditions={"uid": made.uid, "resourceVersion": made.version}))


@case
def a_dry_deletion_deletes_nothing(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.post(api.config_maps, config_map("b", **HELD))
    api.delete(f"{api.config_maps}/a", dryRun="All")
    api.delete(f"{api.config_maps}/a", options(dryRun=["All"]))
    api.delete(f"{api.config_maps}/b", dryRun="All")
    api.delete(api.config_maps, dryRun="All")
    api.get(api.config_maps)


@case
def options_of_a_deletion_are_checked(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    path = f"{api.config_maps}/a"
    api.delete(path, options(propagationPolicy="Sometimes"), expect=422)
    api.delete(path, options(dryRun=["Some"]), expect=422)
    api.delete(path, options(orphanDependents=True, propagationPolicy="Orphan"), expect=422)
    api.delete(path, options(gracePeriodSeconds="soon"), expect=400)
    api.delete(path, {"kind": "Other", "apiVersion": "v1"}, expect=400)
    api.get(path)


@case
def a_foreground_deletion_waits_for_dependents(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.delete(f"{api.config_maps}/a", options(propagationPolicy="Foreground"))
    api.get(f"{api.config_maps}/a")
    api.patch(f"{api.config_maps}/a", {"metadata": {"finalizers": None}})
    api.get(f"{api.config_maps}/a", expect=404)


@case
def an_orphaning_deletion_waits_for_dependents(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    api.delete(f"{api.config_maps}/a", propagationPolicy="Orphan")
    api.post(api.config_maps, config_map("b"))
    api.delete(f"{api.config_maps}/b", options(orphanDependents=True))


@case
def a_background_deletion_waits_for_nothing(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.delete(f"{api.config_maps}/a", options(propagationPolicy="Background"))
    api.post(api.config_maps, config_map("b", finalizers=["foregroundDeletion"]))
    api.delete(f"{api.config_maps}/b", options(propagationPolicy="Background"))
    api.get(f"{api.config_maps}/b", expect=404)


@case
def a_policy_may_change_while_an_object_is_held(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", finalizers=["x.test/one"]))
    api.delete(f"{api.config_maps}/a", propagationPolicy="Foreground")
    api.delete(f"{api.config_maps}/a", propagationPolicy="Background")
    api.delete(f"{api.config_maps}/a", propagationPolicy="Orphan")


@case
def a_grace_period_is_no_matter_of_most_kinds(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", **HELD))
    api.delete(f"{api.config_maps}/a", options(gracePeriodSeconds=30))
    api.post(api.config_maps, config_map("b"))
    api.delete(f"{api.config_maps}/b", gracePeriodSeconds=0)
    api.post(api.config_maps, config_map("c"))
    api.delete(f"{api.config_maps}/c", gracePeriodSeconds=-1)


@case
def a_deletion_raises_the_generation_of_what_is_held(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", metadata=HELD, spec={"size": 1}))
    api.delete(f"{widget.path}/a")
    ingresses = api.path("ingresses", "networking.k8s.io/v1")
    api.post(ingresses, ingress("a", **HELD))
    api.delete(f"{ingresses}/a")


@case
def a_collection_is_deleted(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.post(api.config_maps, config_map("b", **HELD))
    api.delete(api.config_maps)
    api.get(api.config_maps)


@case
def a_selected_part_of_a_collection_is_deleted(api: Dialogue) -> None:
    for name, label in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "3")):
        api.post(api.config_maps, config_map(name, labels={"l": label}), only=lambda body: body["kind"])
    api.delete(api.config_maps, labelSelector="l=1")
    api.delete(api.config_maps, fieldSelector="metadata.name=b")
    api.get(api.config_maps)


@case
def a_collection_of_custom_resources_is_deleted(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.post(widget.path, widget.make("b", metadata=HELD))
    api.delete(widget.path)
    api.get(widget.path)


@case
def a_collection_is_not_deleted_over_all_namespaces(api: Dialogue) -> None:
    widget = api.define()
    api.delete("/api/v1/configmaps", expect=405)
    api.delete(f"/apis/{widget.group}/v1/widgets", expect=404)


@case
def an_update_that_frees_a_living_object_deletes_nothing(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a", **HELD))
    api.put(f"{api.config_maps}/a", made.but(metadata={"finalizers": None}))
    api.get(f"{api.config_maps}/a")


@case
def finalizers_have_qualified_names(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", finalizers=["plain"]), expect=422)
    api.post(api.config_maps, config_map("a", finalizers=["x.test/not good"]), expect=422)
    api.post(api.config_maps, config_map("a", finalizers=["orphan", "foregroundDeletion"]), expect=422)


@case
def a_namespace_is_held_by_its_own_finalizer(api: Dialogue) -> None:
    name = f"{api.namespace}-2"
    api.post("/api/v1/namespaces", namespace(name))
    api.delete(f"/api/v1/namespaces/{name}")
    api.delete(f"/api/v1/namespaces/{name}")
    api.post(f"/api/v1/namespaces/{name}/configmaps", config_map("a"), expect=403)
    ending = api.get(f"/api/v1/namespaces/{name}")
    api.put(f"/api/v1/namespaces/{name}/finalize", {**ending.body, "spec": {"finalizers": []}})
    api.get(f"/api/v1/namespaces/{name}", expect=404)


@case
def nothing_is_created_in_a_namespace_that_is_not_there(api: Dialogue) -> None:
    widget = api.define()
    api.post("/api/v1/namespaces/none-such/configmaps", config_map("a"), expect=404)
    path = f"/apis/{widget.group}/v1/namespaces/none-such/widgets"
    api.post(path, widget.make("a"), expect=404)


@case
def some_namespaces_cannot_be_deleted(api: Dialogue) -> None:
    api.delete("/api/v1/namespaces/default", expect=403)
    api.delete("/api/v1/namespaces/kube-system", expect=403)


@case
def owners_are_checked(api: Dialogue) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "11111111-2222-3333-4444-555555555555"}
    path = api.config_maps
    api.post(path, config_map("a", ownerReferences=[{**owner, "uid": ""}]), expect=422)
    api.post(path, config_map("a", ownerReferences=[{**owner, "apiVersion": "a/b/c"}]), expect=422)
    second = {**owner, "name": "p", "uid": "11111111-2222-3333-4444-666666666666", "controller": True}
    api.post(path, config_map("a", ownerReferences=[{**owner, "controller": True}, second]), expect=422)
    api.post(path, config_map("a", ownerReferences=[owner, second]))
