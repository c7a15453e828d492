from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import INTEGER, STRING, closed, config_map, version

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dialogue import Answer, Dialogue
    from tests.contract.objects import Defined

case = part("discovery")

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def builtin(name: str) -> bool:
    """Whether a group is kube-apiserver's own and not of another case or test."""
    return "." not in name or name.endswith(".k8s.io")


def groups(body: Any) -> Any:
    return {**body, "groups": [group for group in body["groups"] if builtin(group["name"])]}


def group_items(*names: str) -> Callable[[Any], Any]:
    return lambda body: [item for item in body["items"] if item["metadata"].get("name", "") in names]


def listed(api: Dialogue, defined: Defined) -> None:
    """Wait until discovery knows a group."""
    api.until(f"/apis/{defined.group}/v1", lambda answer: answer.code == 200)
    api.until("/apis", lambda answer: defined.group in [group["name"] for group in answer["groups"]])


def described(api: Dialogue, defined: Defined) -> Answer:
    """Wait until OpenAPI knows a group."""
    path = f"apis/{defined.group}/v1"
    api.until("/openapi/v3", lambda answer: path in answer["paths"])
    return api.until(f"/openapi/v3/{path}", lambda answer: answer.code == 200 and "components" in answer.body)


@case
def the_version_of_the_server(api: Dialogue) -> None:
    api.get("/version")


@case
def the_versions_of_the_core_group(api: Dialogue) -> None:
    api.get("/api")


@case
def the_groups(api: Dialogue) -> None:
    api.get("/apis", only=groups)


@case
def one_group(api: Dialogue) -> None:
    api.get("/apis/apps")
    api.get("/apis/networking.k8s.io")
    api.get("/apis/autoscaling")
    api.get("/apis/none.test", expect=404)


@case
def the_resources_of_the_core_group(api: Dialogue) -> None:
    api.get("/api/v1")


@case
def the_resources_of_a_group(api: Dialogue) -> None:
    for version_ in ("apps/v1", "apiextensions.k8s.io/v1", "coordination.k8s.io/v1", "rbac.authorization.k8s.io/v1"):
        api.get(f"/apis/{version_}")


@case
def a_defined_group_is_discovered(api: Dialogue) -> None:
    widget = api.define(names={"shortNames": ["wd"], "categories": ["all"]})
    listed(api, widget)
    api.get("/apis", only=lambda body: [group for group in body["groups"] if group["name"] == widget.group])
    api.get(f"/apis/{widget.group}")
    api.get(f"/apis/{widget.group}/v1")


@case
def a_defined_scale_is_discovered(api: Dialogue) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    schema = closed(spec=closed(replicas=INTEGER), status=closed(replicas=INTEGER))
    thing = api.define(schema=schema, subresources={"status": {}, "scale": scale})
    listed(api, thing)
    api.get(f"/apis/{thing.group}/v1")


@case
def a_cluster_scoped_resource_is_discovered(api: Dialogue) -> None:
    thing = api.define(scope="Cluster", plural="globes", kind="Globe", subresources={})
    listed(api, thing)
    api.get(f"/apis/{thing.group}/v1")


@case
def versions_are_ordered_by_their_maturity(api: Dialogue) -> None:
    shape = closed(spec=closed(size=INTEGER))
    names = ("v1", "v1alpha1", "v2beta1", "v10", "v2", "foo1", "v1beta2")
    thing = api.define(versions=[version(name, shape, storage=name == "v1") for name in names])
    api.until(
        "/apis",
        lambda answer: any(len(g["versions"]) == len(names) for g in answer["groups"] if g["name"] == thing.group),
    )
    api.get(f"/apis/{thing.group}")


@case
def a_removed_group_is_no_longer_discovered(api: Dialogue) -> None:
    widget = api.define()
    listed(api, widget)
    api.quietly("DELETE", widget.at)
    api.until(widget.at, lambda answer: answer.code == 404)
    api.until("/apis", lambda answer: widget.group not in [group["name"] for group in answer["groups"]])
    api.until(f"/apis/{widget.group}", lambda answer: answer.code == 404)
    api.get(f"/apis/{widget.group}", expect=404)
    api.until(f"/apis/{widget.group}/v1", lambda answer: answer.code == 404)
    api.get(f"/apis/{widget.group}/v1", expect=404)


@case
def discovery_of_the_core_group_in_one_answer(api: Dialogue) -> None:
    api.get("/api", accept=AGGREGATED)


@case
def discovery_of_the_groups_in_one_answer(api: Dialogue) -> None:
    api.get("/apis", accept=AGGREGATED, only=group_items("apps", "apiextensions.k8s.io", "coordination.k8s.io"))


@case
def a_defined_group_in_one_answer(api: Dialogue) -> None:
    widget = api.define(names={"shortNames": ["wd"]})
    found = group_items(widget.group)
    api.until("/apis", lambda answer: bool(found(answer.body)), accept=AGGREGATED)
    api.get("/apis", accept=AGGREGATED, only=found)


@case
def discovery_falls_back_to_the_old_form(api: Dialogue) -> None:
    api.get("/apis", accept=f"{AGGREGATED},application/json", only=lambda body: body["kind"])
    api.get("/apis", accept="application/json", only=lambda body: body["kind"])
    api.get("/apis", accept="application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList", expect=406)


@case
def the_index_of_openapi(api: Dialogue) -> None:
    def paths(body: Any) -> Any:
        return {path: sorted(entry) for path, entry in body["paths"].items() if builtin(f"{path}/".split("/")[1])}

    api.get("/openapi/v3", only=paths)
    api.get("/openapi/v3", only=lambda body: body["paths"]["apis/apps/v1"]["serverRelativeURL"].partition("?")[0])


@case
def a_built_in_kind_in_openapi(api: Dialogue) -> None:
    def of_config_map(body: Any) -> Any:
        schema = body["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"]
        types = {name: field.get("type") for name, field in schema["properties"].items()}
        return {"fields": types, "kind": schema["x-kubernetes-group-version-kind"], "version": body["openapi"]}

    api.get("/openapi/v3/api/v1", only=of_config_map)


@case
def the_paths_of_a_group_in_openapi(api: Dialogue) -> None:
    def paths(body: Any) -> Any:
        return {path: sorted(set(item) - {"parameters"}) for path, item in body["paths"].items() if "leases" in path}

    api.get("/openapi/v3/apis/coordination.k8s.io/v1", only=paths)


@case
def a_defined_kind_in_openapi(api: Dialogue) -> None:
    widget = api.define(schema=closed(spec={**closed(size=INTEGER, colour={**STRING, "default": "red"})}))
    described(api, widget)

    def schema(body: Any) -> Any:
        return {
            name: {**found, "properties": {**found["properties"], "metadata": None}}
            for name, found in body["components"]["schemas"].items()
            if name.endswith("v1.Widget")
        }

    api.get(f"/openapi/v3/apis/{widget.group}/v1", only=schema)


@case
def the_paths_of_a_defined_kind_in_openapi(api: Dialogue) -> None:
    widget = api.define()
    described(api, widget)

    def paths(body: Any) -> Any:
        return {path: sorted(set(item) - {"parameters"}) for path, item in body["paths"].items()}

    api.get(f"/openapi/v3/apis/{widget.group}/v1", only=paths)


@case
def openapi_of_nothing_is_not_found(api: Dialogue) -> None:
    api.get("/openapi/v3/apis/none.test/v1", expect=404)


@case
def the_health_of_the_server(api: Dialogue) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        api.get(path)


@case
def one_object_as_a_table(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a", {"k": "v", "l": "w"}))
    api.get(f"{api.config_maps}/a", accept=TABLE)
    api.get(f"{api.config_maps}/a", accept=TABLE, includeObject="None")
    api.get(f"{api.config_maps}/b", accept=TABLE, expect=404)


@case
def built_in_kinds_have_their_own_tables(api: Dialogue) -> None:
    secrets, leases = api.path("secrets"), api.path("leases", "coordination.k8s.io/v1")
    api.quietly("POST", secrets, {"metadata": {"name": "a"}, "stringData": {"k": "v"}, "type": "x.test/one"})
    api.quietly("POST", leases, {"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}})
    for path in (secrets, leases):
        api.get(path, accept=TABLE, only=lambda body: [[c["name"] for c in body["columnDefinitions"]], body["rows"]])
    api.get(f"/api/v1/namespaces/{api.namespace}", accept=TABLE, only=lambda body: body["rows"])


@case
def one_object_as_metadata_alone(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a", {"k": "v"}, labels={"l": "1"}))
    api.get(f"{api.config_maps}/a", accept=PARTIAL)
    api.patch(f"{api.config_maps}/a", {"metadata": {"labels": {"l": "2"}}}, accept=PARTIAL)
    api.delete(f"{api.config_maps}/a", accept=PARTIAL)


@case
def a_write_may_answer_with_a_table(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"), accept=TABLE)
    api.delete(f"{widget.path}/a", accept=TABLE)


@case
def rights_can_be_asked_for(api: Dialogue) -> None:
    attributes = {"namespace": api.namespace, "verb": "get", "resource": "configmaps"}
    spec = {"resourceAttributes": attributes}
    asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked)
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", who)
