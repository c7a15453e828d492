"""Objects as rows: every expected cell is what kube-apiserver 1.36.3 wrote for the same object."""

from __future__ import annotations

from typing import Any

import pytest

from kcontroller.embedded import recorded
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views import ages, jsonpath, tables

BORN = "2026-01-01T00:00:00Z"
NOW = (ages.parse(BORN) or 0) + 90


def _builtin(resource: str, version: str = "v1") -> Kind:
    return next(kind for kind in recorded.load().kinds if kind.resource == resource and kind.version == version)


def _object(**rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "creationTimestamp": BORN, **rest.pop("metadata", {})}, **rest}


def _cells(kind: Kind, document: dict[str, Any]) -> list[Any]:
    return list(tables.row(kind, document, NOW, include="None", version="v1")["cells"])


def _custom(*columns: dict[str, Any]) -> Kind:
    schema = Schema({"type": "object"})
    return Kind("example.com", "v1", "Widget", "widgets", "widget", True, "v1", schema, columns=columns, builtin=False)


def _column(path: str, kind: str, **rest: Any) -> dict[str, Any]:
    return {"name": "C", "type": kind, "jsonPath": path, **rest}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"),
        (-1.5, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (8 * 3600 - 60, "7h59m"),
        (8 * 3600, "8h"),
        (48 * 3600 - 1, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (2 * 365 * 86400, "2y"),
        (2516 * 86400, "6y326d"),
        (8 * 365 * 86400, "8y"),
    ],
)
def test_durations_read_as_kubectl_shows_them(seconds: float, expected: Any) -> None:
    assert ages.human(seconds) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "<unknown>"),
        ("", "<unknown>"),
        ("red", "<invalid>"),
        ("2026-13-01T00:00:00Z", "<invalid>"),
        (BORN, "90s"),
    ],
)
def test_a_time_is_shown_as_how_long_ago_it_was(text: str | None, expected: Any) -> None:
    assert ages.since(text, NOW) == expected


DOCUMENT = {
    "labels": {"foo.bar/baz": "lab"},
    "list": [{"a": "p", "n": 1}, {"a": "q", "n": 2}],
    "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}],
    "none": None,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".labels.foo\\.bar/baz", ["lab"]),
        (".labels['foo.bar/baz']", ["lab"]),
        ('.labels["foo.bar/baz"]', ["lab"]),
        ("$.list[0].a", ["p"]),
        (".list[-1].a", ["q"]),
        (".list[-1:].a", ["q"]),
        (".list[0:1].a", ["p"]),
        (".list[::2].a", ["p"]),
        (".list[*].a", ["p", "q"]),
        (".list[0,1].a", ["p", "q"]),
        (".list[*]['a','n']", ["p", "q", 1, 2]),
        ('.conditions[?(@.type=="Ready")].status', ["True"]),
        (".conditions[?(@.type!='Ready')].type", ["Other"]),
        (".conditions[?(@.status)].type", ["Ready"]),
        (".list[?(@.n>1)].a", ["q"]),
        (".list[?(@.n <= 1)].a", ["p"]),
        (".labels.*", ["lab"]),
        ("..status", ["True"]),
        (".none", [None]),
        (".none.deeper", []),
        (".nothing.at.all", []),
        (".list[5:5]", []),
    ],
)
def test_a_json_path_finds_what_client_go_finds(path: str, expected: Any) -> None:
    assert jsonpath.parse(path)(DOCUMENT) == expected


@pytest.mark.parametrize("path", [".list[2]", ".labels[0]", ".labels[?(@.a==1)]", ".list[?(@.a>1)]", ".list[0:9]"])
def test_a_json_path_that_asks_for_the_impossible_says_so(path: str) -> None:
    with pytest.raises(jsonpath.NotThere):
        jsonpath.parse(path)(DOCUMENT)


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".{a}", ".a[]"])
def test_a_text_that_is_no_json_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="JSONPath"):
        jsonpath.parse(path)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "red", "red"),
        ("string", 3, "3"),
        ("string", 1.5, "1.5"),
        ("string", 2.0, "2"),
        ("string", True, "true"),
        ("string", None, "<no value>"),
        ("string", {"b": [1, "x", True, None], "a": "<"}, '{"a":"\\u003c","b":[1,"x",true,null]}'),
        ("integer", 3, 3),
        ("integer", 1.5, 1),
        ("integer", "red", None),
        ("integer", True, None),
        ("integer", None, None),
        ("number", 1.5, 1.5),
        ("number", "1", None),
        ("boolean", True, True),
        ("boolean", "true", None),
        ("date", BORN, "90s"),
        ("date", "red", "<invalid>"),
        ("date", 3, None),
    ],
)
def test_a_custom_cell_is_converted_by_its_columns_type(kind: str, value: Any, expected: Any) -> None:
    assert _cells(_custom(_column(".v", kind)), _object(v=value)) == ["a", expected]


def test_a_path_that_finds_nothing_leaves_the_cell_empty() -> None:
    columns = [_column(".nothing", "string"), _column(".v[3]", "string")]
    assert _cells(_custom(*columns), _object(v=[])) == ["a", None, None]


def test_of_several_results_the_first_is_shown() -> None:
    assert _cells(_custom(_column(".v[*]", "string")), _object(v=["x", "y"])) == ["a", "x"]


def test_custom_columns_are_defined_with_name_first() -> None:
    defined = tables.columns(_custom(_column(".spec.x", "integer", format="int32", priority=1)))
    assert [column["name"] for column in defined] == ["Name", "C"]
    assert defined[0]["format"] == "name"
    assert defined[1] == {
        "name": "C",
        "type": "integer",
        "format": "int32",
        "description": "Custom resource definition column (in JSONPath format): .spec.x",
        "priority": 1,
    }


def test_without_columns_a_custom_resource_shows_its_age() -> None:
    kind = _custom()
    assert [(column["name"], column["type"]) for column in tables.columns(kind)] == [
        ("Name", "string"),
        ("Age", "date"),
    ]
    assert _cells(kind, _object()) == ["a", "90s"]


CONTAINERS = {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}
SELECTOR = {
    "matchLabels": {"z": "y"},
    "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["q", "p"]},
        {"key": "c", "operator": "In", "values": ["q"]},
        {"key": "d", "operator": "Exists"},
        {"key": "e", "operator": "DoesNotExist"},
    ],
}
SELECTED = "a in (p,q),c in (q),d,!e,z=y"


def _waiting(name: str, reason: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": 0, "state": {"waiting": {"reason": reason}}, **rest}


@pytest.mark.parametrize(
    ("resource", "document", "expected"),
    [
        (
            "deployments.apps",
            {
                "spec": {"replicas": 3, "selector": SELECTOR, "template": {"spec": CONTAINERS}},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1},
            },
            ["a", "2/3", 3, 1, "90s", "c,d", "i,j", SELECTED],
        ),
        (
            "replicasets.apps",
            {"spec": {"replicas": 3, "selector": {}, "template": {"spec": CONTAINERS}}, "status": {"replicas": 2}},
            ["a", 3, 2, 0, "90s", "c,d", "i,j", "<none>"],
        ),
        (
            "statefulsets.apps",
            {"spec": {"replicas": 2, "template": {"spec": CONTAINERS}}},
            ["a", "0/2", "90s", "c,d", "i,j"],
        ),
        (
            "daemonsets.apps",
            {
                "spec": {"template": {"spec": {**CONTAINERS, "nodeSelector": {"b": "c", "a": "b"}}}},
                "status": {"desiredNumberScheduled": 4, "numberReady": 3},
            },
            ["a", 4, 0, 3, 0, 0, "a=b,b=c", "90s", "c,d", "i,j", "<none>"],
        ),
        (
            "replicationcontrollers",
            {"spec": {"replicas": 1, "selector": {"b": "c"}, "template": {"spec": CONTAINERS}}},
            ["a", 1, 0, 0, "90s", "c,d", "i,j", "b=c"],
        ),
        (
            "jobs.batch",
            {
                "spec": {"parallelism": 3, "template": {"spec": CONTAINERS}},
                "status": {"startTime": BORN, "succeeded": 1},
            },
            ["a", "Running", "1/1 of 3", "90s", "90s", "c,d", "i,j", "<none>"],
        ),
        (
            "jobs.batch",
            {
                "spec": {"completions": 1, "template": {"spec": CONTAINERS}},
                "status": {
                    "startTime": BORN,
                    "completionTime": "2026-01-01T00:00:05Z",
                    "succeeded": 1,
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            ["a", "Complete", "1/1", "5s", "90s", "c,d", "i,j", "<none>"],
        ),
        (
            "cronjobs.batch",
            {
                "spec": {
                    "schedule": "* * * * *",
                    "suspend": True,
                    "jobTemplate": {"spec": {"template": {"spec": CONTAINERS}}},
                },
                "status": {"active": [{}], "lastScheduleTime": BORN},
            },
            ["a", "* * * * *", "<none>", "True", 1, "90s", "90s", "c,d", "i,j", "<none>"],
        ),
        (
            "services",
            {
                "spec": {
                    "type": "LoadBalancer",
                    "clusterIPs": ["10.0.0.7"],
                    "externalIPs": ["9.9.9.9"],
                    "ports": [{"port": 1, "nodePort": 30000, "protocol": "TCP"}, {"port": 2, "protocol": "UDP"}],
                    "selector": {"b": "c", "a": "d"},
                },
                "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}]}},
            },
            ["a", "LoadBalancer", "10.0.0.7", "2.2.2.2,9.9.9.9", "1:30000/TCP,2/UDP", "90s", "a=d,b=c"],
        ),
        (
            "services",
            {"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}},
            ["a", "ClusterIP", "None", "<none>", "<none>", "90s", "<none>"],
        ),
        (
            "services",
            {"spec": {"type": "ExternalName", "externalName": "x.y"}},
            ["a", "ExternalName", "<none>", "x.y", "<none>", "90s", "<none>"],
        ),
        (
            "ingresses.networking.k8s.io",
            {
                "spec": {"tls": [{}], "rules": [{"host": host} for host in "abcde"]},
                "status": {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "1.1.1.1"}]}},
            },
            ["a", "<none>", "a,b,c + 2 more...", "1.1.1.1,h", "80, 443", "90s"],
        ),
        ("configmaps", {"data": {"x": "y"}, "binaryData": {"z": ""}}, ["a", 2, "90s"]),
        ("secrets", {"type": "Opaque", "data": {"x": "eQ=="}}, ["a", "Opaque", 1, "90s"]),
        ("namespaces", {"status": {"phase": "Active"}}, ["a", "Active", "90s"]),
        (
            "nodes",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/b": "", "kubernetes.io/role": "a"}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "False"}],
                    "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
                    "nodeInfo": {"kubeletVersion": "v1", "kernelVersion": "k", "architecture": "amd64"},
                },
            },
            [
                *("a", "NotReady,SchedulingDisabled", "a,b", "90s", "v1"),
                *("1.2.3.4", "<none>", "<unknown>", "k (amd64)", "<unknown>"),
            ],
        ),
        (
            "events",
            {
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.x"},
                "source": {"component": "kubelet", "host": "h"},
                "message": " hi ",
                "reason": "R",
                "type": "Warning",
                "count": 4,
                "firstTimestamp": "2025-12-31T23:00:00Z",
                "lastTimestamp": BORN,
            },
            ["90s", "Warning", "R", "pod/p", "spec.x", "kubelet, h", "hi", "61m", 4, "a"],
        ),
        (
            "events",
            {
                "involvedObject": {"kind": "Pod"},
                "reportingComponent": "c/d",
                "reportingInstance": "i",
                "message": "hi",
                "eventTime": "2025-12-31T23:00:00.000000Z",
                "series": {"count": 7, "lastObservedTime": BORN},
            },
            ["90s", "", "", "pod", "", "c/d, i", "hi", "61m", 7, "a"],
        ),
        ("serviceaccounts", {}, ["a", "90s"]),
        ("leases.coordination.k8s.io", {"spec": {"holderIdentity": "h"}}, ["a", "h", "90s"]),
        ("clusterroles.rbac.authorization.k8s.io", {}, ["a", BORN]),
        ("customresourcedefinitions.apiextensions.k8s.io", {}, ["a", BORN]),
        (
            "rolebindings.rbac.authorization.k8s.io",
            {
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [
                    {"kind": "User", "name": "u"},
                    {"kind": "User", "name": "v"},
                    {"kind": "Group", "name": "g"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
                ],
            },
            ["a", "Role/r", "90s", "u, v", "g", "n/s"],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {
                "addressType": "IPv4",
                "endpoints": [{"addresses": [f"1.1.1.{number}"]} for number in range(4)],
                "ports": [{"port": 1, "name": "x"}, {"name": "b"}],
            },
            ["a", "IPv4", "1,b", "1.1.1.0,1.1.1.1,1.1.1.2 + 1 more...", "90s"],
        ),
        ("endpointslices.discovery.k8s.io", {"addressType": "IPv4"}, ["a", "IPv4", "<unset>", "<unset>", "90s"]),
        (
            "persistentvolumeclaims",
            {
                "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
                "status": {
                    "phase": "Bound",
                    "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
                    "capacity": {"storage": "2Gi"},
                },
            },
            ["a", "Bound", "v", "2Gi", "RWO,ROX", "s", "<unset>", "90s", "Filesystem"],
        ),
        ("poddisruptionbudgets.policy", {"spec": {"maxUnavailable": "30%"}}, ["a", "N/A", "30%", 0, "90s"]),
        (
            "pods",
            {
                "spec": {
                    **CONTAINERS,
                    "nodeName": "n",
                    "readinessGates": [{"conditionType": "G"}, {"conditionType": "H"}],
                },
                "status": {
                    "phase": "Running",
                    "podIPs": [{"ip": "1.2.3.4"}],
                    "conditions": [{"type": "Ready", "status": "True"}, {"type": "G", "status": "True"}],
                    "containerStatuses": [
                        {
                            "name": "c",
                            "ready": True,
                            "restartCount": 3,
                            "state": {"running": {}},
                            "lastState": {"terminated": {"finishedAt": BORN}},
                        },
                        {
                            "name": "d",
                            "restartCount": 0,
                            "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
                        },
                    ],
                },
            },
            ["a", "1/2", "Running", "3 (90s ago)", "90s", "1.2.3.4", "n", "<none>", "1/2"],
        ),
        (
            "pods",
            {
                "spec": {**CONTAINERS, "initContainers": [{"name": "i"}]},
                "status": {
                    "phase": "Pending",
                    "initContainerStatuses": [_waiting("i", "CrashLoopBackOff", restartCount=1)],
                },
            },
            ["a", "0/2", "Init:CrashLoopBackOff", "1", "90s", "<none>", "<none>", "<none>", "<none>"],
        ),
        (
            "pods",
            {
                "spec": {**CONTAINERS, "initContainers": [{"name": "s", "restartPolicy": "Always"}]},
                "status": {
                    "phase": "Running",
                    "initContainerStatuses": [{"name": "s", "ready": True, "started": True, "restartCount": 2}],
                    "containerStatuses": [_waiting("c", "ImagePullBackOff")],
                },
            },
            ["a", "1/3", "ImagePullBackOff", "2", "90s", "<none>", "<none>", "<none>", "<none>"],
        ),
        (
            "pods",
            {"metadata": {"deletionTimestamp": BORN}, "spec": CONTAINERS, "status": {"phase": "Running"}},
            ["a", "0/2", "Terminating", "0", "90s", "<none>", "<none>", "<none>", "<none>"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_cells_of_a_built_in_kind_are_the_real_ones(resource: str, document: dict[str, Any], expected: Any) -> None:
    kind = _builtin(resource)
    assert _cells(kind, _object(**document)) == expected
    assert len(tables.columns(kind)) == len(expected)


def test_a_kind_whose_cells_are_not_known_shows_name_and_age_and_defines_no_more() -> None:
    kind = _builtin("horizontalpodautoscalers.autoscaling", "v2")
    assert _cells(kind, _object()) == ["a", "90s"]
    assert [column["name"] for column in tables.columns(kind)] == ["Name", "Age"]


@pytest.mark.parametrize("kind", recorded.load().kinds, ids=lambda kind: kind.resource)
def test_every_built_in_kind_has_a_cell_for_each_column_even_of_a_bare_object(kind: Kind) -> None:
    assert len(_cells(kind, {"metadata": {"resourceVersion": "1"}})) == len(tables.columns(kind))


def test_a_finished_pod_says_so_beside_its_cells() -> None:
    row = tables.row(_builtin("pods"), _object(status={"phase": "Failed"}), NOW, include="None", version="v1")
    condition = {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    assert row["conditions"] == [condition]


@pytest.mark.parametrize(
    ("include", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap")]
)
def test_what_stands_beside_the_cells_is_chosen(include: str, kind: str | None) -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", **_object()}
    made = tables.row(_builtin("configmaps"), document, NOW, include=include, version="v1")["object"]
    assert (made and made["kind"]) == kind


def test_another_choice_is_refused() -> None:
    with pytest.raises(Refusal, match="includeObject: Invalid value: \"Bogus\": must be 'Metadata'") as caught:
        tables.check_include("Bogus")
    assert caught.value.code == 400
