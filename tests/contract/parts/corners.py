"""Answers that random requests to both servers found to differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import ANYTHING, INTEGER, STRING, closed, config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

written = part("create, update, patch")
scaled = part("status and generation")
deleted = part("finalizers and deletion")
defined = part("CRDs")

LABELS = {"a": "b"}
POD: dict[str, Any] = {"containers": [{"name": "c", "image": "i:1"}]}
TEMPLATE: dict[str, Any] = {"metadata": {"labels": LABELS}, "spec": POD}


@written
def what_is_empty_is_left_out(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {}))
    lease = {"metadata": {"name": "a"}, "spec": {"renewTime": "2001-01-01T00:00:00.123456+02:00"}}
    api.post(api.path("leases", "coordination.k8s.io/v1"), lease)
    hard = {"cpu": "0.5", "memory": "1024Mi", "requests.memory": "1.5Gi", "limits.cpu": "1e4"}
    api.post(api.path("resourcequotas"), {"metadata": {"name": "a"}, "spec": {"hard": hard}})
    api.post(api.path("roles", "rbac.authorization.k8s.io/v1"), {"metadata": {"name": "a"}})


@written
def a_patch_may_state_another_time_of_creation(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})


@written
def a_name_that_is_taken_and_a_name_to_generate(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.post(api.config_maps, config_map("a", generateName="b"), expect=409)


@written
def a_value_that_the_type_cannot_hold_is_applied(api: Dialogue) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "binaryData": {"z": "!!"}}
    api.apply(f"{api.config_maps}/a", body, expect=500)


@written
def a_job_has_defaults(api: Dialogue) -> None:
    pod = {**POD, "restartPolicy": "Never"}
    api.post(api.path("jobs", "batch/v1"), {"metadata": {"name": "a"}, "spec": {"template": {"spec": pod}}})


@written
def a_daemon_set_has_defaults(api: Dialogue) -> None:
    spec = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
    api.post(api.path("daemonsets", "apps/v1"), {"metadata": {"name": "a"}, "spec": spec})
    path = f"{api.path('daemonsets', 'apps/v1')}/a"
    api.patch(path, {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}})


@written
def a_network_policy_has_defaults(api: Dialogue) -> None:
    spec = {"podSelector": {}, "egress": [{}]}
    api.post(api.path("networkpolicies", "networking.k8s.io/v1"), {"metadata": {"name": "a"}, "spec": spec})


@written
def a_limit_range_has_defaults(api: Dialogue) -> None:
    limits = [{"type": "Container", "max": {"cpu": "1000m"}}]
    api.post(api.path("limitranges"), {"metadata": {"name": "a"}, "spec": {"limits": limits}})


@written
def a_pod_is_bound_and_evicted(api: Dialogue) -> None:
    api.post(api.path("pods"), {"metadata": {"name": "a"}, "spec": POD})
    path = f"{api.path('pods')}/a"
    api.get(api.path("pods"), fieldSelector="spec.nodeName=")
    api.post(f"{path}/binding", {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}})
    api.get(path)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    # A Pod on a node is not gone before its kubelet says so.
    api.post(api.path("pods"), {"metadata": {"name": "b"}, "spec": POD})
    api.post(f"{api.path('pods')}/b/eviction", {**eviction, "metadata": {"name": "b"}})
    api.get(f"{api.path('pods')}/b", expect=404)


@written
def an_apply_that_states_nothing_owns_nothing(api: Dialogue) -> None:
    item = {"type": "object", "required": ["k"], "properties": {"k": STRING}}
    lists = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}
    things = api.define(schema=closed(spec=closed(l=lists, s=STRING)))
    api.apply(f"{things.path}/a", things.make("a", spec={"l": []}))
    api.apply(f"{things.path}/a", things.make("a", spec={"l": [], "s": "x"}), manager="two")
    api.apply(f"{things.path}/b", things.make("b", spec={"s": None}), expect=422)
    api.patch(f"{things.path}/a", {"metadata": {"managedFields": []}})
    api.patch(f"{things.path}/a", {"metadata": {"resourceVersion": None}}, expect=422)


@scaled
def a_scale_of_zero_is_owned_by_nobody(api: Dialogue) -> None:
    spec = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
    path = f"{api.path('deployments', 'apps/v1')}/a"
    api.post(api.path("deployments", "apps/v1"), {"metadata": {"name": "a"}, "spec": spec})
    for replicas in (2, 0):
        api.patch(f"{path}/scale", {"spec": {"replicas": replicas}})
        api.get(path)
    other = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "b"}, "spec": {"replicas": 2}}
    api.put(f"{path}/scale", other, expect=400)


@deleted
def options_in_the_query_mean_nothing_beside_a_body(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.delete(f"{api.config_maps}/a", {}, propagationPolicy="Foreground")
    api.get(f"{api.config_maps}/a", expect=404)


@defined
def a_schema_whose_parts_are_no_schemas(api: Dialogue) -> None:
    for number, part_of_it in enumerate(
        (
            {"type": "object", "additionalProperties": 1},
            {"type": "object", "additionalProperties": {"type": 1}},
            {"type": "array", "items": {"type": "object", "properties": []}},
            {"type": "array", "items": {"type": "object", "properties": {"k": None}}},
            None,
        )
    ):
        schema = {"type": "object", "properties": {"spec": part_of_it}}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": f"parts{number}", "kind": f"Part{number}"}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{names['plural']}.{api.group}"},
            "spec": {"group": api.group, "names": names, "scope": "Namespaced", "versions": [version]},
        }
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        api.post(path, body, expect=422 if number in {3, 4} else 400)


@defined
def metadata_inside_is_decoded(api: Dialogue) -> None:
    inner = {**ANYTHING, "x-kubernetes-embedded-resource": True}
    things = api.define(schema=closed(spec=closed(o=inner, n=INTEGER)))
    for metadata in ({"name": 1}, 1):
        body = things.make("a", spec={"o": {"apiVersion": "v1", "kind": "X", "metadata": metadata}})
        api.post(things.path, body, expect=400)


@written
def an_autoscaler_has_its_metrics_in_one_version_and_a_percentage_in_the_other(api: Dialogue) -> None:
    about = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}
    old, new = (api.path("horizontalpodautoscalers", f"autoscaling/{version}") for version in ("v1", "v2"))
    api.post(old, {"metadata": {"name": "a"}, "spec": {**about, "targetCPUUtilizationPercentage": 50}})
    api.get(f"{new}/a")
    api.post(new, {"metadata": {"name": "b"}, "spec": about})
    api.get(f"{old}/b")
    api.post(old, {"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": about}, expect=400)
