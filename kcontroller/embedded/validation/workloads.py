"""What is checked of the kinds that run containers: selectors, templates, containers, restart policies.

The words are those of ``k8s.io/kubernetes/pkg/apis/{apps,batch,core}/validation``, taken from a real kube-apiserver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.statuses import Cause
from kcontroller.embedded.validation import fields, names
from kcontroller.embedded.validation.metadata import label_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Rule = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterable[Cause]]

_NOT_MATCHING: Final = "`selector` does not match template `labels`"
_SCHEDULE_FIELDS: Final = 5
_FIXED_POD: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
# What of a StatefulSet may change.
_STATEFUL: Final = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def labels(selector: Mapping[str, str], path: str) -> list[Cause]:
    """Check the labels that a selector names."""
    return label_pairs(selector, path)


def _selected(name: str, *, asks: bool = True) -> Rule:
    """Make the rule of a kind with a selector and a template; `asks` is whether the selector must be there."""

    def rule(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
        spec = document.get("spec") or {}
        if (spec.get("replicas") or 0) < 0:
            yield fields.invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
        yield from _selector(spec, name, asks=asks)
        template = spec.get("template") or {}
        yield from _pod(template.get("spec") or {}, "spec.template.spec")
        policy = (template.get("spec") or {}).get("restartPolicy") or "Always"
        if policy != "Always":
            yield fields.unsupported("spec.template.spec.restartPolicy", policy, ["Always"])
        if name == "deployment":
            yield from _strategy(spec.get("strategy") or {})
        if old is not None:
            yield from _kept(spec, old.get("spec") or {}, name)

    return rule


def _kept(spec: Mapping[str, Any], before: Mapping[str, Any], name: str) -> Iterator[Cause]:
    if name != "statefulset":
        if before.get("selector") != spec.get("selector"):
            yield fields.invalid("spec.selector", spec.get("selector"), "field is immutable")
    elif any(spec.get(each) != before.get(each) for each in {*spec, *before} - set(_STATEFUL)):
        *most, last = (f"'{each}'" for each in _STATEFUL)
        detail = f"updates to statefulset spec for fields other than {', '.join(most)} and {last} are forbidden"
        yield fields.forbidden("spec", detail)


def _selector(spec: Mapping[str, Any], name: str, *, asks: bool) -> Iterator[Cause]:
    selector = spec.get("selector")
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if selector is None:
        if asks:
            yield fields.required("spec.selector")
        yield fields.invalid("spec.template.metadata.labels", given or None, _NOT_MATCHING)
        return
    wrong = list(_selector_terms(selector, "spec.selector"))
    yield from wrong
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield fields.invalid("spec.selector", selector, f"empty selector is invalid for {name}")
    elif wrong:
        yield fields.invalid("spec.selector", selector, "invalid label selector")
    elif not _selects(selector, given or {}):
        yield fields.invalid("spec.template.metadata.labels", given or None, _NOT_MATCHING)


def _selector_terms(selector: Mapping[str, Any], path: str) -> Iterator[Cause]:
    yield from label_pairs(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, term in enumerate(selector.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        operator, values = term.get("operator") or "", term.get("values") or ()
        if operator in {"In", "NotIn"}:
            if not values:
                yield fields.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield fields.forbidden(f"{at}.values", detail)
        else:
            yield fields.invalid(f"{at}.operator", operator, "not a valid selector operator")
        key = term.get("key") or ""
        yield from (fields.invalid(f"{at}.key", key, detail) for detail in names.qualified(key))


def _selects(selector: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    if any(given.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or ():
        value, values = given.get(term.get("key") or ""), term.get("values") or ()
        match term.get("operator"):
            case "In" if value not in values:
                return False
            case "NotIn" if value in values:
                return False
            case "Exists" if value is None:
                return False
            case "DoesNotExist" if value is not None:
                return False
    return True


def _strategy(strategy: Mapping[str, Any]) -> Iterator[Cause]:
    kind = strategy.get("type") or "RollingUpdate"
    if kind == "Recreate":
        if strategy.get("rollingUpdate") is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            yield fields.forbidden("spec.strategy.rollingUpdate", detail)
    elif kind != "RollingUpdate":
        value = f'{{"Type":{fields.quoted(kind)},"RollingUpdate":null}}'
        detail = 'supported values: "Recreate", "RollingUpdate"'
        yield Cause("FieldValueNotSupported", f"Unsupported value: {value}: {detail}", "spec.strategy")


def _pod(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield fields.required(f"{path}.containers")
    seen: set[str] = set()
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield from _container(container, f"{path}.{group}[{index}]", seen)


def _container(container: Mapping[str, Any], path: str, seen: set[str]) -> Iterator[Cause]:
    name = container.get("name") or ""
    if not name:
        yield fields.required(f"{path}.name")
    else:
        yield from (fields.invalid(f"{path}.name", name, detail) for detail in names.label(name))
        if name in seen:
            yield fields.duplicate(f"{path}.name", name)
        seen.add(name)
    if not container.get("image"):
        yield fields.required(f"{path}.image")
    for index, port in enumerate(container.get("ports") or ()):
        if not port.get("containerPort"):
            yield fields.required(f"{path}.ports[{index}].containerPort")
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield fields.required(f"{path}.env[{index}].name")


def _plain_pod(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    yield from _pod(spec, "spec")
    if old is None:
        return
    before = old.get("spec") or {}
    kept = [_without_seconds(each) for each in spec.get("tolerations") or ()]
    if any(_without_seconds(each) not in kept for each in before.get("tolerations") or ()):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield fields.forbidden("spec.tolerations", detail)
    if _fixed(spec) != _fixed(before):
        yield fields.forbidden("spec", _FIXED_POD)


def _without_seconds(toleration: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _fixed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of a Pod's spec may not change."""
    fixed = {name: value for name, value in spec.items() if name not in {"tolerations", "activeDeadlineSeconds"}}
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0 or spec.get("terminationGracePeriodSeconds") == 1:
        fixed.pop("terminationGracePeriodSeconds")
    for group in ("containers", "initContainers"):
        fixed[group] = [
            {name: value for name, value in each.items() if name != "image"} for each in spec.get(group) or ()
        ]
    return fixed


def _template(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    yield from _pod((document.get("template") or {}).get("spec") or {}, "template.spec")


def _controller(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    template = spec.get("template")
    if not spec.get("selector") and not ((template or {}).get("metadata") or {}).get("labels"):
        yield fields.required("spec.selector")
    if template is None:
        yield fields.required("spec.template")
    else:
        yield from _pod(template.get("spec") or {}, "spec.template.spec")


def _job(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    yield from _job_spec(spec, "spec")
    if old is not None and (old.get("spec") or {}).get("completions") != spec.get("completions"):
        yield fields.invalid("spec.completions", spec.get("completions"), "field is immutable")


def _job_spec(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    pod = (spec.get("template") or {}).get("spec") or {}
    yield from _pod(pod, f"{path}.template.spec")
    policy = pod.get("restartPolicy")
    if policy in {None, "", "Always"}:
        yield fields.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def _cron_job(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = document.get("spec") or {}
    schedule = spec.get("schedule") or ""
    if not schedule:
        yield fields.required("spec.schedule")
    elif not schedule.startswith("@") and len(schedule.split()) != _SCHEDULE_FIELDS:
        found = schedule.split()
        detail = f"expected exactly {_SCHEDULE_FIELDS} fields, found {len(found)}: [{' '.join(found)}]"
        yield fields.invalid("spec.schedule", schedule, detail)
    yield from _job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


RULES: Final[Mapping[str, Rule]] = {
    "pods": _plain_pod,
    "podtemplates": _template,
    "replicationcontrollers": _controller,
    "deployments.apps": _selected("deployment"),
    "replicasets.apps": _selected("replicaset"),
    "statefulsets.apps": _selected("statefulset"),
    "daemonsets.apps": _selected("daemonset", asks=False),
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
}
"""By storage."""
