"""Which object a delete is for, and was for: a name may be given again to another one."""

from __future__ import annotations

from typing import Final

import msgspec


class _Identified(msgspec.Struct, frozen=True):
    """What has a uid: preconditions, metadata, the details of a Status."""

    uid: str = ""


class _Options(msgspec.Struct, frozen=True):
    """The body of a delete."""

    preconditions: _Identified | None = None


class _Asked(_Options, frozen=True):
    """The body of a delete, or of an eviction."""

    deleteOptions: _Options | None = None  # noqa: N815 - its name in the API


class _Answered(msgspec.Struct, frozen=True):
    """The answer to a delete: the object that is still there, or a Status."""

    metadata: _Identified | None = None
    details: _Identified | None = None


_ASKED: Final = msgspec.json.Decoder(_Asked)
_ANSWERED: Final = msgspec.json.Decoder(_Answered)


def uid_asked(body: bytes) -> str:
    """Read which object a delete or an eviction is for; "" if it does not say."""
    try:
        asked = _ASKED.decode(body) if body else _Asked()
    except msgspec.DecodeError:
        return ""
    meant = asked.preconditions or (asked.deleteOptions and asked.deleteOptions.preconditions)
    return meant.uid if meant else ""


def uid_answered(body: bytes) -> str:
    """Read which object it was; "" if the answer does not say."""
    try:
        answered = _ANSWERED.decode(body)
    except msgspec.DecodeError:
        return ""
    return (answered.metadata and answered.metadata.uid) or (answered.details and answered.details.uid) or ""
