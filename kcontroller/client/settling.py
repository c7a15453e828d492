"""Writes whose outcome is open: read what became of them, and repeat only what cannot do harm twice.

A connection that ends after a write was sent leaves it open whether the write has happened, or will in a moment: the
server may still be at work. So does an answer of 5xx: the API server gives one when its store did not answer in time,
and so does whatever stands before it. A reading that does not show the write proves nothing. What is done:

* **create** under a name that was made for it (`generated_names`): happened if an object of that name has its
  generateName. If there is none, it is sent again under the same name, which is given once.
* **create** under any other name: sent again if there is no such object. If there is one it may be another writer's,
  and it stays open: of two replicas that create a lock, one must not be told that it has made the other's.
* **update** or **merge patch** of a resourceVersion: while the object has that version, nothing was written, and it is
  sent again; the server takes it once. With another version it happened if the object shows it, else it is a
  `Conflict`.
* **update** or **merge patch** without a resourceVersion: happened if the object shows it, else it stays open: sent
  again, it could undo what another writer did since.
* **apply**: sent again. It says what should be; like any forced apply it may undo a later one of the same fields.
* **delete** of an object that was read: sent again until no object of its name has its uid. A second one asks of the
  same object what the first one did.

"Shows" is strict: a server that has changed what was sent (a default, a webhook) makes a conflict, not a success. That
an object has changed meanwhile, has been replaced, or is gone, is true whatever became of the write: `Conflict` and
`NotFound`. But a repetition that is refused tells nothing of the first sending, which may be why it is refused: the
object is read once more, and if it does not show the write it stays open, caused by the refusal. Only the conflict of
an apply stands: who owns a field does not depend on it.

What is not in the list (a JSON patch, a delete by name alone, other subresources, a dry run) stays open at once; so do
events, whose senders repeat them under the same name, and seldom have the right to read them. Open means that how the
write ended is raised as it was: `OutcomeUnknown`, `RequestTimeout` or `ServerError`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api import patches
from kcontroller.api.codec import gvk_of
from kcontroller.api.differences import same
from kcontroller.api.objects import without_server_metadata
from kcontroller.errors import (
    ApiError,
    ClusterUnavailable,
    Conflict,
    KControllerError,
    KindNotServed,
    NotFound,
    OutcomeUnknown,
    RequestTimeout,
    ServerError,
    TooManyRequests,
    TransportError,
)
from kcontroller.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.client.ports import Write

TRIES: Final = 6
PAUSES: Final = Backoff(initial=0.1, cap=1.6)
"""Between the readings; 3.1 s in all, the time of a server to come back."""

_EVENTS: Final = frozenset((("", "Event"), ("events.k8s.io", "Event")))
_NOT_ADMITTED: Final = "Internal error occurred: failed calling webhook"
"""k8s.io/apiserver, admission/plugin/webhook: a webhook could not be asked, before anything was stored."""


def is_open(error: BaseException) -> bool:
    """Whether a write that ended with this answer, or without one, may have happened."""
    if isinstance(error, ServerError):
        # A delete may be admitted twice: before it marks the object, and before it removes it.
        return error.verb == "delete" or error.reason != "InternalError" or not error.message.startswith(_NOT_ADMITTED)
    return isinstance(error, OutcomeUnknown) or (isinstance(error, RequestTimeout) and error.sent)


def is_refused(error: BaseException) -> bool:
    """Whether it proves that the write has not happened. Where work was stopped, or anything else failed, it may."""
    return isinstance(error, ApiError | TransportError | ClusterUnavailable) and not is_open(error)


def settle(
    write: Write,
    lost: KControllerError,
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
        KControllerError: `lost`, if it cannot be found out.
        Conflict: the object has changed, or was replaced, and does not show the write; or an apply met another owner.
        NotFound: the object is gone.
        Stopped, NotLeader: what `read`, `again` and `pause` raise so; the write may have happened.
    """
    settlement = _Settlement.of(write)
    if settlement is None:
        raise lost
    refusal: KControllerError | None = None
    for failures in range(TRIES):
        if failures:
            pause(PAUSES.delay(failures))
        try:
            judged = settlement.judge(read)
        except _Unreadable as error:
            if error.passes:
                continue
            raise lost from error
        if isinstance(judged, bytes):
            return judged
        if judged is _Verdict.OPEN or (refusal and not _may_pass(refusal)):
            raise lost from refusal
        answer = _repeated(again, settlement)
        if isinstance(answer, bytes):
            return answer
        refusal = answer
    raise lost from refusal


def _repeated(again: Callable[[], bytes], settlement: _Settlement) -> bytes | KControllerError:
    try:
        return again()
    except (ApiError, TransportError, KindNotServed, ClusterUnavailable) as refusal:
        if settlement.is_apply and isinstance(refusal, Conflict):
            raise
        return refusal


def _may_pass(refusal: KControllerError) -> bool:
    # A conflict may be with the first sending: the reading after it tells.
    return isinstance(refusal, TransportError | TooManyRequests | ServerError | Conflict)


class _Verdict(enum.Enum):
    AGAIN = "it may be sent again"
    OPEN = "nothing will prove it"


class _Unreadable(Exception):
    """The object cannot be read.

    Attributes:
        passes: whether it may be in a moment; not where a right is missing, or the time of the reconcile is over.
    """

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        away = isinstance(why, TransportError | TooManyRequests | ServerError)
        self.passes = away and not isinstance(why, RequestTimeout)


class _Settlement(msgspec.Struct, frozen=True):
    """One write, and how it shows.

    Attributes:
        write: what was sent.
        sent: its body.
        uid: of the object it was meant for; "" if it says none.
        version: of the object it was made from; "" if it says none.
    """

    write: Write
    sent: dict[str, Any]
    uid: str
    version: str

    @classmethod
    def of(cls, write: Write) -> _Settlement | None:
        """None for what cannot be settled."""
        if not (write.key.name and write.body) or write.dry_run or write.subresource not in {"", "status"}:
            return None
        if write.verb == "patch" and write.content_type not in {patches.MERGE, patches.APPLY}:
            return None
        gvk = gvk_of(write.kind)
        if (gvk.group, gvk.kind) in _EVENTS:
            return None
        sent = msgspec.json.decode(write.body)
        meant = sent.get("preconditions" if write.verb == "delete" else "metadata") or {}
        if write.verb == "delete" and not meant.get("uid"):
            return None
        version = meant.get("resourceVersion") or ""
        return cls(write, sent, meant.get("uid") or "", "" if version == "0" else version)  # "0" is any version.

    @property
    def is_apply(self) -> bool:
        """Whether it is a server-side apply."""
        return self.write.verb == "patch" and self.write.content_type == patches.APPLY

    def judge(self, read: Callable[[], bytes]) -> bytes | _Verdict:
        """Read the object: the answer if it shows the write; raises what is true of one that never will."""
        try:
            found = read()
            shown = msgspec.json.decode(found)
            metadata = shown["metadata"]
            identity = metadata["uid"], metadata["resourceVersion"]
        except NotFound as gone:
            return self._without_object(gone)
        except (
            ApiError,
            TransportError,
            KindNotServed,
            ClusterUnavailable,
            ValueError,
            LookupError,
            TypeError,
        ) as error:
            raise _Unreadable(error) from error
        return self._with_object(found, shown, *identity)

    def _without_object(self, gone: NotFound) -> bytes | _Verdict:
        if self.write.verb == "delete":
            return self._deleted()
        if self.write.verb == "create" or (self.is_apply and not self.uid and not self.write.subresource):
            return _Verdict.AGAIN
        raise gone

    def _with_object(self, found: bytes, shown: dict[str, Any], uid: str, version: str) -> bytes | _Verdict:
        verb = self.write.verb
        if verb == "create":
            return found if self._made(shown["metadata"]) else _Verdict.OPEN
        if self.uid and uid != self.uid:
            if verb == "delete":
                return self._deleted()
            raise self._too_late("another object has its name now")  # noqa: EM101, TRY003 - a clause
        if verb == "delete" or self.is_apply or version == self.version:
            return _Verdict.AGAIN
        if self._is_in(shown):
            return found
        if self.version:
            raise self._too_late("it has changed since it was read")  # noqa: EM101, TRY003
        return _Verdict.OPEN

    def _made(self, metadata: dict[str, Any]) -> bool:
        """Whether an object is what was created: nobody else makes this name."""
        prefix = (self.sent.get("metadata") or {}).get("generateName")
        ours = dict(self.write.query).get("fieldManager")
        managers = {each.get("manager") for each in metadata.get("managedFields") or ()}
        alike = bool(prefix) and metadata.get("generateName") == prefix
        return self.write.fresh_name and alike and (not ours or not managers or ours in managers)

    def _is_in(self, shown: dict[str, Any]) -> bool:
        """Whether an object says what was sent, to the last empty list."""
        sent, there = without_server_metadata(self.sent), without_server_metadata(shown)
        return _changes_nothing(sent, there) if self.write.verb == "patch" else same(sent, there)

    def _deleted(self) -> bytes:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"uid": self.uid}}
        return msgspec.json.encode(status)

    def _too_late(self, why: str) -> Conflict:
        msg = f"{gvk_of(self.write.kind)} {self.write.key}: {why}, and the outcome of our write is not known"
        return Conflict(msg, status=409, reason="Conflict", verb=self.write.verb)


def _changes_nothing(patch: Any, there: Any) -> bool:
    """Whether a merge patch (RFC 7386) of a value gives the same value."""
    if not isinstance(patch, dict):
        return same(patch, there)
    if not isinstance(there, dict):
        return False
    return all(
        name not in there if value is None else name in there and _changes_nothing(value, there[name])
        for name, value in patch.items()
    )
