"""What the Go strategies of built-in kinds do at a write beyond their schema, as far as clients see it.

Custom resources follow one rule each: generation grows with anything but metadata and status. Built-in kinds have the
same rule in their own ways; a kind is named here if it differs.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import completion, conversion

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.kinds import Kind

WITH_GENERATION: Final = frozenset(
    {
        "customresourcedefinitions.apiextensions.k8s.io",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "replicationcontrollers",
        "pods",
        "cronjobs.batch",
        "jobs.batch",
        "ingresses.networking.k8s.io",
        "networkpolicies.networking.k8s.io",
        "poddisruptionbudgets.policy",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        "priorityclasses.scheduling.k8s.io",
        "deviceclasses.resource.k8s.io",
        "resourceslices.resource.k8s.io",
        "endpointslices.discovery.k8s.io",
        "ingressclasses.networking.k8s.io",
    }
)
"""Built-in kinds whose generation starts at 1 and grows with the spec; the others have none."""

MUST_STATE_VERSION: Final = frozenset(
    {
        "customresourcedefinitions.apiextensions.k8s.io",
        "leases.coordination.k8s.io",
        "apiservices.apiregistration.k8s.io",
    }
)
"""Built-in kinds that refuse an update without resourceVersion (AllowUnconditionalUpdate); custom ones all do."""

CREATED_BY_UPDATE: Final = frozenset(
    {
        "leases.coordination.k8s.io",
        "endpoints",
        "events",
        "limitranges",
        "services",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "runtimeclasses.node.k8s.io",
    }
)
"""Kinds that a PUT creates when they are absent (AllowCreateOnUpdate)."""

RETURN_DELETED: Final = frozenset(
    {
        "pods",
        "services",
        "serviceaccounts",
        "podtemplates",
        "replicationcontrollers",
        "resourcequotas",
        "limitranges",
        "persistentvolumes",
        "persistentvolumeclaims",
        "namespaces",
        "nodes",
        "endpoints",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
    }
)
"""Kinds whose delete answers with the object (ReturnDeletedObject); the others answer with a Status."""


def complete(kind: Kind, document: dict[str, Any]) -> None:
    """Fill in place what the Go defaults fill that depends on other fields; clients own it as if they had said it."""
    rule = _COMPLETED.get(kind.storage) if kind.builtin else None
    if rule is not None:
        rule(document)


def prepare(kind: Kind, document: dict[str, Any], old: dict[str, Any] | None, *, subresource: str = "") -> None:
    """Fill in place what the server itself decides, and nobody owns; `old` is None for a create."""
    rule = _PREPARED.get(kind.storage) if kind.builtin and not subresource else None
    if rule is not None:
        rule(document, old)


def starting_status(kind: Kind) -> dict[str, Any] | None:
    """Give the status of a new object, whatever the client sent."""
    if not kind.builtin:
        return None
    status = _STATUSES.get(kind.storage)
    return dict(status) if status is not None else {}


_STATUSES: Final[dict[str, dict[str, Any]]] = {
    "pods": {"phase": "Pending"},
    "namespaces": {"phase": "Active"},
    "persistentvolumes": {"phase": "Pending"},
    "persistentvolumeclaims": {"phase": "Pending"},
    "services": {"loadBalancer": {}},
    "ingresses.networking.k8s.io": {"loadBalancer": {}},
    "poddisruptionbudgets.policy": {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    "replicasets.apps": {"replicas": 0},
    "statefulsets.apps": {"availableReplicas": 0, "replicas": 0},
    "replicationcontrollers": {"replicas": 0},
    "daemonsets.apps": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "horizontalpodautoscalers.autoscaling": {"currentMetrics": None, "desiredReplicas": 0},
}


def _named_namespace(document: dict[str, Any]) -> None:
    metadata = document["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}


def _namespace(document: dict[str, Any], old: dict[str, Any] | None) -> None:
    # Only its subresource `finalize` changes the spec.
    document["spec"] = {"finalizers": ["kubernetes"]} if old is None else old.get("spec", {})


def _secret(document: dict[str, Any]) -> None:
    plain = document.pop("stringData", None)
    if plain:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
        document["data"] = {**(document.get("data") or {}), **encoded}
    document.setdefault("type", "Opaque")


def _service_ports(document: dict[str, Any]) -> None:
    spec = document.setdefault("spec", {})
    if spec.setdefault("type", "ClusterIP") != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("targetPort", port.get("port"))


def _service(document: dict[str, Any], old: dict[str, Any] | None) -> None:
    spec = document["spec"]
    before = (old or {}).get("spec", {})
    if spec["type"] == "ExternalName":
        if before and before.get("type") != "ExternalName":  # What was given out is taken back.
            for name in ("clusterIP", "clusterIPs", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
        return
    address = spec.get("clusterIP") or before.get("clusterIP") or _address(document["metadata"]["uid"])
    spec.update(clusterIP=address, clusterIPs=[address])
    both = address == "None" and not spec.get("selector")
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if both else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")


def _address(uid: str) -> str:
    # The kube-apiserver of the tests has 10.0.0.0/24; nobody routes to it here either.
    return f"10.0.0.{int(uid[:8], 16) % 253 + 2}"


def _pod(document: dict[str, Any], old: dict[str, Any] | None) -> None:
    spec = document.setdefault("spec", {})
    before = (old or {}).get("spec", _ADMITTED_PODS)
    for name, value in _ADMITTED_PODS.items():
        if name != "tolerations":
            spec.setdefault(name, before.get(name, value))
    tolerated = {(each.get("key") or "") for each in spec.get("tolerations") or ()}
    missing = [dict(each) for each in _ADMITTED_PODS["tolerations"] if not tolerated & {each["key"], ""}]
    if missing:
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *missing]
    if old is None:
        document.setdefault("status", {})["qosClass"] = _quality(document.get("spec", {}))


_ADMITTED_PODS: Final[dict[str, Any]] = {
    "priority": 0,
    "preemptionPolicy": "PreemptLowerPriority",
    "tolerations": [
        {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300},
        {
            "effect": "NoExecute",
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "tolerationSeconds": 300,
        },
    ],
}


def _always(*names: str) -> Callable[[dict[str, Any], dict[str, Any] | None], None]:
    """Make the rule of a kind that writes null for a list that is empty."""

    def rule(document: dict[str, Any], _old: dict[str, Any] | None) -> None:
        for name in names:
            document[name] = document.get(name) or None

    return rule


def _quality(spec: dict[str, Any]) -> str:
    resources = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(each.get("limits") or each.get("requests") for each in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(each.get("limits") or {})
        and all(each["limits"][name] == value for name, value in (each.get("requests") or {}).items())
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


_COMPLETED: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "events": conversion.write_event,
    "namespaces": _named_namespace,
    "secrets": _secret,
    "services": _service_ports,
    **completion.RULES,
}

_PREPARED: Final[dict[str, Callable[[dict[str, Any], dict[str, Any] | None], None]]] = {
    "namespaces": _namespace,
    "services": _service,
    "pods": _pod,
    **completion.PREPARED,
    "roles.rbac.authorization.k8s.io": _always("rules"),
    "clusterroles.rbac.authorization.k8s.io": _always("rules"),
    "endpointslices.discovery.k8s.io": _always("endpoints", "ports"),
}
