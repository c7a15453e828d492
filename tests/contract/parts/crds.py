from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.cases import part
from tests.contract.objects import CRDS, INTEGER, STRING, closed, crd, version

if TYPE_CHECKING:
    from tests.contract.dialogue import Answer, Dialogue

case = part("CRDs")

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def conditions(answer: Answer) -> dict[str, str]:
    found = answer.body.get("status", {}).get("conditions") or []
    return {condition["type"]: condition["status"] for condition in found}


def established(answer: Answer) -> bool:
    return conditions(answer).get("Established") == "True"


@case
def a_definition_is_completed(api: Dialogue) -> None:
    body = crd(api.group)
    body["spec"]["names"] = {"plural": "widgets", "kind": "Widget"}
    api.post(CRDS, body, only=lambda made: {"spec": made["spec"], "status": made["status"]})


@case
def a_definition_is_established(api: Dialogue) -> None:
    body = crd(api.group)
    api.post(CRDS, body)
    at = f"{CRDS}/{body['metadata']['name']}"
    api.until(at, established)
    api.get(at)


@case
def a_resource_is_served_once_it_is_defined(api: Dialogue) -> None:
    api.get(f"/apis/{api.group}/v1/widgets", expect=404)
    widget = api.define()
    api.get(widget.path)
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.get(f"{widget.path}/a")


@case
def a_definition_is_named_after_its_resource(api: Dialogue) -> None:
    body = crd(api.group)
    body["metadata"]["name"] = f"gadgets.{api.group}"
    api.post(CRDS, body, expect=422)


@case
def a_definition_is_checked(api: Dialogue) -> None:
    body = crd(api.group)
    del body["spec"]["versions"][0]["schema"]
    api.post(CRDS, body, expect=422)
    body = crd(api.group)
    body["spec"]["versions"][0]["storage"] = False
    api.post(CRDS, body, expect=422)
    body = crd(api.group, scope="Everywhere")
    api.post(CRDS, body, expect=422)
    body = crd(api.group)
    body["spec"]["group"] = ""
    api.post(CRDS, body, expect=422)


@case
def one_resource_has_two_versions(api: Dialogue) -> None:
    shape = closed(spec=closed(size=INTEGER, colour=STRING))
    thing = api.define(versions=[version("v1", shape), version("v2", shape, storage=False)])
    api.served(thing)
    api.post(thing.path, thing.make("a", spec={"size": 1}))
    second = thing.path_of("v2")
    api.get(f"{second}/a")
    api.get(second)
    api.post(second, thing.make("b", version="v2", spec={"size": 2}))
    api.get(f"{thing.path}/b")
    api.patch(f"{second}/a", {"spec": {"size": 3}})
    api.post(second, thing.make("c"), expect=400)


@case
def a_version_that_is_not_served_is_not_there(api: Dialogue) -> None:
    hidden = {**version("v2", storage=False), "served": False}
    thing = api.define(versions=[version("v1"), hidden])
    api.get(thing.path_of("v2"), expect=404)
    api.get(f"/apis/{thing.group}/v3/widgets", expect=404)


@case
def a_deprecated_version_warns(api: Dialogue) -> None:
    old = version("v1", deprecated=True, deprecationWarning="v1 of Widget is old")
    thing = api.define(versions=[old, version("v2", storage=False, deprecated=True)])
    api.get(thing.path)
    api.post(thing.path, thing.make("a"))
    api.get(thing.path_of("v2"))


@case
def printer_columns_make_the_table(api: Dialogue) -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "how large"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags[*]"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    thing = api.define(additionalPrinterColumns=columns)
    api.post(thing.path, thing.make("a", spec={"size": 3, "tags": ["x", "y"]}))
    api.get(thing.path, accept=TABLE)
    api.get(f"{thing.path}/a", accept=TABLE)


@case
def without_printer_columns_a_table_has_name_and_age(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    api.get(widget.path, accept=TABLE)


@case
def fields_can_be_made_selectable(api: Dialogue) -> None:
    thing = api.define(selectableFields=[{"jsonPath": ".spec.colour"}])
    api.post(thing.path, thing.make("a", spec={"colour": "red"}))
    api.post(thing.path, thing.make("b", spec={"colour": "blue"}))
    api.post(thing.path, thing.make("c", spec={}))
    api.get(thing.path, fieldSelector="spec.colour=red")
    api.get(thing.path, fieldSelector="spec.colour!=red,metadata.name!=c")
    api.get(thing.path, fieldSelector="spec.colour=")
    api.get(thing.path, fieldSelector="spec.size=1", expect=400)
    api.watch(thing.path, fieldSelector="spec.colour=blue").read(1)


@case
def a_resource_may_be_cluster_scoped(api: Dialogue) -> None:
    thing = api.define(scope="Cluster", plural="globes", kind="Globe")
    api.post(thing.path, thing.make("a", spec={"size": 1}))
    api.get(f"{thing.path}/a")
    api.get(f"/apis/{thing.group}/v1/namespaces/{api.namespace}/globes", expect=404)
    api.post(thing.path, thing.make("b", metadata={"namespace": "default"}))
    api.delete(f"{thing.path}/a")


@case
def names_must_be_free(api: Dialogue) -> None:
    api.define(names={"shortNames": ["wd"], "categories": ["all"]})
    second = crd(api.group, "gadgets", "Widget", names={"shortNames": ["wd"]})
    api.post(CRDS, second)
    at = f"{CRDS}/gadgets.{api.group}"
    api.until(at, lambda answer: conditions(answer).get("NamesAccepted") == "False")
    api.get(at, only=lambda found: found["status"])
    api.get(f"/apis/{api.group}/v1/gadgets", expect=404)


@case
def some_things_of_a_definition_never_change(api: Dialogue) -> None:
    widget = api.define()
    api.patch(widget.at, {"spec": {"group": "other.test"}}, expect=422)
    api.patch(widget.at, {"spec": {"scope": "Cluster"}}, expect=422)
    api.patch(widget.at, {"spec": {"names": {"kind": "Other"}}}, expect=422)


@case
def a_deleted_definition_takes_its_objects_along(api: Dialogue) -> None:
    widget = api.define()
    made = api.post(widget.path, widget.make("a", spec={"size": 1}))
    stream = api.watch(widget.path, resourceVersion=made.version)
    api.delete(widget.at, only=lambda found: {"kind": found["kind"], "finalizers": found["metadata"]["finalizers"]})
    stream.read(1)
    api.until(widget.at, lambda answer: answer.code == 404)
    api.until(widget.path, lambda answer: answer.code == 404)
    api.get(widget.at, expect=404)
    api.get(widget.path, expect=404)


@case
def a_definition_waits_for_objects_that_are_held(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", metadata={"finalizers": ["x.test/f"]}))
    api.delete(widget.at, only=lambda found: found["metadata"]["finalizers"])
    api.until(f"{widget.path}/a", lambda answer: "deletionTimestamp" in answer["metadata"])
    api.until(widget.at, lambda answer: "Terminating" in conditions(answer))
    api.post(widget.path, widget.make("b"), expect=403)
    api.patch(f"{widget.path}/a", {"metadata": {"finalizers": None}})
    api.until(widget.at, lambda answer: answer.code == 404)


@case
def a_definition_may_come_again(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.quietly("DELETE", widget.at)
    api.until(widget.at, lambda answer: answer.code == 404)
    api.until(widget.path, lambda answer: answer.code == 404)
    again = api.define()
    api.get(again.path)


@case
def objects_name_their_own_kind(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, {**widget.make("a"), "kind": "Gadget"}, expect=422)
    api.post(widget.path, {**widget.make("a"), "apiVersion": "other.test/v1"}, expect=400)
    api.post(widget.path, {"metadata": {"name": "a"}}, expect=400)
