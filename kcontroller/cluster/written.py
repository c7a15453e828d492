"""What a write was, kept for those who ask later: no values of Secrets, nothing large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api import patches
from kcontroller.api.codec import gvk_of
from kcontroller.api.differences import merge_diff
from kcontroller.api.keys import GVK, Key
from kcontroller.cache.poison import UNREADABLE
from kcontroller.errors import ApiError
from kcontroller.process.logs import described, redact

if TYPE_CHECKING:
    from kcontroller.cache.entry import Entry
    from kcontroller.client.ports import Write

SECRET: Final = GVK("", "v1", "Secret")
LEFT_OUT: Final = "[left out]"

_LARGEST: Final = 1024
_CONTENT: Final = ("data", "stringData")
_ANSWER_LIMIT: Final = 200


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""


class _Answer(msgspec.Struct):
    metadata: _Metadata | None = None


_decode_answer: Final = msgspec.json.Decoder(_Answer).decode
_decode_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Written(msgspec.Struct, frozen=True, gc=False):
    """One write.

    Attributes:
        verb: ``create``, ``update``, ``patch``, ``apply`` or ``delete``.
        gvk: what was written.
        key: where.
        subresource: "" for the object itself.
        change: JSON: what was sent, of an update what it changed; of something large the sizes of its parts.
        answer: the resourceVersion that it made, or the refusal.
        refused: whether it is a refusal.
    """

    verb: str
    gvk: GVK
    key: Key
    subresource: str
    change: bytes
    answer: str
    refused: bool


def written_of(write: Write, before: Entry | None, outcome: bytes | BaseException) -> Written:
    """Sum a write up that has ended.

    Args:
        write: what was sent.
        before: what an update replaced, as far as a cache showed it.
        outcome: the answer, or what it raised.
    """
    gvk = gvk_of(write.kind)
    verb = "apply" if write.content_type == patches.APPLY else write.verb
    refused = isinstance(outcome, BaseException)
    made = _Metadata() if isinstance(outcome, BaseException) else _metadata(outcome)
    answer = _refusal(outcome) if isinstance(outcome, BaseException) else made.resource_version
    key = write.key if write.key.name else Key(write.key.namespace, made.name)
    try:
        change = _change(write, gvk, before)
    except UNREADABLE:
        change = b""
    return Written(verb, gvk, key, write.subresource, change, answer, refused)


def without_content(document: Any) -> Any:
    """A Secret, or a part of one, with the names in its data and no values."""
    if not isinstance(document, dict):
        return LEFT_OUT  # Such as a list of JSON patch operations.
    shown = {name: value for name, value in document.items() if name not in _CONTENT}
    for name in _CONTENT:
        content = document.get(name)
        if isinstance(content, dict):
            shown[name] = dict.fromkeys(content, LEFT_OUT)
    # What kubectl applied last is the whole of it once more.
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("annotations"), dict):
        shown["metadata"] = {**metadata, "annotations": dict.fromkeys(metadata["annotations"], LEFT_OUT)}
    return shown


def _change(write: Write, gvk: GVK, before: Entry | None) -> bytes:
    body = write.body
    is_secret = (gvk.group, gvk.kind) == (SECRET.group, SECRET.kind)
    if write.verb == "delete" or not body:
        return b""
    if before is not None:
        body = msgspec.json.encode(merge_diff(msgspec.json.decode(before.raw), msgspec.json.decode(body)))
    if is_secret:
        body = msgspec.json.encode(without_content(msgspec.json.decode(body)))
    if len(body) <= _LARGEST:
        return body
    sizes = {name: f"({len(bytes(part)):,} bytes)" for name, part in _decode_parts(body).items()}
    return msgspec.json.encode(sizes)


def _metadata(answer: bytes) -> _Metadata:
    try:
        return _decode_answer(answer).metadata or _Metadata()
    except UNREADABLE:
        return _Metadata()


def _refusal(error: BaseException) -> str:
    if isinstance(error, ApiError):
        return redact(f"{error.status} {error.reason}: {error.message}")[:_ANSWER_LIMIT]
    return redact(described(error))[:_ANSWER_LIMIT]
