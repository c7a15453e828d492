"""What is filled of workloads from other fields: by Go's defaults (``pkg/apis/*/v1/defaults.go``), and by strategies.

OpenAPI records the defaults that stand alone; these do not. `RULES` come before owners are tracked, so that clients own
what they fill as if they had said it; `PREPARED` come after, and nobody owns what they fill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_NEVER_BY_INDEX: Final = 2_147_483_647  # backoffLimit where each index has its own.
_ROLLING: Final[dict[str, dict[str, Any]]] = {
    "Deployment": {"maxSurge": "25%", "maxUnavailable": "25%"},
    "DaemonSet": {"maxSurge": 0, "maxUnavailable": 1},
    "StatefulSet": {"partition": 0},
}


def pull_policies(document: dict[str, Any]) -> None:
    """Fill imagePullPolicy, which depends on the image's tag."""
    for container in _containers(document):
        container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))


def pod(document: dict[str, Any]) -> None:
    """Fill the requests of a Pod's containers from their limits."""
    pull_policies(document)
    for container in _containers(document):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if limits:
            resources["requests"] = {**limits, **(resources.get("requests") or {})}


def rolling(document: dict[str, Any]) -> None:
    """Fill the parameters of a rolling update that is named without them."""
    pull_policies(document)
    field = "strategy" if document["kind"] == "Deployment" else "updateStrategy"
    strategy = (document.get("spec") or {}).get(field)
    if strategy is None or strategy.get("type") != "RollingUpdate":
        return
    given = strategy.get("rollingUpdate") or {}
    strategy["rollingUpdate"] = {**_ROLLING[document["kind"]], **given}


def daemon_set(document: dict[str, Any]) -> None:
    """Fill what a rolling update lacks, and the annotation that counts templates."""
    rolling(document)
    annotations = document["metadata"].get("annotations") or {}
    document["metadata"]["annotations"] = {TEMPLATE_GENERATION: "0", **annotations}


def job(document: dict[str, Any]) -> None:
    """Fill the counts of a Job."""
    pull_policies(document)
    spec = document.get("spec")
    if spec is None:
        return
    # One at a time and no count is what a new Job that states neither looks like here.
    if spec.get("completions") is None and spec.get("parallelism") in {None, 1} and "uid" not in document["metadata"]:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else _NEVER_BY_INDEX)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")


def replication_controller(document: dict[str, Any]) -> None:
    """Fill selector and labels from the template's labels."""
    pull_policies(document)
    spec = document.get("spec") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not document["metadata"].get("labels"):
            document["metadata"]["labels"] = dict(labels)


def network_policy(document: dict[str, Any]) -> None:
    """Fill policyTypes: egress counts where it has rules."""
    spec = document.get("spec") or {}
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def limit_range(document: dict[str, Any]) -> None:
    """Fill the defaults of containers from the limits, and each from the next."""
    for item in (document.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        default = {**(item.get("max") or {}), **(item.get("default") or {})}
        request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


def _job(document: dict[str, Any], old: dict[str, Any] | None) -> None:
    spec, meta = document.setdefault("spec", {}), document["metadata"]
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    if spec.get("manualSelector"):
        return
    if old is not None:
        if "selector" not in spec and "selector" in old["spec"]:
            spec["selector"] = old["spec"]["selector"]
        given = old["spec"].get("template", {}).get("metadata", {}).get("labels") or {}
        template["labels"] = {**given, **(template.get("labels") or {})}
        return
    uid = {"batch.kubernetes.io/controller-uid": meta["uid"]}
    labels = {
        **uid,
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "job-name": meta["name"],
    }
    template["labels"] = {**(template.get("labels") or {}), **labels}
    spec.setdefault("selector", {"matchLabels": uid})
    if not meta.get("labels"):
        meta["labels"] = dict(template["labels"])  # The defaults of this version copy the template's.


def _cron_job(document: dict[str, Any], _old: dict[str, Any] | None) -> None:
    template = document.get("spec", {}).get("jobTemplate", {}).get("spec", {}).get("template")
    if template is not None:
        template.setdefault("metadata", {})


def _daemon_set(document: dict[str, Any], old: dict[str, Any] | None) -> None:
    name, count = TEMPLATE_GENERATION, 1
    if old is not None:
        said = (old["metadata"].get("annotations") or {}).get(name, "0")
        changed = document.get("spec", {}).get("template") != old["spec"].get("template")
        count = (int(said) if said.isdecimal() else 0) + changed
    document["metadata"]["annotations"] = {**(document["metadata"].get("annotations") or {}), name: str(count)}


def _containers(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    spec = document.get("spec") or {}
    if "jobTemplate" in spec:
        spec = (spec["jobTemplate"] or {}).get("spec") or {}
    inner = (spec.get("template") or {}).get("spec") if "template" in spec else spec
    for group in ("containers", "initContainers"):
        yield from (inner or {}).get(group) or ()


def _pull_policy(image: str) -> str:
    name = image.rpartition("/")[2]
    return "Always" if name.endswith(":latest") or (":" not in name and "@" not in name) else "IfNotPresent"


RULES: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "pods": pod,
    "deployments.apps": rolling,
    "replicasets.apps": pull_policies,
    "statefulsets.apps": rolling,
    "daemonsets.apps": daemon_set,
    "jobs.batch": job,
    "cronjobs.batch": pull_policies,
    "replicationcontrollers": replication_controller,
    "networkpolicies.networking.k8s.io": network_policy,
    "limitranges": limit_range,
}
"""By storage."""

PREPARED: Final[dict[str, Callable[[dict[str, Any], dict[str, Any] | None], None]]] = {
    "jobs.batch": _job,
    "daemonsets.apps": _daemon_set,
    "cronjobs.batch": _cron_job,
}
"""By storage; the second document is the object as it was, or None for a new one."""
