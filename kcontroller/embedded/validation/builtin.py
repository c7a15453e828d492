"""What is checked of built-in kinds beyond their types: enums and required texts by schema, and a rule for a few kinds.

The words are those of ``k8s.io/kubernetes/pkg/apis/*/validation``, taken from a real kube-apiserver. Kinds without a
rule here are accepted more readily than by the real server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.definitions import checks
from kcontroller.embedded.statuses import Cause
from kcontroller.embedded.validation import events, fields, names, rbac, workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.schemas import Schema

    Rule = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterable[Cause]]

_DATA_BYTES: Final = 1024 * 1024
_PORTS: Final = 65535
_IMMUTABLE: Final = "field is immutable when `immutable` is set"
# Enums that the server lists in another order than its OpenAPI.
_ORDERS: Final = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "dnsPolicy": ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
}
# Types whose fields have a rule of their own below, or that the server asks otherwise.
_OWN_RULES: Final = frozenset(
    {
        "DeploymentStrategy",
        "DaemonSetUpdateStrategy",
        "StatefulSetUpdateStrategy",
        "LabelSelectorRequirement",
        "MutatingWebhook",
        "ObjectMeta",
        "PolicyRule",
        "RoleRef",
        "Subject",
        "ValidatingWebhook",
    }
)
_OWN_FIELDS: Final = frozenset({"pathType", "priorityLevelConfiguration", "usages", "unhealthyPodEvictionPolicy"})
# Groups whose schemas require what the server does not always ask for.
_BY_HAND: Final = frozenset({"apiextensions.k8s.io", "events.k8s.io"})
_SECRET_KEYS: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_SERVICE_ACCOUNT: Final = "kubernetes.io/service-account.name"


def validate(kind: Kind, document: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Cause]:
    """Find what is wrong with a new object, or with what an update makes of `old`."""
    by_schema = _by_schema(kind.schema, document, "") if kind.group not in _BY_HAND else ()
    rule = _RULES.get(kind.storage)
    by_rule = list(rule(document, old)) if rule is not None else []
    # A rule may say more exactly why a field is required.
    said = {cause.field for cause in by_rule}
    missing = fields.required("").reason
    return [*(cause for cause in by_schema if cause.reason != missing or cause.field not in said), *by_rule]


def _by_schema(schema: Schema, document: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if schema.reference.rpartition(".")[2] in _OWN_RULES:
        return
    for name in schema.node.get("required", ()):
        node = schema.field(name)
        if node is not None and node.type == "string" and not document.get(name) and name not in _OWN_FIELDS:
            yield fields.required(f"{path}{name}")
    for name, value in document.items():
        if name in _OWN_FIELDS or (not path and name in {"status", "metadata"}) or name not in schema.properties:
            continue
        node = schema.field(name)
        if node is not None and value is not None:
            yield from _value_by_schema(node, value, f"{path}{name}", name)


def _value_by_schema(schema: Schema, value: Any, path: str, name: str) -> Iterator[Cause]:
    if isinstance(value, dict):
        if schema.values is None:
            yield from _by_schema(schema, value, f"{path}.")
    elif isinstance(value, list):
        if schema.items is None:
            return
        for index, item in enumerate(value):
            # The server names the list, not the item, where texts of a few stand in a list.
            at = path if isinstance(item, str) else f"{path}[{index}]"
            yield from _value_by_schema(schema.items, item, at, name)
    elif "enum" in schema.node and value != "" and value not in schema.node["enum"]:
        yield fields.unsupported(path, value, _ORDERS.get(name, schema.node["enum"]))


def _config_map(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    data, binary = document.get("data") or {}, document.get("binaryData") or {}
    for key in data:
        yield from (fields.invalid(f"data[{key}]", key, detail) for detail in names.config_key(key))
        if key in binary:
            yield fields.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from (fields.invalid(f"binaryData[{key}]", key, detail) for detail in names.config_key(key))
    size = sum(len(value.encode()) for value in data.values())
    if size + sum(len(value) * 3 // 4 for value in binary.values()) > _DATA_BYTES:
        yield fields.too_long("[]", _DATA_BYTES)
    yield from _frozen(document, old, ("data", "binaryData"))


def _frozen(document: Mapping[str, Any], old: Mapping[str, Any] | None, parts: Iterable[str]) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not document.get("immutable"):
        yield fields.forbidden("immutable", _IMMUTABLE)
    for part in parts:
        if (document.get(part) or {}) != (old.get(part) or {}):
            yield fields.forbidden(part, _IMMUTABLE)


def _secret(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    data = document.get("data") or {}
    for key in data:
        yield from (fields.invalid(f"data[{key}]", key, detail) for detail in names.config_key(key))
    if sum(len(value) * 3 // 4 for value in data.values()) > _DATA_BYTES:
        yield fields.too_long("data", _DATA_BYTES)
    kind = document.get("type") or "Opaque"
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            yield fields.required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        yield from (fields.required(f"data[{key}]") for key in ("username", "password"))
    if kind == "kubernetes.io/service-account-token":
        annotations = document["metadata"].get("annotations") or {}
        if not annotations.get(_SERVICE_ACCOUNT):
            yield fields.required(f"metadata.annotations[{_SERVICE_ACCOUNT}]")
    if old is not None and kind != (old.get("type") or "Opaque"):
        yield fields.invalid("type", kind, "field is immutable")
    yield from _frozen(document, old, ("data",))


def _service(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    given = ((old or {}).get("spec") or {}).get("clusterIPs")
    if given and spec.get("clusterIPs") and spec["clusterIPs"] != given:
        text = fields.json_text(spec["clusterIPs"])
        yield Cause("FieldValueInvalid", f"Invalid value: {text}: may not change once set", "spec.clusterIPs[0]")
    ports = spec.get("ports") or []
    if spec.get("type") == "ExternalName":
        if not spec.get("externalName"):
            yield fields.required("spec.externalName")
    elif not ports and spec.get("clusterIP") != "None":
        yield fields.required("spec.ports")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        yield from _service_port(port, f"spec.ports[{index}]", seen, needs_name=len(ports) > 1)
    if spec.get("selector"):
        yield from workloads.labels(spec["selector"], "spec.selector")
    yield from _same_ports(ports)


def _service_port(port: Mapping[str, Any], path: str, seen: set[str], *, needs_name: bool) -> Iterator[Cause]:
    name = port.get("name") or ""
    if not name:
        if needs_name:
            yield fields.required(f"{path}.name")
    else:
        yield from (fields.invalid(f"{path}.name", name, detail) for detail in names.label(name))
        if name in seen:
            yield fields.duplicate(f"{path}.name", name)
        seen.add(name)
    number = port.get("port") or 0
    wrong_range = f"must be between 1 and {_PORTS}, inclusive"
    if not 1 <= number <= _PORTS:
        yield fields.invalid(f"{path}.port", number, wrong_range)
    target = port.get("targetPort") or number
    if isinstance(target, str):
        yield from (fields.invalid(f"{path}.targetPort", target, detail) for detail in names.port_name(target))
    elif not 1 <= target <= _PORTS:
        yield fields.invalid(f"{path}.targetPort", target, wrong_range)


def _same_ports(ports: Iterable[Mapping[str, Any]]) -> Iterator[Cause]:
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol") or "TCP", port.get("port") or 0
        if (protocol, number) in seen:
            text = (
                f'"Protocol":{fields.quoted(protocol)},"AppProtocol":null,"Port":{number},"TargetPort":0,"NodePort":0'
            )
            yield Cause("FieldValueDuplicate", f'Duplicate value: {{"Name":"",{text}}}', f"spec.ports[{index}]")
        seen.add((protocol, number))


def _lease(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        yield fields.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    if transitions is not None and transitions < 0:
        yield fields.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def _claim(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    if not spec.get("accessModes"):
        yield fields.required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        yield fields.required("spec.resources[storage]")


def _ingress(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield fields.invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or ()):
        for number, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            if not path.get("pathType"):
                at = f"spec.rules[{index}].http.paths[{number}].pathType"
                yield fields.required(at, "pathType must be specified")


def _revision(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    if document.get("data") is None:
        yield fields.required("data", "data is mandatory")


def _scaler(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    most = spec.get("maxReplicas") or 0
    if most < 1:
        yield fields.required("spec.maxReplicas", "must be set and greater than 0")
    if most < (spec.get("minReplicas") or 1):
        yield fields.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    yield from (fields.required(f"spec.scaleTargetRef.{name}") for name in ("kind", "name") if not target.get(name))
    if not target.get("apiVersion"):
        yield fields.invalid("spec.scaleTargetRef.apiVersion", "", "apiVersion must specify API group")


def _budget(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        policy, selector = spec.get("unhealthyPodEvictionPolicy"), spec.get("selector")
        text = (
            f'{{"MinAvailable":{fields.json_text(least)},"Selector":{fields.json_text(selector)},'
            f'"MaxUnavailable":{fields.json_text(most)},"UnhealthyPodEvictionPolicy":{fields.json_text(policy)}}}'
        )
        detail = "minAvailable and maxUnavailable cannot be both set"
        yield Cause("FieldValueInvalid", f"Invalid value: {text}: {detail}", "spec")


def _ingress_class(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    if not (document.get("spec") or {}).get("controller"):
        yield fields.required("spec.controller")


def _webhooks(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    for index, hook in enumerate(document.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        if not hook.get("name"):
            yield fields.required(f"{path}.name")
        if not hook.get("sideEffects"):
            yield fields.required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
        config = hook.get("clientConfig") or {}
        if bool(config.get("url")) == bool(config.get("service")):
            yield fields.required(f"{path}.clientConfig", "exactly one of url or service is required")
        if not hook.get("admissionReviewVersions"):
            yield fields.required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")


_RULES: Final[Mapping[str, Rule]] = {
    "configmaps": _config_map,
    "secrets": _secret,
    "services": _service,
    "leases.coordination.k8s.io": _lease,
    "persistentvolumeclaims": _claim,
    "ingresses.networking.k8s.io": _ingress,
    "controllerrevisions.apps": _revision,
    "horizontalpodautoscalers.autoscaling": _scaler,
    "customresourcedefinitions.apiextensions.k8s.io": checks.check,
    "poddisruptionbudgets.policy": _budget,
    "ingressclasses.networking.k8s.io": _ingress_class,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
    **events.RULES,
    **rbac.RULES,
    **workloads.RULES,
}
