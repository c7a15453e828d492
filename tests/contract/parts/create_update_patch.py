from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("create, update, patch")


@case
def a_created_object_has_uid_version_and_time(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "v"}, labels={"l": "1"}, annotations={"n": "2"}))
    api.get(f"{api.config_maps}/a")


@case
def what_the_server_sets_cannot_be_given(api: Dialogue) -> None:
    given = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7, "selfLink": "/x"}
    api.post(api.config_maps, config_map("a", **given, deletionTimestamp="2001-01-01T00:00:00Z"))


@case
def a_created_object_has_no_version_yet(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", resourceVersion="5"), expect=500)
    api.post(api.config_maps, config_map("a", resourceVersion="0"))


@case
def a_name_is_generated(api: Dialogue) -> None:
    first = api.post(api.config_maps, config_map(generateName="gen-"))
    second = api.post(api.config_maps, config_map(generateName="gen-"))
    api.note("names differ", first.name != second.name)
    api.post(api.config_maps, config_map("own", generateName="gen-"))
    api.post(api.config_maps, config_map(), expect=422)


@case
def a_long_prefix_of_a_generated_name_is_cut(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map(generateName="p" * 100), only=lambda body: body["kind"])
    api.note("length", len(made.name))


@case
def a_name_is_taken_once(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.post(api.config_maps, config_map("a", {"k": "2"}), expect=409)
    api.get(f"{api.config_maps}/a")


@case
def kind_and_version_may_be_left_out_of_a_body(api: Dialogue) -> None:
    api.post(api.config_maps, {"metadata": {"name": "a"}})


@case
def an_update_replaces_everything(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a", {"k": "1", "gone": "x"}, labels={"l": "1"}))
    api.put(f"{api.config_maps}/a", config_map("a", {"k": "2"}, resourceVersion=made.version))
    api.get(f"{api.config_maps}/a")


@case
def an_update_that_changes_nothing_keeps_the_version(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.put(f"{api.config_maps}/a", made.body)
    api.put(f"{api.config_maps}/a", config_map("a", {"k": "1"}))


@case
def an_update_with_an_old_version_is_a_conflict(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.put(f"{api.config_maps}/a", made.but(data={"k": "2"}))
    api.put(f"{api.config_maps}/a", made.but(data={"k": "3"}), expect=409)
    api.put(f"{api.config_maps}/a", made.but(metadata={"resourceVersion": "x"}), expect=500)


@case
def a_config_map_is_updated_without_a_version(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.put(f"{api.config_maps}/a", config_map("a", {"k": "2"}))
    api.put(f"{api.config_maps}/a", config_map("a", {"k": "3"}, resourceVersion="0"))


@case
def a_custom_resource_is_not_updated_without_a_version(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.put(f"{widget.path}/a", widget.make("a", spec={"size": 2}), expect=422)


@case
def an_update_does_not_create_a_config_map(api: Dialogue) -> None:
    api.put(f"{api.config_maps}/a", config_map("a"), expect=404)


@case
def an_update_does_not_create_a_custom_resource(api: Dialogue) -> None:
    widget = api.define()
    api.put(f"{widget.path}/a", widget.make("a"), expect=404)
    api.put(f"{widget.path}/a", widget.make("a", metadata={"resourceVersion": "1"}), expect=404)


@case
def an_update_creates_a_lease(api: Dialogue) -> None:
    leases = api.path("leases", "coordination.k8s.io/v1")
    lease = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "me", "renewTime": "2020-01-02T03:04:05.000006Z"}}
    api.put(f"{leases}/a", lease, expect=201)
    api.put(f"{leases}/a", lease, expect=422)


@case
def an_update_for_another_uid_is_a_conflict(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    api.put(f"{api.config_maps}/a", made.but(metadata={"uid": "other"}), expect=409)
    api.put(f"{api.config_maps}/a", config_map("a", {"k": "v"}, uid=made.uid))


@case
def an_update_cannot_change_what_the_server_set(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    given = {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 9, "selfLink": "/x"}
    api.put(f"{api.config_maps}/a", made.but(metadata=given, data={"k": "v"}))


@case
def an_immutable_config_map_stays_as_it_is(api: Dialogue) -> None:
    made = api.post(api.config_maps, {**config_map("a", {"k": "1"}), "immutable": True})
    api.put(f"{api.config_maps}/a", made.but(data={"k": "2"}), expect=422)
    api.put(f"{api.config_maps}/a", made.but(immutable=False), expect=422)
    api.patch(f"{api.config_maps}/a", {"metadata": {"labels": {"l": "1"}}})


@case
def a_merge_patch_adds_changes_and_removes(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"stays": "1", "changes": "1", "goes": "1"}))
    api.patch(f"{api.config_maps}/a", {"data": {"changes": "2", "goes": None, "comes": "2"}})
    api.patch(f"{api.config_maps}/a", {"data": None})


@case
def a_merge_patch_replaces_lists(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"tags": ["a", "b"], "size": 1}))
    api.patch(f"{widget.path}/a", {"spec": {"tags": ["c"]}})


@case
def a_json_patch_is_a_list_of_operations(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"one": "1", "two": "2"}, annotations={"a/b": "3"}))
    operations = [
        {"op": "test", "path": "/data/one", "value": "1"},
        {"op": "replace", "path": "/data/one", "value": "11"},
        {"op": "add", "path": "/data/three", "value": "3"},
        {"op": "remove", "path": "/metadata/annotations/a~1b"},
        {"op": "copy", "from": "/data/two", "path": "/data/copied"},
        {"op": "move", "from": "/data/two", "path": "/data/moved"},
    ]
    api.patch(f"{api.config_maps}/a", operations, "json")


@case
def a_json_patch_that_does_not_fit_is_refused(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"one": "1"}))
    api.patch(f"{api.config_maps}/a", [{"op": "test", "path": "/data/one", "value": "2"}], "json", expect=422)
    api.patch(f"{api.config_maps}/a", [{"op": "remove", "path": "/data/two"}], "json", expect=422)
    api.patch(f"{api.config_maps}/a", [{"op": "replace", "path": "/data/two", "value": "2"}], "json")
    api.patch(f"{api.config_maps}/a", {"data": {}}, "json", expect=400)
    api.get(f"{api.config_maps}/a")


@case
def a_strategic_patch_merges_lists_by_their_key(api: Dialogue) -> None:
    def owner(number: int, **more: Any) -> dict[str, Any]:
        return {"uid": f"{number:08}-0000-0000-0000-000000000000", **more}

    named = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o"}
    api.post(api.config_maps, config_map("a", ownerReferences=[owner(1, **named), owner(2, **named)]))
    for owners in (
        [owner(3, **named), owner(1, controller=True)],
        [owner(2, **{"$patch": "delete"})],
        [{"$patch": "replace"}, owner(4, **named)],
    ):
        api.patch(f"{api.config_maps}/a", {"metadata": {"ownerReferences": owners}}, "strategic")


@case
def a_strategic_patch_changes_one_container(api: Dialogue) -> None:
    deployments = api.path("deployments", "apps/v1")
    labels = {"app": "a"}
    containers = [
        {"name": "one", "image": "i:1"},
        {"name": "two", "image": "i:1", "env": [{"name": "A", "value": "1"}]},
    ]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    body = {"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    api.post(deployments, body)
    change = {"name": "two", "image": "i:2", "env": [{"name": "B", "value": "2"}]}
    api.patch(f"{deployments}/a", {"spec": {"template": {"spec": {"containers": [change]}}}}, "strategic")


@case
def a_strategic_patch_orders_lists(api: Dialogue) -> None:
    accounts = api.path("serviceaccounts")
    api.post(accounts, {"metadata": {"name": "a"}, "secrets": [{"name": "one"}, {"name": "two"}]})
    order = [{"name": "two"}, {"name": "three"}, {"name": "one"}]
    patch = {"$setElementOrder/secrets": order, "secrets": [{"name": "three"}]}
    api.patch(f"{accounts}/a", patch, "strategic")


@case
def a_strategic_patch_deletes_from_lists_of_strings(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", finalizers=["x.test/one", "x.test/two"]))
    api.patch(f"{api.config_maps}/a", {"metadata": {"finalizers": ["x.test/three"]}}, "strategic")
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.test/one"]}}
    api.patch(f"{api.config_maps}/a", patch, "strategic")


@case
def a_strategic_patch_replaces_a_map(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"one": "1", "two": "2"}))
    api.patch(f"{api.config_maps}/a", {"data": {"two": None, "three": "3"}}, "strategic")
    api.patch(f"{api.config_maps}/a", {"data": {"$patch": "replace", "four": "4"}}, "strategic")


@case
def a_custom_resource_has_no_strategic_patch(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.patch(f"{widget.path}/a", {"spec": {"size": 1}}, "strategic", expect=415)


@case
def a_patch_may_demand_a_version(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", {"metadata": {"resourceVersion": made.version}, "data": {"k": "1"}})
    api.patch(f"{api.config_maps}/a", {"metadata": {"resourceVersion": made.version}, "data": {"k": "2"}}, expect=409)


@case
def a_patch_may_demand_a_uid(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", {"metadata": {"uid": made.uid}, "data": {"k": "1"}})
    api.patch(f"{api.config_maps}/a", {"metadata": {"uid": "other"}, "data": {"k": "2"}}, expect=422)


@case
def a_patch_cannot_rename(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", {"metadata": {"name": "b"}}, expect=400)
    api.patch(f"{api.config_maps}/a", {"metadata": {"namespace": "other"}}, expect=400)
    api.patch(f"{api.config_maps}/a", {"kind": "Secret"}, expect=422)


@case
def a_patch_that_changes_nothing_keeps_the_version(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.patch(f"{api.config_maps}/a", {"data": {"k": "1"}})
    api.patch(f"{api.config_maps}/a", {})
    api.patch(f"{api.config_maps}/a", [], "json")
    api.patch(f"{api.config_maps}/a", {}, "strategic")


@case
def a_patch_of_nothing_is_not_found(api: Dialogue) -> None:
    api.patch(f"{api.config_maps}/a", {"data": {}}, expect=404)
    api.patch(f"{api.config_maps}/a", [], "json", expect=404)


@case
def a_body_may_be_yaml(api: Dialogue) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: |\n    two\n    lines\n"
    api.post(api.config_maps, body, content_type="application/yaml")
    api.put(f"{api.config_maps}/a", body.replace("two", "2"), content_type="application/yaml")
