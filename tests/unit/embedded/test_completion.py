"""What is filled of workloads beyond the recorded defaults; the expectations are kube-apiserver's own answers."""

from __future__ import annotations

from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
POD: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
LABELS = {"a": "b"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD["spec"]}


def test_a_job_has_counts_selector_and_labels(server: Any) -> None:
    pod = {**POD["spec"], "restartPolicy": "Never"}
    body = {"metadata": {"name": "j"}, "spec": {"template": {"spec": pod}}}

    made = server.done("POST", "/apis/batch/v1/namespaces/default/jobs", body)

    spec, uid = made["spec"], made["metadata"]["uid"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 6)
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert spec["template"]["metadata"]["labels"]["job-name"] == "j"
    assert made["metadata"]["labels"] == spec["template"]["metadata"]["labels"]


def test_a_daemon_set_counts_its_templates(server: Any) -> None:
    sets = "/apis/apps/v1/namespaces/default/daemonsets"
    name = "deprecated.daemonset.template.generation"
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}}

    assert server.done("POST", sets, body)["metadata"]["annotations"] == {name: "1"}
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}}
    assert server.merge(f"{sets}/d", patch)["metadata"]["annotations"] == {name: "2"}


def test_a_rolling_update_that_is_named_alone_has_its_parameters(server: Any) -> None:
    spec = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, "strategy": {"type": "RollingUpdate"}}

    made = server.done(
        "POST", "/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "d"}, "spec": spec}
    )

    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}


def test_a_network_policy_is_of_the_types_that_it_has_rules_for(server: Any) -> None:
    policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
    body = {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "egress": [{}]}}

    assert server.done("POST", policies, body)["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_a_service_keeps_its_address(server: Any) -> None:
    given = server.done("POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})["spec"]

    patch = {"spec": {"clusterIP": "10.0.0.1"}}
    code, status = server.ask("PATCH", f"{SERVICES}/s", patch, "application/merge-patch+json")
    assert code == 422
    assert status["details"]["causes"][0]["field"] == "spec.clusterIPs[0]"
    assert server.merge(f"{SERVICES}/s", {"spec": {"clusterIP": None}})["spec"] == given


def test_a_service_that_becomes_a_name_loses_its_address(server: Any) -> None:
    server.done("POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})

    spec = server.merge(f"{SERVICES}/s", {"spec": {"type": "ExternalName", "externalName": "a.b"}})["spec"]

    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & spec.keys()


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"terminationGracePeriodSeconds": 5}, 422),
        ({"nodeName": "x"}, 422),
        ({"containers": [{"name": "c", "image": "i:1", "command": ["x"]}]}, 422),
        ({"containers": [{"name": "c", "image": "i:2"}]}, 200),
        ({"activeDeadlineSeconds": 5}, 200),
    ],
)
def test_little_of_a_pod_may_change(server: Any, patch: dict[str, Any], code: int) -> None:
    server.done("POST", PODS, POD)

    answered, status = server.ask("PATCH", f"{PODS}/p", {"spec": patch}, "application/strategic-merge-patch+json")

    assert answered == code
    if code == 422:
        assert "pod updates may not change fields other than" in status["message"]


def test_pods_without_a_node_are_found_by_that(server: Any) -> None:
    server.done("POST", PODS, POD)

    assert server.names(f"{PODS}?fieldSelector=spec.nodeName%3D") == ["p"]
    server.done("POST", f"{PODS}/p/binding", {"target": {"kind": "Node", "name": "n"}})
    assert server.names(f"{PODS}?fieldSelector=spec.nodeName%3D") == []
    assert server.names(f"{PODS}?fieldSelector=spec.nodeName%3Dn") == ["p"]


def test_an_eviction_deletes_the_pod(server: Any) -> None:
    server.done("POST", PODS, POD)

    answer = server.done("POST", f"{PODS}/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction"})

    assert answer["status"] == "Success"
    assert server.names(PODS) == []


def test_a_subresource_stores_no_object_of_another_kind(server: Any) -> None:
    code, _ = server.ask("POST", f"{PODS}/p/eviction", {**POD, "apiVersion": "v1", "kind": "Pod"})

    assert code == 400
    assert server.names(PODS) == []


def test_a_token_is_answered_in_its_own_version(server: Any) -> None:
    server.done("POST", ACCOUNTS, {"metadata": {"name": "a"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

    answer = server.done("POST", f"{ACCOUNTS}/a/token", request)

    assert (answer["apiVersion"], answer["kind"]) == ("authentication.k8s.io/v1", "TokenRequest")
    assert answer["status"]["token"].count(".") == 2
    assert server.ask("POST", f"{ACCOUNTS}/b/token", request)[0] == 404
