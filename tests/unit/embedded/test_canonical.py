"""The expectations are kube-apiserver's own answers."""

from __future__ import annotations

from typing import Any

import pytest

from kcontroller.embedded.validation.canonical import quantity

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("1024Mi", "1Gi"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1e3", "1e3"),
        ("1e4", "10e3"),
        ("12e2", "1200"),
        ("1e-3", "1e-3"),
        ("1.5Gi", "1536Mi"),
        ("1500Mi", "1500Mi"),
        ("1.1Ki", "1126400m"),
        ("1023Ki", "1023Ki"),
        ("1Ki", "1Ki"),
        ("1024", "1024"),
        ("0", "0"),
        (1, "1"),
        (0.5, "500m"),
        ("1E", "1E"),
        ("1000k", "1M"),
        ("0.0000000001", "1n"),
        ("-0.5", "-500m"),
        ("1e999999999", "1e999999999"),
        ("1" * 100_000, "1" * 100_000),
        ("no number", "no number"),
    ],
)
def test_a_quantity_is_written_in_its_canonical_form(given: Any, written: str) -> None:
    assert quantity(given) == written


def test_what_is_empty_is_not_written_and_owned_by_nobody(server: Any) -> None:
    made = server.done("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "data": {}, "binaryData": {}})

    assert not {"data", "binaryData"} & made.keys()
    assert "managedFields" not in made["metadata"]


def test_an_empty_struct_is_written(server: Any) -> None:
    policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"

    made = server.done("POST", policies, {"metadata": {"name": "a"}, "spec": {"podSelector": {"matchLabels": {}}}})

    assert made["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_plain_zeros_are_not_written(server: Any) -> None:
    container = {"name": "c", "image": "i", "tty": False, "env": [{"name": "A", "value": ""}]}
    body = {"metadata": {"name": "a"}, "spec": {"hostNetwork": False, "containers": [container]}}

    spec = server.done("POST", "/api/v1/namespaces/default/pods", body)["spec"]

    assert "hostNetwork" not in spec
    assert "tty" not in spec["containers"][0]
    assert spec["containers"][0]["env"] == [{"name": "A"}]


def test_times_are_written_in_utc(server: Any) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    spec = {"renewTime": "2001-01-01T00:00:00.123456+02:00"}

    made = server.done("POST", leases, {"metadata": {"name": "a"}, "spec": spec})

    assert made["spec"]["renewTime"] == "2000-12-31T22:00:00.123456Z"


@pytest.mark.parametrize("field", ["ownerReferences", "finalizers"])
def test_null_in_a_list_is_an_empty_item(server: Any, field: str) -> None:
    code, status = server.ask("POST", CONFIGMAPS, {"metadata": {"name": "a", field: [None]}})

    assert (code, status["reason"]) == (422, "Invalid")
