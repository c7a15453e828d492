from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import ANYTHING, INTEGER, STRING, closed, config_map, ingress, namespace, version

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("status and generation")

INGRESSES = "networking.k8s.io/v1"


def balanced(ip: str) -> dict[str, Any]:
    return {"loadBalancer": {"ingress": [{"ip": ip}]}}


def generation(body: Any) -> Any:
    return {"generation": body["metadata"].get("generation"), "spec": body.get("spec"), "status": body.get("status")}


@case
def a_created_custom_resource_has_no_status(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}, status={"phase": "Ready"}))


@case
def a_created_built_in_object_has_no_status(api: Dialogue) -> None:
    api.post(api.path("ingresses", INGRESSES), {**ingress("a"), "status": balanced("10.0.0.1")})


@case
def an_update_leaves_the_status_alone(api: Dialogue) -> None:
    widget = api.define()
    made = api.post(widget.path, widget.make("a", spec={"size": 1}))
    told = api.put(f"{widget.path}/a/status", made.but(status={"phase": "Ready"}))
    api.put(f"{widget.path}/a", told.but(status={"phase": "Changed"}, spec={"size": 2}))
    api.get(f"{widget.path}/a/status")


@case
def an_update_of_the_status_leaves_the_rest_alone(api: Dialogue) -> None:
    widget = api.define()
    made = api.post(widget.path, widget.make("a", metadata={"labels": {"l": "1"}}, spec={"size": 1}))
    changed = made.but(metadata={"labels": {"l": "2"}, "annotations": {"n": "2"}, "finalizers": ["x.test/f"]})
    api.put(f"{widget.path}/a/status", {**changed, "spec": {"size": 2}, "status": {"phase": "Ready"}})
    api.get(f"{widget.path}/a")


@case
def a_patch_leaves_the_status_alone(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.patch(f"{widget.path}/a", {"spec": {"size": 2}, "status": {"phase": "Ready"}})
    api.patch(f"{widget.path}/a", {"status": {"phase": "Ready"}})


@case
def a_patch_of_the_status_leaves_the_rest_alone(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.patch(f"{widget.path}/a/status", {"spec": {"size": 2}, "status": {"phase": "Ready"}})
    api.patch(f"{widget.path}/a/status", [{"op": "add", "path": "/status/seen", "value": 1}], "json")
    api.patch(f"{widget.path}/a/status", {"spec": {"size": 3}})


@case
def a_built_in_status_is_written_apart(api: Dialogue) -> None:
    ingresses = api.path("ingresses", INGRESSES)
    made = api.post(ingresses, ingress("a"))
    api.put(f"{ingresses}/a/status", made.but(status=balanced("10.0.0.1"), metadata={"labels": {"l": "1"}}))
    api.put(f"{ingresses}/a", {**ingress("a", host="b.test"), "status": balanced("10.0.0.2")})
    api.patch(f"{ingresses}/a/status", {"status": balanced("10.0.0.3"), "spec": {"rules": []}}, "strategic")


@case
def a_change_of_metadata_keeps_the_generation(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    changes = {"labels": {"l": "1"}, "annotations": {"n": "1"}, "finalizers": ["x.test/f"]}
    api.patch(f"{widget.path}/a", {"metadata": changes})


@case
def a_change_of_spec_raises_the_generation(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}), only=generation)
    api.patch(f"{widget.path}/a", {"spec": {"size": 2}}, only=generation)
    api.patch(f"{widget.path}/a", {"spec": {"size": 2}}, only=generation)
    api.patch(f"{widget.path}/a", {"spec": {"size": 1}}, only=generation)
    api.patch(f"{widget.path}/a", {"spec": None}, only=generation)


@case
def a_change_of_status_keeps_the_generation(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}), only=generation)
    api.patch(f"{widget.path}/a/status", {"status": {"phase": "Ready"}}, only=generation)


@case
def the_generation_cannot_be_set(api: Dialogue) -> None:
    widget = api.define()
    made = api.post(widget.path, widget.make("a", metadata={"generation": 7}, spec={"size": 1}))
    api.put(f"{widget.path}/a", made.but(metadata={"generation": 9}, spec={"size": 2}))
    api.patch(f"{widget.path}/a", {"metadata": {"generation": 20}})
    api.patch(f"{widget.path}/a/status", {"metadata": {"generation": 20}, "status": {"phase": "Ready"}})


@case
def without_a_status_every_change_raises_the_generation(api: Dialogue) -> None:
    widget = api.define(subresources={})
    made = api.post(widget.path, widget.make("a", spec={"size": 1}, status={"phase": "New"}), only=None)
    api.patch(f"{widget.path}/a", {"status": {"phase": "Ready"}}, only=generation)
    api.patch(f"{widget.path}/a", {"metadata": {"labels": {"l": "1"}}}, only=generation)
    api.put(f"{widget.path}/a/status", made.body, expect=404)
    api.patch(f"{widget.path}/a/status", {}, expect=404)


@case
def built_in_generations_follow_the_spec(api: Dialogue) -> None:
    ingresses = api.path("ingresses", INGRESSES)
    api.post(ingresses, ingress("a"), only=generation)
    api.patch(f"{ingresses}/a", {"metadata": {"labels": {"l": "1"}}}, only=generation)
    api.put(f"{ingresses}/a", ingress("a", host="b.test"), only=generation)
    api.patch(f"{ingresses}/a/status", {"status": balanced("10.0.0.1")}, only=generation)


@case
def kinds_without_a_spec_have_no_generation(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.patch(f"{api.config_maps}/a", {"data": {"k": "2"}})
    api.get(f"{api.config_maps}/a/status", expect=404)


@case
def a_status_update_needs_the_current_version(api: Dialogue) -> None:
    widget = api.define()
    made = api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.patch(f"{widget.path}/a", {"spec": {"size": 2}})
    api.put(f"{widget.path}/a/status", made.but(status={"phase": "Ready"}), expect=409)
    without = made.but(status={"phase": "Ready"}, metadata={"resourceVersion": None})
    api.put(f"{widget.path}/a/status", without, expect=422)


@case
def a_status_update_that_changes_nothing_keeps_the_version(api: Dialogue) -> None:
    widget = api.define()
    made = api.post(widget.path, widget.make("a", spec={"size": 1}))
    told = api.put(f"{widget.path}/a/status", made.but(status={"phase": "Ready"}))
    api.put(f"{widget.path}/a/status", told.body)
    api.patch(f"{widget.path}/a/status", {"status": {"phase": "Ready"}})


@case
def a_status_of_nothing_is_not_found(api: Dialogue) -> None:
    widget = api.define()
    api.get(f"{widget.path}/a/status", expect=404)
    api.put(f"{widget.path}/a/status", widget.make("a", status={"phase": "Ready"}), expect=404)
    api.patch(f"{widget.path}/a/status", {"status": {"phase": "Ready"}}, expect=404)


@case
def a_status_is_neither_created_nor_deleted(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.post(f"{widget.path}/a/status", widget.make("a", status={"phase": "Ready"}), expect=405)
    api.delete(f"{widget.path}/a/status", expect=405)


@case
def a_status_is_validated(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.patch(f"{widget.path}/a/status", {"status": {"phase": 1}}, expect=422)
    api.patch(f"{widget.path}/a/status", {"status": {"unknown": 1, "phase": "Ready"}})
    api.patch(f"{widget.path}/a/status", {"status": {"unknown": 1}}, fieldValidation="Strict", expect=422)


@case
def a_status_may_be_dry(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.patch(f"{widget.path}/a/status", {"status": {"phase": "Ready"}}, dryRun="All")
    api.get(f"{widget.path}/a")


@case
def a_status_is_applied_by_its_manager(api: Dialogue) -> None:
    widget = api.define()
    api.apply(f"{widget.path}/a", widget.make("a", spec={"size": 1}), "one")
    api.apply(f"{widget.path}/a/status", widget.make("a", status={"phase": "Ready"}), "two")
    api.apply(f"{widget.path}/a/status", widget.make("a", status={"phase": "Other"}), "three", expect=409)
    api.apply(f"{widget.path}/a", widget.make("a", spec={"size": 2}, status={"phase": "Mine"}), "one")


@case
def a_status_of_nothing_is_not_applied(api: Dialogue) -> None:
    widget = api.define()
    api.apply(f"{widget.path}/a/status", widget.make("a", status={"phase": "Ready"}), expect=404)


@case
def managers_of_a_status_are_listed_apart(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}), fieldManager="one")
    api.patch(f"{widget.path}/a/status", {"status": {"phase": "Ready"}}, fieldManager="one")
    api.patch(f"{widget.path}/a/status", {"status": {"seen": 1}}, fieldManager="two")


@case
def a_namespace_has_a_phase(api: Dialogue) -> None:
    api.get(f"/api/v1/namespaces/{api.namespace}")
    api.patch(f"/api/v1/namespaces/{api.namespace}", {"status": {"phase": "Terminating"}})
    api.get(f"/api/v1/namespaces/{api.namespace}/status")
    api.post("/api/v1/namespaces", {**namespace("dry"), "status": {"phase": "Odd"}}, dryRun="All")


@case
def an_object_is_scaled(api: Dialogue) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    scale["labelSelectorPath"] = ".status.selector"
    schema = closed(spec=closed(replicas=INTEGER), status=closed(replicas=INTEGER, selector=STRING))
    thing = api.define(schema=schema, subresources={"status": {}, "scale": scale})
    api.post(thing.path, thing.make("a", spec={"replicas": 2}))
    api.patch(f"{thing.path}/a/status", {"status": {"replicas": 1, "selector": "l=1"}})
    found = api.get(f"{thing.path}/a/scale")
    api.put(f"{thing.path}/a/scale", found.but(spec={"replicas": 3}))
    api.patch(f"{thing.path}/a/scale", {"spec": {"replicas": 4}})
    api.get(f"{thing.path}/a")
    api.put(f"{thing.path}/a/scale", found.but(spec={"replicas": 5}), expect=409)
    api.patch(f"{thing.path}/a/scale", {"spec": {"replicas": -1}}, expect=422)
    api.get(f"{thing.path}/b/scale", expect=404)


@case
def spec_and_anything_else_raise_the_generation(api: Dialogue) -> None:
    thing = api.define(versions=[version(schema=closed(spec=ANYTHING, data=ANYTHING, status=ANYTHING))])
    api.post(thing.path, thing.make("a", spec={}, data={}), only=None)
    api.patch(f"{thing.path}/a", {"data": {"k": 1}}, only=lambda body: body["metadata"]["generation"])
