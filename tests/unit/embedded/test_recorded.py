"""The data taken from a real server, as kinds and schemas."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.schemas import Schema


@pytest.fixture(name="kinds")
def _kinds() -> dict[str, Kind]:
    return {f"{kind.api_version}/{kind.plural}": kind for kind in recorded.load().kinds}


def _default(kind: Kind, path: str) -> Any:
    schema: Schema | None = kind.schema
    for part in path.split("."):
        assert schema is not None
        schema = schema.items if part == "[]" else schema.field(part)
    assert schema is not None
    return schema.node.get("default")


def test_reading_the_data_takes_at_most_40_ms() -> None:
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        recorded.load.__wrapped__()
        spent.append(time.perf_counter() - started)
    assert min(spent) < 0.040


def test_it_is_read_once() -> None:
    assert recorded.load() is recorded.load()


def test_every_resource_of_the_real_server_is_there_once(kinds: dict[str, Kind]) -> None:
    assert len(kinds) == len(recorded.load().kinds) == 68
    assert recorded.load().groups[:3] == ("", "apiregistration.k8s.io", "apps")
    assert recorded.load().version["gitVersion"] == "v1.36.3"


def test_a_kind_knows_its_names_scope_and_verbs(kinds: dict[str, Kind]) -> None:
    pods = kinds["v1/pods"]
    assert (pods.kind, pods.singular, pods.short_names, pods.categories) == ("Pod", "pod", ("po",), ("all",))
    assert pods.namespaced
    assert pods.builtin
    assert not kinds["v1/nodes"].namespaced
    assert kinds["v1/bindings"].verbs == ("create",)
    assert "deletecollection" not in kinds["v1/namespaces"].verbs


def test_subresources_have_their_own_kind_and_verbs(kinds: dict[str, Kind]) -> None:
    scale = kinds["apps/v1/deployments"].subresources["scale"]
    assert (scale.kind, scale.group, scale.version) == ("Scale", "autoscaling", "v1")
    assert scale.verbs == ("get", "patch", "update")
    eviction = kinds["v1/pods"].subresources["eviction"]
    assert (eviction.kind, eviction.group, eviction.verbs) == ("Eviction", "policy", ("create",))
    assert kinds["v1/namespaces"].subresources["finalize"].verbs == ("update",)


def test_the_preferred_version_of_a_group_is_the_storage_version(kinds: dict[str, Kind]) -> None:
    assert kinds["autoscaling/v1/horizontalpodautoscalers"].storage_version == "v2"
    assert kinds["autoscaling/v2/horizontalpodautoscalers"].storage_version == "v2"


def test_field_labels_are_those_that_the_real_server_takes(kinds: dict[str, Kind]) -> None:
    assert {"spec.nodeName", "status.phase", "spec.host"} <= set(kinds["v1/pods"].selectable)
    assert {"involvedObject.name", "reason", "source", "type"} <= set(kinds["v1/events"].selectable)
    assert kinds["v1/secrets"].selectable == ("type",)
    assert kinds["v1/nodes"].selectable == ("spec.unschedulable",)
    assert kinds["batch/v1/jobs"].selectable == ("status.successful",)
    assert kinds["v1/configmaps"].selectable == ()


def test_deprecated_kinds_carry_the_real_warning(kinds: dict[str, Kind]) -> None:
    assert kinds["v1/endpoints"].deprecation.startswith("v1 Endpoints is deprecated in v1.33+")
    assert not kinds["v1/pods"].deprecation


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("apps/v1/deployments", "spec.replicas", 1),
        ("apps/v1/deployments", "spec.template.spec.restartPolicy", "Always"),
        ("apps/v1/deployments", "spec.template.spec.containers.[].terminationMessagePath", "/dev/termination-log"),
        ("apps/v1/deployments", "spec.template.spec.containers.[].resources", {}),
        ("apps/v1/deployments", "spec.template.spec.volumes.[].secret.defaultMode", 420),
        ("v1/pods", "spec.containers.[].livenessProbe.periodSeconds", 10),
        ("v1/services", "spec.ports.[].protocol", "TCP"),
        ("batch/v1/cronjobs", "spec.suspend", False),
        ("rbac.authorization.k8s.io/v1/rolebindings", "roleRef.apiGroup", "rbac.authorization.k8s.io"),
        ("autoscaling/v2/horizontalpodautoscalers", "spec.minReplicas", 1),
    ],
)
def test_defaults_that_are_go_code_are_recorded(kinds: dict[str, Kind], kind: str, path: str, expected: Any) -> None:
    assert _default(kinds[kind], path) == expected


def test_a_default_of_an_object_is_whole(kinds: dict[str, Kind]) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert _default(kinds["apps/v1/deployments"], "spec.strategy") == rolling


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("v1/pods", "spec.containers.[].imagePullPolicy"),
        ("v1/services", "spec.clusterIP"),
        ("v1/services", "spec.ports.[].targetPort"),
        ("apps/v1/deployments", "spec.strategy.rollingUpdate"),
        ("v1/pods", "spec.containers.[].resources.requests"),
        ("v1/pods", "spec.volumes.[].emptyDir"),
        ("v1/namespaces", "spec"),
        ("v1/nodes", "spec"),
        ("v1/pods", "status"),
    ],
)
def test_what_depends_on_others_or_on_creation_has_no_default(kinds: dict[str, Kind], kind: str, path: str) -> None:
    assert _default(kinds[kind], path) is None


def test_a_default_of_one_place_does_not_reach_the_others(kinds: dict[str, Kind]) -> None:
    assert _default(kinds["v1/pods"], "spec.enableServiceLinks") is True
    assert _default(kinds["apps/v1/deployments"], "spec.template.spec.enableServiceLinks") is None
    assert _default(kinds["batch/v1/jobs"], "spec.parallelism") == 1
    assert _default(kinds["batch/v1/cronjobs"], "spec.jobTemplate.spec.parallelism") is None
    # Those of everywhere hold in that place, too.
    assert _default(kinds["v1/pods"], "spec.dnsPolicy") == "ClusterFirst"


def test_what_a_new_object_has_beyond_its_schema_is_apart() -> None:
    created = recorded.load().created
    assert created["v1/Pod"]["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert created["v1/Namespace"] == {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def test_every_reference_leads_to_a_definition() -> None:
    definitions = recorded.load().definitions

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for inner in node.values():
                yield from references(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from references(inner)

    assert set(references(definitions)) <= set(definitions)
