"""An event as it was recorded: checked, cut, and free of the object that it is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from kcontroller.process.logs import one_line

if TYPE_CHECKING:
    from kcontroller.api.objects import KubeObject

MESSAGE_BYTES: Final = 1024
REASON_BYTES: Final = 128
"""What the API server's validation of events.k8s.io/v1 allows; an action has the limit of a reason."""

_TYPES: Final = frozenset({"Normal", "Warning"})
_BREAKS: Final = re.compile(r"\s*[\r\n]\s*|\t")
_MORE: Final = "..."


class Reference(msgspec.Struct, frozen=True, rename="camel"):
    """The object that an event is about, as an ObjectReference of the API.

    Attributes:
        api_version: such as ``apps/v1``.
        kind: such as ``Deployment``.
        namespace: "" for cluster-scoped kinds.
        name: its name.
        uid: its identity, "" if it is not known.
        resource_version: the version at which it was read.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""

    def __str__(self) -> str:
        """Write ``apps/v1 Deployment default/web``."""
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.api_version} {self.kind} {where}"


class RecordedEvent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        type: ``Normal`` or ``Warning``.
        reason: why, one CamelCase word.
        message: for people; at most 1,024 bytes of UTF-8, one line.
        regarding: what it is about.
        action: what was done; never empty.
    """

    type: str
    reason: str
    message: str
    regarding: Reference
    action: str

    def __str__(self) -> str:
        """Write ``Warning Failed: no such image (v1 Pod default/a)``."""
        return f"{self.type} {self.reason}: {self.message} ({self.regarding})"


class Recorder(Protocol):
    """Records events of one controller in one cluster."""

    def event(self, obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> None:
        """Take an event; never waits, and drops it where there is no room.

        Raises:
            ValueError: see `recorded`.
        """
        ...


def recorded(obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> RecordedEvent:
    """Check an event and make a value of it that holds nothing of the object but its reference.

    Args:
        obj: what it is about; it has a name.
        type_: ``Normal`` or ``Warning``.
        reason: at most 128 bytes.
        message: made one line without control characters, and cut at 1,024 bytes between two characters.
        action: at most 128 bytes; the reason unless given.

    Raises:
        ValueError: the type is another word, a reason is missing or too long, or the object has no kind or name.
    """
    if type_ not in _TYPES:
        msg = f"an event is 'Normal' or 'Warning', not {type_!r:.40}"
        raise ValueError(msg)
    if not reason:
        msg = "an event needs a reason: one CamelCase word, such as 'Scaled'"
        raise ValueError(msg)
    reason = one_line(reason)
    action = one_line(action) if action else reason
    for what, word in (("reason", reason), ("action", action)):
        if len(word.encode()) > REASON_BYTES:
            msg = (
                f"the {what} of an event has at most {REASON_BYTES} bytes: {word[:40]!r}...; the message has more room"
            )
            raise ValueError(msg)
    gvk, metadata = obj.gvk, obj.metadata
    name = metadata.name
    if not name:
        msg = f"an event about a {gvk.kind} without a name; create it first"
        raise ValueError(msg)
    regarding = Reference(gvk.api_version, gvk.kind, metadata.namespace, name, metadata.uid, metadata.resource_version)
    return RecordedEvent(type_, reason, clipped(message), regarding, action)


def clipped(text: str) -> str:
    """Make one line of a text and cut it at `MESSAGE_BYTES` between two characters; "..." says that it was longer."""
    # The first cut comes before the costly part: a text of megabytes costs no more than one of a kilobyte.
    line = one_line(_BREAKS.sub(" ", text[: MESSAGE_BYTES + 1]).strip())
    encoded = line.encode()
    if len(encoded) <= MESSAGE_BYTES and len(text) <= MESSAGE_BYTES:
        return line
    return encoded[: MESSAGE_BYTES - len(_MORE)].decode(errors="ignore") + _MORE
