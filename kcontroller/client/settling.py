"""Writes whose answer was lost: read what became of them, and repeat only what cannot happen twice.

A connection that ends after a write was sent leaves it open whether the write has happened, or will in a moment: the
server may still be at work. So a reading that does not show it proves nothing, and the write is sent again only where
the server itself refuses the second one, or would not notice it:

* **create**: happened if the object is there and carries what was sent; a name is given once.
* **update**: happened if the object equals what was sent; a resourceVersion is replaced once.
* **merge patch**: happened if the object shows every value of it; setting the same values twice is setting them once.
* **apply**: sent again, since it owns the same fields again.
* **delete** of an object that was read: happened if its uid is gone or terminating; a uid is deleted once.

An object that has changed meanwhile and does not show the write is a `Conflict`, and one that is gone is `NotFound`:
both are true whatever became of the write, and whoever wrote knows what to do about them. What is not in the list (a
JSON patch, a delete by name alone, other subresources, a dry run) stays `OutcomeUnknown`, for the next reconcile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api import patches
from kcontroller.api.codec import gvk_of
from kcontroller.api.differences import same
from kcontroller.errors import (
    AlreadyExists,
    Conflict,
    KControllerError,
    NotFound,
    OutcomeUnknown,
    RequestTimeout,
    TransportError,
)
from kcontroller.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.client.ports import Write

TRIES: Final = 6
PAUSES: Final = Backoff(initial=0.1, cap=1.6)
"""Between the readings; 3.1 s in all, the time of a server to come back."""

_SERVER_OWNED: Final = frozenset({"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink"})
_NOTHING: Final[tuple[Any, ...]] = (None, {}, [])


def is_open(error: TransportError) -> bool:
    """Whether a write that ended like this may have happened."""
    return isinstance(error, OutcomeUnknown) or (isinstance(error, RequestTimeout) and error.sent)


def settle(
    write: Write,
    lost: TransportError,
    *,
    read: Callable[[], bytes],
    again: Callable[[], bytes],
    pause: Callable[[float], None],
) -> bytes:
    """Find out what became of a write; returns what it would have been answered.

    Args:
        write: what was sent.
        lost: how it ended.
        read: reads its object at the server.
        again: sends it again.
        pause: waits so many seconds, or raises `Stopped`.

    Raises:
        TransportError: `lost`, if it cannot be found out.
        ApiError: what the repetition was answered, or what is true of an object that does not show the write.
    """
    settlement = _Settlement.of(write)
    if settlement is None:
        raise lost
    for failures in range(TRIES):
        if failures:
            pause(PAUSES.delay(failures))
        try:
            found = _read(read)
        except KControllerError as error:
            if _may_pass(error):
                continue
            raise lost from error
        answer = settlement.gone(found) if isinstance(found, NotFound) else settlement.answer(found, lost)
        if answer is None:
            answer = _repeat(again)
        if answer is not None:
            return answer
    raise lost


def _read(read: Callable[[], bytes]) -> bytes | NotFound:
    try:
        return read()
    except NotFound as gone:
        return gone


def _may_pass(error: KControllerError) -> bool:
    # Not where the time of the reconcile is over, or where a right is missing.
    return isinstance(error, TransportError) and not isinstance(error, RequestTimeout)


def _repeat(again: Callable[[], bytes]) -> bytes | None:
    try:
        return again()
    except (Conflict, TransportError):
        return None  # A conflict may be with the first sending: the next reading tells.


class _Settlement(msgspec.Struct, frozen=True):
    """One write, and how it shows.

    Attributes:
        write: what was sent.
        sent: its body.
        uid: of the object it was meant for; "" if it says none.
    """

    write: Write
    sent: dict[str, Any]
    uid: str

    @classmethod
    def of(cls, write: Write) -> _Settlement | None:
        """None for what cannot be settled."""
        if not write.key.name or write.dry_run or write.subresource not in {"", "status"}:
            return None
        if write.verb == "patch" and write.content_type not in {patches.MERGE, patches.APPLY}:
            return None
        sent = msgspec.json.decode(write.body)
        uid = (sent.get("preconditions" if write.verb == "delete" else "metadata") or {}).get("uid") or ""
        return None if write.verb == "delete" and not uid else cls(write, sent, uid)

    def gone(self, error: NotFound) -> bytes | None:
        """Judge that there is no object: the answer, None if the write may be sent again; raises what is true."""
        if self.write.verb == "create":
            return None
        if self.write.verb == "delete":
            return self._deleted()
        raise error

    def answer(self, found: bytes, lost: TransportError) -> bytes | None:
        """Judge the object that there is, like `gone`."""
        there = msgspec.json.decode(found)
        metadata = there["metadata"]
        match self.write.verb:
            case "create":
                return self._created(there, found, lost)
            case "delete":
                if metadata["uid"] != self.uid:
                    return self._deleted()
                return found if metadata.get("deletionTimestamp") else None
            case _:
                if self.uid and metadata["uid"] != self.uid:
                    raise self._too_late("another object has its name now")  # noqa: EM101, TRY003 - a clause
                return self._changed(there, found)

    def _created(self, there: dict[str, Any], found: bytes, lost: TransportError) -> bytes:
        if _carries(there, self.sent):
            return found
        if not self.sent["metadata"].get("generateName"):
            raise lost  # Perhaps ours with what a webhook made of it; the next reconcile finds it.
        # A name that was made for this create alone: what the object says of itself is enough.
        if _carries(there["metadata"], self.sent["metadata"]):
            return found
        msg = f"{gvk_of(self.write.kind)} {self.write.key} exists, and is not the one that was to be created"
        raise AlreadyExists(msg, status=409, reason="AlreadyExists", verb="create")

    def _changed(self, there: dict[str, Any], found: bytes) -> bytes | None:
        if self.write.content_type == patches.APPLY:
            return None
        part = self.write.subresource
        sent, shown = ({part: each.get(part)} if part else each for each in (self.sent, there))
        if self.write.verb == "patch":
            happened = _shows(shown, _without(sent, ("resourceVersion",)))
        else:
            happened = same(*(_plain(each, keep_status=bool(part)) for each in (sent, shown)))
        if happened:
            return found
        version = (self.sent.get("metadata") or {}).get("resourceVersion")
        if version and version != there["metadata"]["resourceVersion"]:
            raise self._too_late("it has changed since it was read")  # noqa: EM101, TRY003
        return None

    def _deleted(self) -> bytes:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"uid": self.uid}}
        return msgspec.json.encode(status)

    def _too_late(self, why: str) -> Conflict:
        msg = f"{gvk_of(self.write.kind)} {self.write.key}: {why}, and the answer to our write was lost"
        return Conflict(msg, status=409, reason="Conflict", verb=self.write.verb)


def _carries(there: Any, sent: Any) -> bool:
    """Whether a stored value is one that was sent, with what the server added."""
    if isinstance(sent, dict) and isinstance(there, dict):
        return all(value in _NOTHING or _carries(there.get(name), value) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(there, list):
        return len(sent) == len(there) and all(map(_carries, there, sent))
    return same(there, sent)


def _shows(there: Any, patch: Any) -> bool:
    """Whether a merge patch (RFC 7386) would change nothing."""
    if not isinstance(patch, dict):
        return same(there, patch)
    if not isinstance(there, dict):
        return False
    return all(name not in there if value is None else _shows(there.get(name), value) for name, value in patch.items())


def _plain(document: dict[str, Any], *, keep_status: bool) -> Any:
    """What a writer says in an object: without what the server writes, and without what says nothing."""
    said = document if keep_status else {name: value for name, value in document.items() if name != "status"}
    return _pruned(_without(said, _SERVER_OWNED))


def _without(document: dict[str, Any], names: Any) -> dict[str, Any]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {name: value for name, value in metadata.items() if name not in names}}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        pruned = {name: _pruned(each) for name, each in value.items()}
        return {name: each for name, each in pruned.items() if each not in _NOTHING}
    return [_pruned(each) for each in value] if isinstance(value, list) else value
