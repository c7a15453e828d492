"""Objects between the versions they are served in.

An Event of core/v1 and one of events.k8s.io/v1 are the same object under other names: kube-apiserver files both as one
resource ("cohabitating resources" of its storage factory) and converts them at each read and write
(``k8s.io/kubernetes/pkg/apis/events/v1/conversion.go``). The versions of other kinds differ in apiVersion alone here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CORE: Final = "v1"
EVENTS: Final = "events.k8s.io/v1"

_NOTED: Final = {
    "message": "note",
    "involvedObject": "regarding",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_NAMES: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    (CORE, EVENTS): _NOTED,
    (EVENTS, CORE): {new: old for old, new in _NOTED.items()},
}
# What Go writes of every Event; what is empty and not named here is left out.
_WRITTEN: Final[Mapping[str, Mapping[str, Any]]] = {
    CORE: {
        "involvedObject": {},
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    EVENTS: {
        "eventTime": None,
        "regarding": {},
        "deprecatedSource": {},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    },
}
_SERIES: Final[Mapping[str, Mapping[str, Any]]] = {
    CORE: {"lastObservedTime": None},
    EVENTS: {"count": 0, "lastObservedTime": None},
}


def converted(document: Mapping[str, Any], api_version: str) -> dict[str, Any]:
    """Give an object in another version; what lies below its fields is shared with the original."""
    names = _NAMES.get((document["apiVersion"], api_version))
    if names is None:
        return {**document, "apiVersion": api_version}
    made = {names.get(name, name): value for name, value in document.items()}
    made["apiVersion"] = api_version
    write_event(made)
    return made


def write_event(event: dict[str, Any]) -> None:
    """Bring an Event in place into the form in which Go writes it, in the version that it states."""
    version = event["apiVersion"]
    _write(event, _WRITTEN[version])
    if event.get("series") is not None:
        event["series"] = dict(event["series"])
        _write(event["series"], _SERIES[version])


def _write(struct: dict[str, Any], always: Mapping[str, Any]) -> None:
    for name in [name for name, value in struct.items() if value in ("", 0) and name not in always]:
        del struct[name]
    for name, value in always.items():
        if struct.get(name) is None:
            struct[name] = dict(value) if isinstance(value, dict) else value
