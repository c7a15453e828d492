"""Writes to a real kube-apiserver, one after the other, and what became of each: the data of the ownership tests.

::

    .venv/bin/python tests/unit/embedded/golden_writes.py       # after a new version in testing/binaries.py

A step says what is sent; `decided` names fields that the server sets itself after it has written the owners down, and
`defaulted` that it adds defaults, so that the objects cannot be compared as a whole.
"""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kcontroller.embedded import recorded
from kcontroller.embedded.kinds import Kind, Subresource
from kcontroller.embedded.schemas import Schema

DATA = Path(__file__).parent / "data" / "writes-1.36.3.json.gz"

CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
THING_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer"},
                "name": _TEXT,
                "on": {"type": "boolean", "default": True},
                "atomic": {"type": "array", "items": _TEXT},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": _TEXT},
                "numbers": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {
                        "type": "object",
                        "required": ["port"],
                        "properties": {
                            "port": {"type": "integer"},
                            "protocol": {"type": "string", "default": "TCP"},
                            "note": _TEXT,
                            "options": _TEXTS,
                        },
                    },
                },
                "labels": _TEXTS,
                "selector": {**_TEXTS, "x-kubernetes-map-type": "atomic"},
                "objects": {
                    "type": "object",
                    "additionalProperties": {"type": "object", "properties": {"x": _TEXT, "y": _TEXT}},
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "any": {"x-kubernetes-preserve-unknown-fields": True},
                "port": {"x-kubernetes-int-or-string": True},
                "nested": {
                    "type": "object",
                    "properties": {"a": {"type": "object", "properties": {"b": _TEXT, "c": _TEXT}}},
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": _TEXT,
                "count": {"type": "integer"},
                "conditions": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": _TEXT, "status": _TEXT, "reason": _TEXT},
                    },
                },
            },
        },
    },
}
_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": THING_SCHEMA},
            }
        ],
    },
}

THINGS = "/apis/example.com/v1/namespaces/default/things"
MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
STEPS: list[dict[str, Any]] = []


def step(
    title: str,
    do: str,
    path: str,
    body: Any,
    *,
    manager: str = "m",
    force: bool = False,
    sub: str = "",
    decided: Any = (),
    defaulted: bool = False,
) -> None:
    STEPS.append(
        {
            "title": title,
            "do": do,
            "path": path,
            "body": body,
            "manager": manager,
            "force": force,
            "sub": sub,
            "decided": list(decided),
            "defaulted": defaulted,
        }
    )


def thing(spec: Any = None, *, name: str = "t", status: Any = None, **meta: Any) -> dict[str, Any]:
    document = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name, **meta}}
    if spec is not None:
        document["spec"] = spec
    if status is not None:
        document["status"] = status
    return document


def _things() -> None:
    at = f"{THINGS}/t"
    full = {
        "size": 1,
        "ports": [{"port": 443}, {"port": 80}],
        "tags": ["x", "b", "<&>"],
        "numbers": [10, 9],
        "labels": {"k": "v"},
        "selector": {"a": "b"},
        "objects": {"o": {"x": "1"}, "p": {}},
        "free": {"a": {"b": [1, {"c": 2}]}, "e": {}},
        "any": {"z": 1},
        "nested": {"a": {"b": "1"}},
        "atomic": ["q"],
    }
    owner = {"apiVersion": "v1", "kind": "X", "name": "n", "uid": "u1"}
    step(
        "everything is created",
        "create",
        THINGS,
        thing(full, labels={"l": "1"}, annotations={"a": "1"}, ownerReferences=[owner]),
    )

    def merge(title: str, body: Any, **more: Any) -> None:
        step(title, "merge", at, body, **more)

    def apply(title: str, body: Any, **more: Any) -> None:
        step(title, "apply", at, body, **more)

    merge(
        "fields, items, members and an atomic map change",
        {
            "spec": {
                "size": 2,
                "labels": {"k": None, "z": "1"},
                "ports": [{"port": 80}, {"port": 81, "options": {"a": "b"}}],
                "tags": ["b", "c"],
                "selector": {"q": "r"},
            }
        },
        manager="n",
        defaulted=True,
    )
    merge(
        "a map goes and unknown fields change their type",
        {"spec": {"labels": None, "free": {"a": {"b": None}, "e": 1, "f": {"x": {}}}, "any": "text", "port": 5}},
        manager="o",
    )
    merge(
        "lists become empty",
        {
            "spec": {
                "any": [1],
                "port": "x",
                "ports": [],
                "tags": [],
                "nested": {"a": {}},
                "objects": {"o": None, "p": {"x": "1", "y": "2"}},
            }
        },
    )
    merge(
        "empty maps are filled",
        {"spec": {"any": {"a": {"b": 1}}, "nested": {"a": {"b": "x", "c": "d"}}, "free": {"a": [1], "f": 2}}},
        manager="p",
    )
    merge(
        "metadata changes",
        {
            "metadata": {
                "labels": {"l": "2", "m": "3"},
                "finalizers": ["a.b/c", "d.e/f"],
                "ownerReferences": [{**owner, "name": "n2"}, {**owner, "uid": "u2"}],
            }
        },
        manager="p",
    )
    merge("metadata goes", {"metadata": {"finalizers": ["d.e/f"], "labels": None}})
    conditions = [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}]
    merge(
        "status is written, and nothing else through its path",
        {
            "status": {"phase": "a", "count": 1, "conditions": conditions},
            "spec": {"size": 9},
            "metadata": {"labels": {"zz": "1"}},
        },
        sub="status",
    )
    merge(
        "another takes a part of the status",
        {"status": {"phase": "b", "conditions": [{"type": "A", "status": "True"}]}},
        manager="m2",
        sub="status",
    )
    merge("the status goes", {"status": None}, manager="m2", sub="status")
    merge("the main path does not write status", {"spec": {"size": 3}, "status": {"phase": "no"}}, manager="m2")
    merge("nothing changes", {"spec": {"size": 3}}, manager="q")
    first = {"size": 3, "ports": [{"port": 80, "note": "x"}, {"port": 90}], "tags": ["t1"], "labels": {"q": "r"}}
    apply("an apply adds to what others own", thing(first), manager="ap", defaulted=True)
    apply("the same again", thing(first), manager="ap")
    second = {"ports": [{"port": 90}], "tags": ["t1", "t2"], "labels": {"q": "r", "s": "t"}}
    apply("two apply the same", thing(second), manager="ap2")
    apply("what is left out goes unless another owns it", thing({"size": 3, "ports": [{"port": 80}]}), manager="ap")
    apply("labels alone", thing({"labels": {"a": "b"}, "tags": ["t1"], "ports": [{"port": 90}]}), manager="ap2")
    apply("no spec at all", thing(), manager="ap")
    granular = {
        "objects": {"n": {"x": "1", "y": "2"}},
        "free": {"g": {"h": 1}, "l": [1]},
        "nested": {"a": {"c": "1"}},
    }
    apply("a forced apply", thing(granular), manager="ap", force=True)
    apply(
        "conflicts with one",
        thing({"objects": {"n": {"y": "2"}}, "size": 4, "selector": {"a": "z"}}, labels={"a": "b"}),
        manager="ap3",
    )
    apply(
        "conflicts with several",
        thing({"size": 7, "free": {"g": {"h": 2}, "l": [2]}, "nested": {"a": {"b": "q", "c": "2"}}}),
        manager="ap3",
    )
    apply("one conflict", thing({"size": 7}), manager="ap3")
    apply("atomic values", thing({"selector": {"a": "z"}, "atomic": ["n"]}), manager="ap3", force=True)
    apply("an atomic map becomes empty", thing({"atomic": ["m"], "selector": {}}), manager="ap3")
    changed = {"any": "s", "free": {"a": {"x": 1}}}
    apply("unknown fields change their type", thing(changed), manager="ap3", force=True)
    apply("and back", thing({"any": {"b": {"c": 2}}, "free": {"a": 1}}), manager="ap3", force=True)
    apply(
        "status is applied",
        thing({"size": 55}, status={"phase": "z", "conditions": [{"type": "A", "status": "True"}]}, labels={"no": "1"}),
        manager="sa",
        sub="status",
        defaulted=True,
    )
    apply(
        "a condition is left out",
        thing(status={"phase": "z2", "conditions": [{"type": "B", "status": "True"}]}),
        manager="sa",
        sub="status",
    )
    apply(
        "a conflict in status",
        thing(status={"phase": "z3", "conditions": [{"type": "B", "status": "False"}]}),
        manager="sb",
        sub="status",
    )
    apply("status through the main path", thing(status={"phase": "z3"}), manager="sb", defaulted=True)
    merge("a write after an apply of the same manager", {"spec": {"selector": {"u": "v"}, "any": 5}}, manager="ap3")
    apply("members in order", thing({"tags": ["a", "b", "c", "d", "e"]}), manager="or")
    apply("others in between", thing({"tags": ["x", "c", "b", "y"]}), manager="or2")
    apply("backwards", thing({"tags": ["e", "a"]}), manager="or3")
    apply("fewer, in another order", thing({"tags": ["d", "n", "a", "e"]}), manager="or")
    apply("numbers", thing({"numbers": [2, 10, 1], "port": 7, "free": {"n": 1.5}}), manager="or", force=True)
    meta: dict[str, Any] = {
        "annotations": {"x": "y"},
        "finalizers": ["z.z/z"],
        "ownerReferences": [{**owner, "uid": "u9"}],
    }
    apply("metadata is applied", thing({}, **meta), manager="mm")
    apply("other metadata", thing({}, annotations={"x2": "y"}), manager="mm")
    for number in range(13):
        merge(f"many managers, {number}", {"spec": {"labels": {f"k{number}": "v"}}}, manager=f"manager-{number:02}")
    merge("ownership is taken back", {"metadata": {"managedFields": [{}]}})
    merge("nobody is tracked then", {"spec": {"size": 70}})
    apply("until the next apply", thing({"size": 71}), manager="late", force=True)
    apply("an undeclared field", thing({"zork": 1}))
    apply("a wrong type", thing({"size": "x"}))
    apply("a map for a list", thing({"tags": {"a": 1}}))
    apply("a list for a map", thing({"labels": [1]}))
    apply("a number for a text", thing({"name": 1}))
    apply("a text for a flag", thing({"on": "y"}))
    apply("a wrong type in a list", thing({"atomic": ["a", {"b": 1}]}))
    apply("items of one name", thing({"ports": [{"port": 1}, {"port": 1}]}))
    apply("equal members", thing({"tags": ["a", "a"]}))
    apply("null as an item", thing({"ports": [None]}))
    apply("a text as an item", thing({"ports": ["a"]}))
    apply("null as a member", thing({"tags": [None]}))
    apply("a map as a member", thing({"tags": [{"a": 1}]}))
    apply("a list as a member", thing({"tags": [["a"]]}))
    apply("owners in the configuration", thing({}, managedFields=[]))
    apply("another kind", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}})
    apply("no kind", {"metadata": {"name": "t"}})
    step(
        "an apply creates",
        "apply",
        f"{THINGS}/new",
        thing({"size": 1, "ports": [{"port": 1}]}, name="new", labels={"a": "b"}),
        defaulted=True,
    )


def _container(name: str, image: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        **more,
    }


def deployment(spec: Any, *, name: str = "d", **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, **meta}, "spec": spec}


def _pod(spec: Any) -> dict[str, Any]:
    return {"template": {"spec": spec}}


# Taken from `kubectl apply -v=9`, for a Deployment of which nearly everything was changed.
_KUBECTL_APPLY = {
    "metadata": {"annotations": {"team": "b"}, "labels": {"tier": None}},
    "spec": {
        "replicas": None,
        "strategy": {"$retainKeys": ["type"], "rollingUpdate": None, "type": "Recreate"},
        "template": {
            "metadata": {"labels": {"v": "2"}},
            "spec": {
                "$setElementOrder/containers": [{"name": "new"}, {"name": "a"}],
                "$setElementOrder/volumes": [{"name": "v"}],
                "containers": [
                    _container("new", "new:1"),
                    {
                        "$setElementOrder/env": [{"name": "M"}, {"name": "C"}, {"name": "A"}],
                        "$setElementOrder/ports": [{"containerPort": 8080}],
                        "$setElementOrder/volumeMounts": [{"mountPath": "/x2"}],
                        "args": None,
                        "env": [
                            {"name": "M", "value": "4"},
                            {"name": "C", "value": "33"},
                            {"$patch": "delete", "name": "N"},
                        ],
                        "image": "app:2",
                        "name": "a",
                        "ports": [{"$patch": "delete", "containerPort": 80}],
                        "volumeMounts": [
                            {"mountPath": "/x2", "name": "v"},
                            {"$patch": "delete", "mountPath": "/x"},
                        ],
                    },
                    {"$patch": "delete", "name": "b"},
                ],
                "tolerations": [{"key": "z"}],
                "volumes": [
                    {
                        "$retainKeys": ["name", "secret"],
                        "emptyDir": None,
                        "name": "v",
                        "secret": {"secretName": "s", "defaultMode": 420},
                    },
                ],
            },
        },
    },
}


def _deployments() -> None:
    at = f"{DEPLOYMENTS}/d"
    port = {"containerPort": 80, "protocol": "TCP"}
    tls = {"containerPort": 443, "protocol": "TCP", "name": "s"}
    pod = {
        "containers": [
            _container(
                "a",
                "i:1",
                ports=[port, tls],
                args=["x", "y"],
                env=[{"name": name, "value": name} for name in "ABCDE"],
                livenessProbe={"httpGet": {"path": "/", "port": 80}},
                volumeMounts=[{"name": "v", "mountPath": "/x"}],
            ),
            _container("b", "i:1", securityContext={"capabilities": {"add": ["X"]}}),
            *(_container(name, "i:1") for name in "cd"),
        ],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "x", "defaultMode": 420}}],
        "tolerations": [{"key": "k"}],
        "nodeSelector": {"a": "b"},
        "imagePullSecrets": [{"name": "s1"}, {"name": "s2"}],
        "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}],
    }
    labels = {"metadata": {"labels": {"a": "b"}, "annotations": {"n": "1"}}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {**labels, "spec": pod}}
    step(
        "a Deployment is created",
        "create",
        DEPLOYMENTS,
        deployment(spec, labels={"x": "y"}, annotations={"k": "v"}, finalizers=["a/b", "c/d", "e/f"]),
    )

    def strategic(title: str, body: Any, **more: Any) -> None:
        step(title, "strategic", at, body, **{"manager": "k", **more})

    def pods(title: str, body: Any, **more: Any) -> None:
        strategic(title, {"spec": _pod(body)}, **more)

    def apply(title: str, spec: Any, **more: Any) -> None:
        step(title, "apply", at, deployment(spec), **{"manager": "ssa", **more})

    pods("an image", {"containers": [{"name": "b", "image": "n:1"}]})
    pods("a container is added", {"containers": [_container("z", "z:1")]})
    pods("several", {"containers": [_container("y", "y:1"), {"name": "c", "image": "q:1"}, _container("x", "x:1")]})
    pods("a container is deleted", {"containers": [{"name": "z", "$patch": "delete"}]})
    order = [{"name": name} for name in "dab"]
    pods("an order", {"$setElementOrder/containers": order, "containers": [{"name": "a", "image": "m:1"}]})
    pods("an order alone", {"$setElementOrder/containers": [{"name": name} for name in "cxya"]})
    pods(
        "an order of old and new",
        {
            "$setElementOrder/containers": [{"name": "n1"}, {"name": "a"}, {"name": "n2"}],
            "containers": [_container("n1", "m:1"), _container("n2", "m:1"), {"$patch": "delete", "name": "y"}],
        },
    )
    variables: list[dict[str, Any]] = [
        {"name": "N", "value": "n"},
        {"$patch": "delete", "name": "B"},
        {"name": "A", "value": "aa"},
    ]
    pods(
        "variables in order",
        {
            "containers": [
                {"name": "a", "$setElementOrder/env": [{"name": name} for name in "ENA"], "env": variables},
            ]
        },
    )
    variables = [{"name": "Z", "value": "n"}, {"name": "D", "value": "dd"}, {"name": "A", "value": None}]
    pods("variables", {"containers": [{"name": "a", "env": variables}]})
    ports = [{"containerPort": 443, "$patch": "delete"}, {"containerPort": 8080, "protocol": "TCP"}]
    pods("ports", {"containers": [{"name": "a", "ports": ports}]})
    pods("a list that is replaced", {"containers": [{"name": "a", "args": ["q"]}]})
    pods("a list goes", {"containers": [{"name": "a", "args": None}]})
    strategic("finalizers are added", {"metadata": {"finalizers": ["z/z", "c/d"]}})
    strategic("a finalizer goes", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}})
    both = {
        "$deleteFromPrimitiveList/finalizers": ["e/f"],
        "$setElementOrder/finalizers": ["q/q", "c/d"],
        "finalizers": ["q/q"],
    }
    strategic("finalizers in order", {"metadata": both})
    marked = {"labels": {"x": None, "n": "m"}, "annotations": {"$patch": "replace", "only": "this"}}
    strategic("labels and annotations", {"metadata": marked})
    strategic("labels go", {"metadata": {"labels": {"$patch": "delete"}}})
    strategic("a union changes", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})
    volume = {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x", "type": ""}}
    pods("a volume changes its source", {"volumes": [volume]})
    pods("a list is replaced on demand", {"volumes": [{"$patch": "replace"}, {"name": "v", "emptyDir": {}}]})
    pods("an atomic list", {"tolerations": [{"key": "z"}, {"key": "k", "operator": "Exists"}]})
    pods("names alone", {"imagePullSecrets": [{"name": "s3"}, {"name": "s1"}]})
    pods("an empty patch list", {"imagePullSecrets": []})
    pods("a struct is replaced", {"securityContext": {"$patch": "replace", "fsGroup": 1}})
    pods("no merge key", {"containers": [{"image": "x"}]})
    pods("a text as an item", {"tolerations": [{"key": "z"}], "imagePullSecrets": ["a"]})
    pods("an unknown directive", {"containers": [{"name": "a", "$patch": "foo"}]})
    pods("an unknown directive in a map", {"$patch": "foo"})
    pods("a merge directive", {"containers": [{"name": "a", "$patch": "merge"}]})
    pods(
        "another order than stated",
        {"$setElementOrder/containers": [{"name": "x"}], "containers": [{"name": "b", "image": "q"}]},
    )
    pods("an order of texts", {"$setElementOrder/containers": ["a"], "containers": [{"name": "b", "image": "q"}]})
    strategic("keys that are not retained", {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}})
    strategic("retained keys that are no list", {"spec": {"strategy": {"$retainKeys": "x"}}})
    strategic("an order that is no list", {"metadata": {"$setElementOrder/finalizers": "a"}})
    strategic("an order of an unknown list", {"metadata": {"$setElementOrder/zork": ["a"]}})
    strategic("an order of no list", {"metadata": {"$setElementOrderx": ["a"]}})
    strategic("a deletion from no list", {"metadata": {"$deleteFromPrimitiveListx": ["a/b"]}})
    strategic("lists of lists", {"metadata": {"finalizers": [["a"]]}})
    strategic("a text for a number", {"spec": {"replicas": "x"}})
    strategic("a list for a struct", {"spec": []})
    strategic("a text for a list", {"spec": _pod({"containers": "x"})})
    strategic("a number for a text", {"metadata": {"labels": {"a": 1}}})
    strategic("an object without a name", {"$patch": "delete"})
    step("what kubectl apply sends", "strategic", at, _KUBECTL_APPLY, manager="kubectl-client-side-apply")
    step("a part of a struct", "merge", at, {"spec": {"paused": True, "template": {"metadata": {"annotations": None}}}})
    status = {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}
    strategic(
        "the status of a Deployment",
        {"status": status, "metadata": {"labels": {"q": "r"}, "annotations": {"revision": "1"}}},
        manager="dc",
        sub="status",
        defaulted=True,
    )
    new = {"name": "a", "image": "new:1"}
    apply("a conflict in a container", _pod({"containers": [{**new, "env": [{"name": "D", "value": "2"}]}]}))
    added = {**new, "env": [{"name": "D", "value": "2"}, {"name": "M", "value": "1"}], "ports": [port]}
    apply("a container is applied", _pod({"containers": [added]}), force=True)
    apply("variables and ports are left out", _pod({"containers": [new]}))
    apply("a new container", _pod({"containers": [new, {"name": "q", "image": "z:1"}]}), defaulted=True)
    apply("without it again", _pod({"containers": [new]}))
    empty = {**_pod({"containers": [{**new, "resources": {}}]}), "strategy": {}}
    empty["template"]["metadata"] = {"creationTimestamp": None}
    apply("null and empty fields", empty)
    apply("null and empty fields again", empty)
    apply("undeclared", {"foo": 1})
    apply("an item without its key", _pod({"containers": [{"name": "a", "ports": [port, port]}]}))
    apply("a conflict over replicas", {"replicas": 7, "selector": {"matchLabels": {"a": "c"}}}, manager="ssb")


def _others() -> None:
    def merge(title: str, path: str, body: Any, **more: Any) -> None:
        step(title, "merge", path, body, **more)

    def config(data: Any, **meta: Any) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **meta}, **data}

    at = f"{MAPS}/c"
    step("a ConfigMap is created", "create", MAPS, config({"data": {"a": "1", "b": "2"}, "binaryData": {"x": "YQ=="}}))
    merge("keys change", at, {"data": {"a": None, "c": "3"}, "immutable": False}, manager="n")
    merge("all keys go", at, {"data": None}, manager="n")
    merge("keys come back", at, {"data": {"z": "1"}}, manager="n")
    step("one conflict over a key", "apply", at, config({"data": {"z": "2", "y": "1"}}), manager="ap")
    step("a key is shared", "apply", at, config({"data": {"z": "1", "y": "1"}}), manager="ap")
    step("no data any more", "apply", at, config({}), manager="ap")
    operations = [
        {"op": "test", "path": "/data/z", "value": "1"},
        {"op": "replace", "path": "/data/new", "value": "2"},
        {"op": "copy", "from": "/data/new", "path": "/data/copy"},
        {"op": "move", "from": "/data/z", "path": "/data/moved"},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a/b", "c/d", "e/f"]},
        {"op": "add", "path": "/metadata/finalizers/-1", "value": "last/one"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
    ]
    step("operations", "json", at, operations)
    step("an operation that does not apply", "json", at, [{"op": "remove", "path": "/data/none"}])
    step("a test that fails", "json", at, [{"op": "test", "path": "/data/new", "value": "3"}])
    step("an unknown operation", "json", at, [{"op": "foo", "path": "/data"}])
    step("an operation of a wrong type", "json", at, [{"op": 1, "path": "/data"}])
    step("operations that are no list", "json", at, {})
    merge("a merge patch that is a list", at, [])
    merge("a wrong type of a value", at, {"data": {"a": 1}})
    merge("another kind of object", at, {"apiVersion": "v2"})
    merge("no metadata", at, {"metadata": None})

    at = f"{SERVICES}/s"
    meta = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    ports = [{"name": "h", "port": 80, "targetPort": 8080}, {"name": "s", "port": 443}]
    given = [("spec", name) for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")]
    spec = {"selector": {"a": "b"}, "ports": ports}
    step("a Service is created", "create", SERVICES, {**meta, "spec": spec}, decided=given)
    ports = [{"port": 443, "name": "s", "targetPort": "x"}, {"port": 53, "protocol": "UDP", "name": "d"}]
    step(
        "ports are merged by number alone",
        "strategic",
        at,
        {"spec": {"ports": ports, "selector": {"c": "d"}}},
        manager="k",
        defaulted=True,
    )
    ports = [{"port": 443, "targetPort": 9}, {"port": 444, "name": "z", "targetPort": 4, "protocol": "TCP"}]
    spec = {"ports": ports, "selector": {"x": "y"}}
    step("a conflict over a port", "apply", at, {**meta, "spec": spec}, manager="ap")
    step("a port is applied", "apply", at, {**meta, "spec": {**spec, "ports": ports[1:]}}, manager="ap", force=True)
    step("and left out", "apply", at, {**meta, "spec": {"selector": {"x": "y"}}}, manager="ap", force=True)

    made: dict[str, dict[str, Any]] = {
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles": {
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
        },
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings": {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"},
            "subjects": [{"kind": "User", "name": "x", "apiGroup": "rbac.authorization.k8s.io"}],
        },
        "/apis/coordination.k8s.io/v1/namespaces/default/leases": {
            "spec": {"holderIdentity": "x", "leaseDurationSeconds": 5, "renewTime": "2024-01-01T00:00:00.000000Z"}
        },
        "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies": {
            "spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"from": [{"podSelector": {}}]}]}
        },
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets": {
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}
        },
        "/api/v1/namespaces/default/events": {
            "involvedObject": {"kind": "Pod", "name": "x", "namespace": "default"},
            "reason": "r",
            "message": "m",
            "type": "Normal",
            "count": 1,
            "firstTimestamp": "2024-01-01T00:00:00Z",
            "lastTimestamp": "2024-01-01T00:00:00Z",
            "source": {"component": "c"},
        },
    }
    kinds = ("Role", "RoleBinding", "Lease", "NetworkPolicy", "PodDisruptionBudget", "Event")
    for kind, (path, content) in zip(kinds, made.items(), strict=True):
        api_version = path.removeprefix("/apis/").removeprefix("/api/").partition("/namespaces")[0]
        document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **content}
        step(f"a {kind} is created", "create", path, document)


_things()
_deployments()
_others()


THING = Kind(
    "example.com",
    "v1",
    "Thing",
    "things",
    "thing",
    namespaced=True,
    storage_version="v1",
    schema=Schema(THING_SCHEMA),
    subresources={"status": Subresource("Thing", "example.com", "v1", ("get", "patch", "update"))},
    builtin=False,
)


def kind_at(path: str) -> Kind:
    """Find the kind that a step writes."""
    plural = path.partition("/namespaces/default/")[2].partition("/")[0]
    if plural == "things":
        return THING
    group = path.split("/")[2] if path.startswith("/apis/") else ""
    return next(kind for kind in recorded.load().kinds if (kind.group, kind.plural) == (group, plural))


@cache
def _golden() -> tuple[dict[str, Any], ...]:
    results = json.loads(gzip.decompress(DATA.read_bytes())) if DATA.exists() else []
    return tuple({**step, **result} for step, result in zip(STEPS, results, strict=bool(results)))


def golden(do: str, *, refused: bool) -> list[dict[str, Any]]:
    """Give the steps of some ways to write, with the object before, and the code and document of the answer."""
    return [each for each in _golden() if each["do"] in do.split() and (each["code"] >= 300) is refused]


def titles(steps: list[dict[str, Any]]) -> list[str]:
    """Give names for parametrized tests."""
    return [each["title"].replace(" ", "-") for each in steps]


def content(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a write does not change, and status."""
    meta = {"labels", "annotations", "finalizers", "ownerReferences"}
    kept = {name: value for name, value in document["metadata"].items() if name in meta and value}
    return {**{name: value for name, value in document.items() if name != "status"}, "metadata": kept}


def _main() -> None:
    from kcontroller.testing.control_plane import ControlPlane  # noqa: PLC0415 - only the recording needs it

    results = []
    with ControlPlane(1) as plane:
        server = plane.servers[0]
        address = urlsplit(server.url)
        tls = ssl.create_default_context(cadata=server.ca_pem)
        connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=tls)

        def ask(method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {server.token}", "Content-Type": content_type}
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else None

        ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _CRD)
        while ask("GET", THINGS)[0] != 200:
            time.sleep(0.1)
        for each in STEPS:
            query = f"?fieldManager={each['manager']}" + ("&force=true" if each["force"] else "")
            if each["do"] == "create":
                before, (code, answer) = None, ask("POST", each["path"] + query, each["body"])
            else:
                status, before = ask("GET", each["path"])
                before = before if status == 200 else None
                at = f"{each['path']}/{each['sub']}".rstrip("/")
                code, answer = ask("PATCH", at + query, each["body"], CONTENT_TYPES[each["do"]])
            results.append({"before": before, "code": code, "answer": answer})
    text = json.dumps(results, separators=(",", ":")).encode()
    DATA.write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(results)} writes, {DATA.stat().st_size} bytes")  # noqa: T201 - a command


if __name__ == "__main__":
    _main()
