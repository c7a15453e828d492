"""kubectl, unmodified: every way to look at things."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.clients.conftest import Kubectl


def config_map(name: str, value: str = "1", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"key": value},
    }


def listing(*items: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "web:1", "ports": [{"containerPort": 80}]}]},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}},
    },
}
WIDGET = {"apiVersion": "clients.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}


@pytest.fixture
def three(kubectl: Kubectl) -> Kubectl:
    """Three ConfigMaps: b first, so that no order comes by itself."""
    items = [config_map("b", "2", tier="x"), config_map("a", "3", tier="y"), config_map("c", "1", tier="x")]
    kubectl("create", "-f", "-", given=listing(*items))
    return kubectl


def rows(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_get_prints_the_columns_of_the_kind(three: Kubectl) -> None:
    head, *body = rows(three("get", "configmaps"))
    assert head == ["NAME", "DATA", "AGE"]
    assert [row[:2] for row in body if row[0] != "kube-root-ca.crt"] == [["a", "1"], ["b", "1"], ["c", "1"]]


def test_get_wide_prints_more_columns(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=listing(POD, DEPLOYMENT))
    assert rows(kubectl("get", "pod", "web"))[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    head, row = rows(kubectl("get", "pod", "web", "-o", "wide"))
    assert head[5:] == ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert row[:3] == ["web", "0/1", "Pending"]
    head, row = rows(kubectl("get", "deployments", "-o", "wide"))
    assert head == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert row[:4] == ["web", "0/2", "0", "0"]
    assert row[5:] == ["c", "web:1", "app=web"]


def test_get_prints_the_columns_that_a_crd_names(kubectl: Kubectl, widgets: str) -> None:
    kubectl("create", "-f", "-", given=WIDGET)
    head, row = rows(kubectl("get", "wd"))
    assert (head, row[:2]) == (["NAME", "SIZE", "READY"], ["w", "3"])
    assert rows(kubectl("get", "widgets.clients.example.com", "-o", "wide"))[0] == ["NAME", "SIZE", "READY", "NOTE"]


def test_get_prints_objects_as_yaml_json_and_names(three: Kubectl) -> None:
    assert '  key: "2"\nkind: ConfigMap\n' in three("get", "configmap", "b", "-o", "yaml")
    document = three.read("configmap", "b")
    assert (document["apiVersion"], document["kind"], document["data"]) == ("v1", "ConfigMap", {"key": "2"})
    assert three.read("configmaps", "-l", "tier=x")["kind"] == "List"
    assert three("get", "configmaps", "-l", "tier", "-o", "name").split() == [f"configmap/{n}" for n in "abc"]


def test_get_prints_what_a_template_asks_for(three: Kubectl) -> None:
    columns = "custom-columns=N:.metadata.name,V:.data.key"
    assert rows(three("get", "configmaps", "-l", "tier=x", "-o", columns)) == [["N", "V"], ["b", "2"], ["c", "1"]]
    path = "jsonpath={range .items[*]}{.metadata.name}={.data.key} {end}"
    assert three("get", "configmaps", "-l", "tier=x", "-o", path) == "b=2 c=1 "
    template = "go-template={{.data.key}}"
    assert three("get", "configmap", "a", "-o", template) == "3"


def test_get_selects_by_labels_and_fields_and_sorts(three: Kubectl) -> None:
    assert three("get", "configmaps", "-l", "tier in (x),tier!=y", "-o", "name").split() == [
        "configmap/b",
        "configmap/c",
    ]
    assert three("get", "configmaps", "--field-selector", "metadata.name=a", "-o", "name") == "configmap/a\n"
    assert [row[0] for row in rows(three("get", "configmaps", "-l", "tier", "--sort-by", ".data.key"))[1:]] == [
        "c",
        "b",
        "a",
    ]
    labels = three("get", "configmaps", "-l", "tier", "-L", "tier", "--show-labels")
    assert rows(labels)[0] == ["NAME", "DATA", "AGE", "TIER", "LABELS"]
    complaint = three.fails("get", "configmaps", "--field-selector", "data.key=1")
    assert '"data.key" is not a known field selector: only "metadata.name", "metadata.namespace"' in complaint


def test_get_in_all_namespaces_names_them(three: Kubectl) -> None:
    head, *body = rows(three("get", "configmaps", "-A", "-l", "tier"))
    assert head == ["NAMESPACE", "NAME", "DATA", "AGE"]
    assert [row[1] for row in body if row[0] == three.namespace] == ["a", "b", "c"]


def test_get_of_several_kinds_and_in_chunks(three: Kubectl) -> None:
    three("create", "secret", "generic", "s", "--from-literal=k=v")
    text = three("get", "configmap/a", "secret/s")
    assert "configmap/a" in text
    assert "secret/s" in text
    assert three("get", "configmaps", "-l", "tier", "--chunk-size=1", "-o", "name").split() == [
        f"configmap/{n}" for n in "abc"
    ]


def test_get_of_what_is_not_there_says_so(kubectl: Kubectl) -> None:
    assert kubectl.fails("get", "configmap", "no") == 'Error from server (NotFound): configmaps "no" not found\n'
    assert kubectl("get", "configmap", "no", "--ignore-not-found") == ""
    assert kubectl.run("get", "secrets").stderr == f"No resources found in {kubectl.namespace} namespace.\n"
    assert 'the server doesn\'t have a resource type "nothings"' in kubectl.fails("get", "nothings")


def test_describe_tells_about_every_sort_of_kind(kubectl: Kubectl, widgets: str) -> None:
    kubectl("create", "-f", "-", given=listing(POD, DEPLOYMENT, config_map("a"), WIDGET))
    pod = kubectl("describe", "pod", "web")
    assert re.search(r"(?m)^    Image: +web:1$", pod)
    assert re.search(r"(?m)^Events: +<none>$", pod)
    deployment = kubectl("describe", "deployment", "web")
    assert re.search(r"(?m)^Replicas: +2 desired \| 0 updated \| 0 total \| 0 available \| 0 unavailable$", deployment)
    assert re.search(r"(?m)^StrategyType: +RollingUpdate$", deployment)
    assert "key:\n----\n1\n" in kubectl("describe", "configmap", "a")
    assert re.search(r"(?m)^Status: +Active$", kubectl("describe", "namespace", kubectl.namespace))
    widget = kubectl("describe", "widget", "w")
    assert re.search(r"(?m)^  Size: +3$", widget)
    assert re.search(r"(?m)^API Version: +clients.example.com/v1$", widget)


def test_describe_and_events_show_the_events_of_an_object(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=POD)
    uid = kubectl.read("pod", "web")["metadata"]["uid"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.1"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "web",
            "namespace": kubectl.namespace,
            "uid": uid,
        },
        "reason": "Pulled",
        "message": "it was pulled",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 2,
        "source": {"component": "test"},
    }
    kubectl("create", "-f", "-", given=event)
    assert re.search(r"Normal +Pulled +\S+ \(x2 over \S+\) +test +it was pulled", kubectl("describe", "pod", "web"))
    assert re.search(r"Normal +Pulled +Pod/web +it was pulled", kubectl("events"))
    assert re.search(r"Normal +Pulled +pod/web +it was pulled", kubectl("get", "events"))


def test_a_watch_prints_every_change(three: Kubectl) -> None:
    watch = three.start("get", "configmaps", "-l", "tier=y", "-w", "-o", "name")
    assert watch.stdout is not None
    try:
        assert watch.stdout.readline() == "configmap/a\n"
        three("patch", "configmap", "a", "-p", '{"data":{"key":"4"}}')
        assert watch.stdout.readline() == "configmap/a\n"
        three("label", "configmap", "b", "tier=y", "--overwrite")
        assert watch.stdout.readline() == "configmap/b\n"
    finally:
        watch.kill()
        watch.communicate()


def test_a_watch_prints_tables_and_the_kind_of_event(three: Kubectl) -> None:
    watch = three.start("get", "configmaps", "-l", "tier=y", "--watch", "--output-watch-events")
    assert watch.stdout is not None
    try:
        assert watch.stdout.readline().split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert watch.stdout.readline().split()[:3] == ["ADDED", "a", "1"]
        three("patch", "configmap", "a", "-p", '{"data":{"more":"4"}}')
        assert watch.stdout.readline().split()[:3] == ["MODIFIED", "a", "2"]
        three("delete", "configmap", "a")
        assert watch.stdout.readline().split()[:3] == ["DELETED", "a", "2"]
    finally:
        watch.kill()
        watch.communicate()


def test_discovery_is_printed(kubectl: Kubectl, widgets: str) -> None:
    listed = rows(kubectl("api-resources"))
    assert listed[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["configmaps", "cm", "v1", "true", "ConfigMap"] in listed
    assert ["widgets", "wd", "clients.example.com/v1", "true", "Widget"] in listed
    wide = kubectl("api-resources", "--api-group=apps", "-o", "wide", "--verbs=watch", "--no-headers")
    deployments = next(row for row in rows(wide) if row[0] == "deployments")
    assert deployments[-2:] == ["create,delete,deletecollection,get,list,patch,update,watch", "all"]
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "apiextensions.k8s.io/v1", "clients.example.com/v1"} <= set(versions)


def test_explain_reads_the_schemas(kubectl: Kubectl, widgets: str) -> None:
    pods = kubectl("explain", "pod.spec.containers")
    assert re.search(r"(?m)^KIND: +Pod$", pods)
    assert re.search(r"(?m)^FIELD: containers <\[\]Container>$", pods)
    assert re.search(r"(?m)^  imagePullPolicy\t<string>$", pods)
    assert re.search(r"(?m)^GROUP: +apps$", kubectl("explain", "deployment"))
    size = kubectl("explain", "widget.spec.size")
    assert re.search(r"(?m)^FIELD: size <integer>$", size)
    assert "How large it is." in size
    assert "spec.replicas" not in kubectl("explain", "widget.status")
    assert re.search(r"(?m)^  replicas\t<integer>$", kubectl("explain", "widget", "--recursive").replace("    ", "  "))


def test_who_one_is_and_what_one_may(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("auth", "can-i", "delete", "deployments.apps", "--subresource=status") == "yes\n"
    assert re.search(r"(?m)^Groups +\[system:masters system:authenticated\]$", kubectl("auth", "whoami"))
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_the_server_tells_its_version_and_address(kubectl: Kubectl) -> None:
    assert "Server Version: v1." in kubectl("version")
    assert "Kubernetes control plane" in kubectl("cluster-info")
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert kubectl("get", "--raw", "/healthz") == "ok"
