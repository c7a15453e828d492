"""Get and list: consistent, from a version, in pages that all show the same version."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from kcontroller.api.keys import Key
from kcontroller.embedded import options, statuses
from kcontroller.embedded.bodies import json_text as json_bodies
from kcontroller.embedded.calls import Selection
from kcontroller.embedded.selection import matcher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.statuses import Refusal
    from kcontroller.embedded.store import Stored, Topic
    from kcontroller.embedded.views.representation import Representation

_CONTINUE_EXPIRED: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_VERSION_EXPIRED: Final = "The resourceVersion for the provided list is too old."
_NOT_OURS: Final = "invalid continue token: continue key is not valid: "
_MATCH: Final = "resourceVersionMatch"
_ANY: Final = -1  # The version of a token that continues an expired list: wherever the objects are now.


def get(backend: Backend, call: Call, representation: Representation, *, frozen: int | None = None) -> bytes:
    """Answer a GET of one object.

    Raises:
        Refusal: it is not there.
    """
    kind = call.kind
    version_asked(call, backend.store.version)
    topic = backend.store.topic(call.plane, kind.storage)
    shown = backend.store.version if frozen is None or is_consistent(call) else frozen
    objects = _at(topic, shown, statuses.expired(_VERSION_EXPIRED))
    stored = objects.get(Key(call.namespace, call.name))
    if stored is None:
        raise statuses.not_found(kind, call.name)
    return representation.one(kind, stored)


def list_objects(backend: Backend, call: Call, representation: Representation, *, frozen: int | None = None) -> bytes:
    """Answer a GET of a collection, or of one page of it.

    Raises:
        Refusal: the options contradict each other, or the version is not kept.
    """
    page = _Page.of(call, backend.store.version if frozen is None or is_consistent(call) else frozen)
    found, meta = select(backend, call, page)
    return representation.listing(call.kind, found, meta)


def select(backend: Backend, call: Call, page: _Page) -> tuple[list[Stored], dict[str, Any]]:
    """Collect the objects of a page and its ListMeta."""
    topic = backend.store.topic(call.plane, call.kind.storage)
    objects = _at(topic, page.version, _too_old(page))
    selection = Selection.of(call)
    matches = matcher(call.kind, selection)
    found: list[Stored] = []
    meta: dict[str, Any] = {"resourceVersion": str(page.version)}
    remaining, last = 0, ""
    for path, stored in topic.in_order(objects, namespace=call.namespace, after=page.after):
        if matches is not None and not matches(stored):
            continue
        if page.limit and len(found) == page.limit:
            remaining += 1
            if matches is not None:
                break  # With a selector the server does not count what is left.
            continue
        found.append(stored)
        last = path
    if remaining:
        meta["continue"] = _token(page.version, last)
        if matches is None:
            meta["remainingItemCount"] = remaining
    return found, meta


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    """A continue token, in kube-apiserver's own form."""

    v: Literal["meta.k8s.io/v1"] = "meta.k8s.io/v1"
    rv: int
    start: str


@dataclass(frozen=True, slots=True)
class _Page:
    """Which part of a collection, as of which version."""

    version: int
    after: str
    limit: int
    continued: bool

    @classmethod
    def of(cls, call: Call, current: int) -> _Page:
        limit = call.number("limit")
        match, token = call.query.get("resourceVersionMatch", ""), call.query.get("continue", "")
        options.check_number(call, "timeoutSeconds")
        if "sendInitialEvents" in call.query:
            cause = options.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
            raise options.refused("ListOptions", [cause])
        check_match(call, match)
        asked = version_asked(call, current)
        if token:
            if call.query.get("resourceVersion") not in {None, "", "0"}:
                raise statuses.bad_request("specifying resource version is not allowed when using continue")
            version, after = _read_token(token)
            return cls(current if version == _ANY else version, after, limit, continued=True)
        # A version with a limit and no match is exact since before there was a match parameter.
        exact = match == "Exact" or (asked > 0 and limit > 0 and not match)
        return cls(asked if exact else current, "", limit, continued=False)


def is_consistent(call: Call) -> bool:
    """Whether a read names no version: kube-apiserver asks etcd then, however far its own memory lags behind."""
    return not call.query.get("resourceVersion")


def check_match(call: Call, match: str) -> None:
    """Hold the rules of ``resourceVersionMatch`` (apimachinery's ValidateListOptions).

    Raises:
        Refusal: 422 for a combination that has no meaning.
    """
    if not match:
        return
    version, token = call.query.get("resourceVersion", ""), call.query.get("continue", "")
    problems = []
    if not version:
        problems.append("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if token:
        problems.append("resourceVersionMatch is forbidden when continue is provided")
    causes = [options.forbidden(_MATCH, problem) for problem in problems]
    if match not in {"Exact", "NotOlderThan"}:
        message = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        causes.append(statuses.Cause("FieldValueNotSupported", message, _MATCH))
    if match == "Exact" and version == "0":
        causes.append(options.forbidden(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if causes:
        raise options.refused("ListOptions", causes)


def version_asked(call: Call, current: int) -> int:
    """Read ``resourceVersion``; 0 for any.

    Raises:
        Refusal: it is no version, or one that is still to come.
    """
    text = call.query.get("resourceVersion", "")
    if not text:
        return 0
    if not text.isdecimal():
        if call.verb == "list":
            raise statuses.bad_request(f"invalid resource version: {options.unreadable_version(text)}")
        raise statuses.Refusal(500, "", options.unreadable_version(text))
    if int(text) > current:
        details = {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }
        message = f"Timeout: Too large resource version: {text}, current: {current}"
        raise statuses.Refusal(504, "Timeout", message, details=details, headers={"Retry-After": "1"})
    return int(text)


def _at(topic: Topic, version: int, otherwise: Refusal) -> Mapping[Key, Stored]:
    if version < topic.oldest:
        raise otherwise
    return topic.at(version)


def _too_old(page: _Page) -> Refusal:
    if not page.continued:
        return statuses.expired(_VERSION_EXPIRED)
    return statuses.expired(_CONTINUE_EXPIRED, continue_token=_token(_ANY, page.after))


def _token(version: int, after: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Token(rv=version, start=f"{after}\0"))).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        bad = next((at for at, letter in enumerate(token) if not (letter.isalnum() or letter in "-_")), len(token))
        raise statuses.bad_request(f"{_NOT_OURS}illegal base64 data at input byte {bad}") from None
    try:
        json_bodies.decode(text, depth=2)
        token_read = msgspec.json.decode(text, type=_Token)
    except json_bodies.JsonFault as fault:
        raise statuses.bad_request(f"{_NOT_OURS}{fault}") from None
    except msgspec.DecodeError:
        raise statuses.bad_request(f"{_NOT_OURS}server does not recognize this encoded version ") from None
    if not token_read.rv or token_read.rv < _ANY:
        why = f"incorrect encoded start resourceVersion (version {token_read.v})"
        raise statuses.bad_request(f"{_NOT_OURS}{why}")
    return token_read.rv, token_read.start.removesuffix("\0")
