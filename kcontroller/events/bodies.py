"""An event as JSON of either API, and names that its validation accepts; no I/O.

Both APIs show the same stored object; what differs is how repeats are told. The rules are those of
``ValidateEventCreate`` in Kubernetes.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import GVK
from kcontroller.events.recorded import REASON_BYTES

if TYPE_CHECKING:
    from datetime import datetime

    from kcontroller.events.correlation import Record

EVENTS: Final = GVK("events.k8s.io", "v1", "Event")
CORE: Final = GVK("", "v1", "Event")

_NAME_LENGTH: Final = 253
_QUALIFIED_LENGTH: Final = 63
_NOT_IN_NAME: Final = re.compile(r"[^a-z0-9.-]")
_NOT_IN_QUALIFIED: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Names:
    """Makes names of events: the object's and the time in nanoseconds, no two of them equal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self, object_name: str, at: datetime) -> str:
        """Make a valid DNS subdomain of any object name, which may hold colons or capitals (RBAC)."""
        with self._lock:
            self._last = max(self._last + 1, int(at.timestamp() * 1_000_000) * 1000)
            suffix = f"{self._last:x}"
        text = _NOT_IN_NAME.sub("-", object_name.lower())[: _NAME_LENGTH - len(suffix) - 1]
        parts = [part.strip("-") for part in text.split(".")]
        return ".".join((*filter(None, parts), suffix))


def controller_of(component: str) -> str:
    """Make a qualified name, which a reportingController must be, of a controller's name."""
    text = _NOT_IN_QUALIFIED.sub("-", component)[:_QUALIFIED_LENGTH].strip("-._")
    return text or "kcontroller"


def instance_of(component: str, hostname: str) -> str:
    """Name the process among those that run the controller."""
    return f"{controller_of(component)}-{hostname}"[:REASON_BYTES]


def created(record: Record, gvk: GVK, *, instance: str) -> dict[str, Any]:
    """The body that creates the event, also one that was counted before."""
    event = record.event
    regarding = {name: value for name, value in msgspec.to_builtins(event.regarding).items() if value}
    document: dict[str, Any] = {
        "apiVersion": gvk.api_version,
        "kind": gvk.kind,
        "metadata": {"namespace": record.namespace, "name": record.name},
        "type": event.type,
        "reason": event.reason,
        "action": event.action,
        "reportingInstance": instance,
    }
    if gvk == EVENTS:
        document |= {
            "eventTime": _micro(record.first),
            "reportingController": controller_of(record.component),
            "regarding": regarding,
            "note": record.message,
        }
        return document | (_series(record) if record.count > 1 else {})
    document |= {
        "source": {"component": record.component},
        "reportingComponent": controller_of(record.component),
        "involvedObject": regarding,
        "firstTimestamp": _seconds(record.first),
        **_counted(record),
    }
    if not event.regarding.namespace:
        # With it the server takes the event in kube-system too, not in default alone.
        document["eventTime"] = _micro(record.first)
    return document


def repeated(record: Record, gvk: GVK) -> dict[str, Any]:
    """The merge patch that tells of repeats."""
    return _series(record) if gvk == EVENTS else _counted(record)


def _series(record: Record) -> dict[str, Any]:
    return {"series": {"count": record.count, "lastObservedTime": _micro(record.last)}}


def _counted(record: Record) -> dict[str, Any]:
    return {"count": record.count, "lastTimestamp": _seconds(record.last), "message": record.message}


def _micro(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
