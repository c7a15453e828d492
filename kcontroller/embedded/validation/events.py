"""What is checked of Events: little in core/v1, everything in events.k8s.io/v1, where most fields never change.

The rules are those of ``k8s.io/kubernetes/pkg/apis/core/validation/events.go``, the words those of a real
kube-apiserver, which names the fields of core/v1 whatever the version of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.conversion import CORE, EVENTS, converted, write_event
from kcontroller.embedded.statuses import Cause
from kcontroller.embedded.validation import fields, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Rule = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterable[Cause]]

_LONGEST: Final = {"reportingInstance": 128, "action": 128, "reason": 128}
_LONGEST_MESSAGE: Final = 1024
_REPORTER: Final = {CORE: "reportingComponent", EVENTS: "reportingController"}
_FEWEST: Final = 2  # A series of one is no series.
_TYPES: Final = ("Normal", "Warning")
_NOT_NAMESPACED: Final = ("default", "kube-system")
"""Where Events about objects without a namespace stand."""
_REFERENCE: Final = ("Kind", "Namespace", "Name", "UID", "APIVersion", "ResourceVersion", "FieldPath")
_INTERNAL: Final = {"involvedObject": _REFERENCE, "related": _REFERENCE, "source": ("Component", "Host")}
"""The Go fields of what is a struct; it is shown as the server's internal type."""
_UNCHANGING: Final[tuple[tuple[str, Any], ...]] = (
    ("involvedObject", {}),
    ("reason", ""),
    ("message", ""),
    ("source", {}),
    ("firstTimestamp", None),
    ("lastTimestamp", None),
    ("count", 0),
    ("reason", ""),
    ("type", ""),
    ("eventTime", None),
    ("action", ""),
    ("related", None),
    ("reportingComponent", ""),
    ("reportingInstance", ""),
)
"""In the server's order, which has one twice, with what stands for a field that is absent."""


def _event(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    checked = _core(document)
    yield from _always(checked, _REPORTER[document["apiVersion"]])
    if document["apiVersion"] == CORE:
        return
    yield from _series(checked.get("series"))
    if old is None:
        yield from _created(checked)
    else:
        yield from _changed(checked, _core(old))


def _core(event: Mapping[str, Any]) -> dict[str, Any]:
    made = converted(event, CORE)
    write_event(made)
    return made


def _always(event: Mapping[str, Any], reporter: str) -> Iterator[Cause]:
    about, within = event["involvedObject"].get("namespace") or "", event["metadata"].get("namespace") or ""
    if event["eventTime"] is None:
        if (about or "default") != within:
            yield _other_namespace(about)
        return
    if not about and within not in _NOT_NAMESPACED:
        yield _other_namespace(about)
    if not event["reportingComponent"]:
        yield fields.required(reporter)
    for detail in names.qualified(event["reportingComponent"]):
        yield fields.invalid(reporter, event["reportingComponent"], detail)
    for name, most in _LONGEST.items():
        if not event.get(name):
            yield fields.required(name)
        yield from _limited(event, name, most)
    yield from _limited(event, "message", _LONGEST_MESSAGE)


def _other_namespace(about: str) -> Cause:
    return fields.invalid("involvedObject.namespace", about, "does not match event.namespace")


def _limited(event: Mapping[str, Any], name: str, most: int) -> Iterator[Cause]:
    if len((event.get(name) or "").encode()) > most:
        yield fields.invalid(name, "", f"can have at most {most} characters")


def _series(series: Mapping[str, Any] | None) -> Iterator[Cause]:
    if series is None:
        return
    if series.get("count", 0) < _FEWEST:
        yield fields.invalid("series.count", "", "should be at least 2")
    if series["lastObservedTime"] is None:
        yield fields.required("series.lastObservedTime")


def _created(event: Mapping[str, Any]) -> Iterator[Cause]:
    if event["eventTime"] is None:
        yield fields.required("eventTime")
    if event.get("type") not in _TYPES:
        yield fields.invalid("type", "", f"has invalid value: {event.get('type', '')}")
    for name in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if event.get(name):
            yield fields.invalid(name, "", "needs to be unset")


def _changed(event: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Cause]:
    for name, absent in _UNCHANGING:
        value = event.get(name, absent)
        if value != before.get(name, absent):
            path = _REPORTER[EVENTS] if name == "reportingComponent" else name
            yield Cause("FieldValueInvalid", f"Invalid value: {_shown(name, value)}: field is immutable", path)


def _shown(name: str, value: Any) -> str:
    if value is None or name not in _INTERNAL:
        return fields.shown(value)
    known = {field.lower(): inner for field, inner in value.items()}
    said = (f'"{field}":{fields.json_text(known.get(field.lower(), ""))}' for field in _INTERNAL[name])
    return f"{{{','.join(said)}}}"


RULES: Final[Mapping[str, Rule]] = {"events": _event}
"""By storage."""
