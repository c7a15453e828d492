"""The table cells of built-in kinds, worded as the printers of kube-apiserver word them (pkg/printers/internalversion).

`ROWS` has the usual kinds. One that is not there is shown by its name and age alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.embedded.views import pod_cells, workload_cells
from kcontroller.embedded.views.ages import since
from kcontroller.embedded.views.cell_parts import (
    NONE,
    SHOWN,
    UNSET,
    Document,
    Row,
    age,
    at,
    labels,
    name,
    selector,
    some,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MODES: Final = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _addresses(o: Document) -> str:
    found = {entry.get("ip") or entry.get("hostname") or "" for entry in at(o, "status.loadBalancer.ingress", [])}
    return ",".join(sorted(found - {""}))


def _service(o: Document, now: float) -> Row:
    kind, outside = at(o, "spec.type", ""), ",".join(at(o, "spec.externalIPs", []))
    match kind:
        case "ClusterIP" | "NodePort":
            external = outside or NONE
        case "LoadBalancer":
            external = ",".join(filter(None, (_addresses(o), outside))) or "<pending>"
        case "ExternalName":
            external = at(o, "spec.externalName", "")
        case _:
            external = "<unknown>"
    ports = ",".join(_port(port) for port in at(o, "spec.ports", [])) or NONE
    cluster = (at(o, "spec.clusterIPs") or [at(o, "spec.clusterIP", "") or NONE])[0]
    return [name(o), kind, cluster, external, ports, age(o, now), labels(at(o, "spec.selector"))]


def _port(port: Document) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{node}/{port.get('protocol', '')}"


def _ingress(o: Document, now: float) -> Row:
    rules = at(o, "spec.rules", [])
    hosts: list[str] = []
    more = False
    for rule in rules:
        more = more or len(hosts) == SHOWN
        if not more and rule.get("host"):
            hosts.append(rule["host"])
    shown = ",".join(hosts) or "*"
    shown = f"{shown} + {len(rules) - SHOWN} more..." if more else shown
    ports = "80, 443" if at(o, "spec.tls") else "80"
    return [name(o), at(o, "spec.ingressClassName", NONE), shown, _addresses(o), ports, age(o, now)]


def _node(o: Document, now: float) -> Row:
    ready = [c.get("status") == "True" for c in at(o, "status.conditions", []) if c.get("type") == "Ready"]
    status = ("Ready" if ready[-1] else "NotReady") if ready else "Unknown"
    status += ",SchedulingDisabled" if at(o, "spec.unschedulable") else ""
    marks = at(o, "metadata.labels", {})
    roles = {
        key.removeprefix("node-role.kubernetes.io/") for key in marks if key.startswith("node-role.kubernetes.io/")
    }
    roles |= {marks.get("kubernetes.io/role", "")}
    info = at(o, "status.nodeInfo", {})
    system = [info.get(field) or "<unknown>" for field in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    system[1] += f" ({info['architecture']})" if info.get("architecture") else ""
    where = at(o, "status.addresses", [])
    ips = [next((a["address"] for a in where if a.get("type") == of), NONE) for of in ("InternalIP", "ExternalIP")]
    shown = ",".join(sorted(roles - {""})) or NONE
    return [name(o), status, shown, age(o, now), info.get("kubeletVersion", ""), *ips, *system]


def _event(o: Document, now: float) -> Row:
    first = at(o, "firstTimestamp") or at(o, "deprecatedFirstTimestamp") or at(o, "eventTime")
    last = at(o, "lastTimestamp") or at(o, "deprecatedLastTimestamp") or first
    count = at(o, "count", 0) or at(o, "deprecatedCount", 0) or 1
    if series := at(o, "series"):
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    about = at(o, "involvedObject") or at(o, "regarding", {})
    target = about.get("kind", "").lower() + (f"/{about['name']}" if about.get("name") else "")
    source = at(o, "source") or at(o, "deprecatedSource", {})
    component = source.get("component") or at(o, "reportingComponent", "") or at(o, "reportingController", "")
    instance = source.get("host") or at(o, "reportingInstance", "")
    message = (at(o, "message") or at(o, "note", "")).strip()
    said = [since(last, now), at(o, "type", ""), at(o, "reason", ""), target, about.get("fieldPath", "")]
    by = f"{component}, {instance}" if instance else component
    return [*said, by, message, since(first, now), count, name(o)]


def _claim(o: Document, now: float) -> Row:
    phase = "Terminating" if at(o, "metadata.deletionTimestamp") else at(o, "status.phase", "")
    volume = at(o, "spec.volumeName", "")
    bound = [at(o, "status.capacity.storage", "0"), _access(at(o, "status.accessModes", []))] if volume else ["", ""]
    attributes = at(o, "spec.volumeAttributesClassName", UNSET)
    return [name(o), phase, volume, *bound, _class(o), attributes, age(o, now), at(o, "spec.volumeMode", UNSET)]


def _volume(o: Document, now: float) -> Row:
    phase = "Terminating" if at(o, "metadata.deletionTimestamp") else at(o, "status.phase", "")
    claim = at(o, "spec.claimRef")
    held = f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""
    policy = at(o, "spec.persistentVolumeReclaimPolicy", "")
    size = at(o, "spec.capacity", {}).get("storage", "0")
    said = [size, _access(at(o, "spec.accessModes", [])), policy, phase, held, _class(o)]
    rest = [at(o, "spec.volumeAttributesClassName", UNSET), at(o, "status.reason", ""), age(o, now)]
    return [name(o), *said, *rest, at(o, "spec.volumeMode", UNSET)]


def _access(modes: Iterable[str]) -> str:
    given = set(modes)
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _class(o: Document) -> str:
    annotations = at(o, "metadata.annotations", {})
    return str(annotations.get("volume.beta.kubernetes.io/storage-class") or at(o, "spec.storageClassName", ""))


def _binding(o: Document, now: float) -> Row:
    subjects = at(o, "subjects", [])
    users, groups = ([s.get("name", "") for s in subjects if s.get("kind") == of] for of in ("User", "Group"))
    accounts = [f"{s.get('namespace', '')}/{s.get('name', '')}" for s in subjects if s.get("kind") == "ServiceAccount"]
    role = f"{at(o, 'roleRef.kind', '')}/{at(o, 'roleRef.name', '')}"
    return [name(o), role, age(o, now), ", ".join(users), ", ".join(groups), ", ".join(accounts)]


def _endpoint_slice(o: Document, now: float) -> Row:
    ports = some(str(port.get("port") or port.get("name", "*")) for port in at(o, "ports", []))
    endpoints = some(address for endpoint in at(o, "endpoints", []) for address in endpoint.get("addresses", []))
    return [name(o), at(o, "addressType", ""), ports, endpoints, age(o, now)]


def _endpoints(o: Document, now: float) -> Row:
    shown = [
        (f"[{address['ip']}]" if ":" in address["ip"] and port else address["ip"])
        + (f":{port['port']}" if port else "")
        for subset in at(o, "subsets", [])
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses", [])
    ]
    return [name(o), some(shown, empty="" if at(o, "subsets") else NONE), age(o, now)]


def _budget(o: Document, now: float) -> Row:
    bounds = [str(at(o, f"spec.{field}", "N/A")) for field in ("minAvailable", "maxUnavailable")]
    return [name(o), *bounds, at(o, "status.disruptionsAllowed", 0), age(o, now)]


def _count(*fields: str) -> Callable[[Document, float], Row]:
    return lambda o, now: [name(o), sum(len(at(o, field, {})) for field in fields), age(o, now)]


ROWS: Final[Mapping[str, Callable[[Document, float], Row]]] = {
    "pods": pod_cells.row,
    "deployments.apps": workload_cells.deployment,
    "replicasets.apps": workload_cells.replica_set,
    "statefulsets.apps": workload_cells.stateful_set,
    "daemonsets.apps": workload_cells.daemon_set,
    "jobs.batch": workload_cells.job,
    "cronjobs.batch": workload_cells.cron_job,
    "replicationcontrollers": workload_cells.replication_controller,
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "ingresses.networking.k8s.io": _ingress,
    "networkpolicies.networking.k8s.io": lambda o, now: [name(o), selector(at(o, "spec.podSelector")), age(o, now)],
    "configmaps": _count("data", "binaryData"),
    "secrets": lambda o, now: [name(o), at(o, "type", ""), len(at(o, "data", {})), age(o, now)],
    "namespaces": lambda o, now: [name(o), at(o, "status.phase", ""), age(o, now)],
    "nodes": _node,
    "events": _event,
    "events.events.k8s.io": _event,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "poddisruptionbudgets.policy": _budget,
    "leases.coordination.k8s.io": lambda o, now: [name(o), at(o, "spec.holderIdentity", ""), age(o, now)],
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
}
"""By `Kind.resource`: the cells for every column that is recorded, of an object and the time now."""
