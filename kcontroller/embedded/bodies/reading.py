"""Request bodies: JSON, YAML or protobuf to a document, with kube-apiserver's words for what cannot be read.

A body is at most `LIMIT` bytes. What a body may do to this process is bounded further: nesting by `MAX_DEPTH` (the real
server reads 10,000 levels), YAML aliases as go-yaml bounds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded import gotext, statuses
from kcontroller.embedded.bodies import json_text as json_bodies
from kcontroller.embedded.bodies import yaml_text as yaml_bodies
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from kcontroller.embedded.kinds import Kind

LIMIT: Final = 3 * 1024 * 1024
"""The most bytes of a body: kube-apiserver's MaxRequestBodyBytes."""

MAX_DEPTH: Final = 250
"""The deepest nesting that is read: later steps walk documents recursively."""

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"

_META: Final = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_SHOWN: Final = 30


@dataclass(frozen=True, slots=True)
class Body:
    """A document, and what its text said twice.

    Attributes:
        document: for the caller to keep and change; ``null`` and nothing at all are an empty one.
        duplicates: one warning for each key that stands twice in an object; the last value counts.
        strict: the same as the start of the error of strict field validation; empty if there is none.
    """

    document: dict[str, Any]
    duplicates: tuple[str, ...] = ()
    strict: str = ""


class _Fault(Exception):
    """What is wrong with a text, before it is said of which kind."""


def decode(raw: bytes, content_type: str, *, kind: Kind | None = None) -> dict[str, Any]:
    """Read a body.

    Args:
        raw: the bytes.
        content_type: the header; empty means JSON.
        kind: what the path asks for; messages name it. None for DeleteOptions.

    Raises:
        Refusal: 400, 413 or 415.
    """
    return read(raw, content_type, kind=kind).document


def decode_apply(raw: bytes) -> dict[str, Any]:
    """Read the body of an apply, which is YAML whatever it looks like.

    Raises:
        Refusal: 400 or 413.
    """
    if len(raw) > LIMIT:
        raise too_large()
    try:
        document = _yaml(raw).document
    except _Fault as fault:
        raise statuses.bad_request(f"error decoding YAML: error converting YAML to JSON: {fault}") from None
    if not isinstance(document, dict):
        raise statuses.bad_request(
            f"error decoding YAML: json: cannot unmarshal {gotext.json_type_of(document)} into Go value"
        )
    return document


def read(raw: bytes, content_type: str, *, kind: Kind | None = None) -> Body:
    """Read a body as `decode` does, with the keys that stand twice.

    Raises:
        Refusal: 400, 413 or 415.
    """
    if len(raw) > LIMIT:
        raise too_large()
    media_type = media_type_of(content_type)
    if media_type == PROTOBUF:
        return Body(_protobuf(raw, kind))
    try:
        body = _yaml(raw) if media_type == YAML else _json(raw)
        _check_meta(body.document, raw, kind)
    except json_bodies.OutOfRange as number:
        name = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: ' if kind else ""
        raise statuses.bad_request(
            f"{name}json: cannot unmarshal number {number} into Go value of type float64"
        ) from None
    except _Fault as fault:
        raise _unrecognized(str(fault), raw, kind) from None
    return body


def media_type_of(content_type: str) -> str:
    """Give the media type of a body that is an object.

    Raises:
        Refusal: 415 for what is neither JSON nor YAML nor protobuf.
    """
    if content_type in {JSON, ""}:
        return JSON
    name, *parameters = content_type.split(";")
    name = name.strip().lower()
    if name not in {JSON, YAML, PROTOBUF} or not all("=" in each or not each.strip() for each in parameters):
        raise unsupported()
    return name


def too_large() -> Refusal:
    """413: the body is over `LIMIT`."""
    return Refusal(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT}")


def unsupported() -> Refusal:
    """415: the body is in a format that nobody reads."""
    accepted = f"{JSON}, {YAML}, {PROTOBUF}"
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return Refusal(415, "UnsupportedMediaType", message)


def _unrecognized(why: str, raw: bytes, kind: Kind | None) -> Refusal:
    if kind is None:
        return statuses.bad_request(why)
    return statuses.bad_request(
        f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({_summary(raw)})"
    )


def _protobuf(raw: bytes, kind: Kind | None) -> dict[str, Any]:
    from kcontroller.embedded.bodies import protobuf  # noqa: PLC0415 - only Go clients send it

    try:
        return protobuf.decode(raw, kind=kind)
    except Refusal as refusal:
        if refusal.reason != "BadRequest":
            raise
        raise _unrecognized(refusal.message, raw, kind) from None


def _json(raw: bytes) -> Body:
    try:
        document, duplicates = json_bodies.decode(raw, depth=MAX_DEPTH)
    except json_bodies.JsonFault as fault:
        msg = f"couldn't get version/kind; json parse error: {fault}"
        raise _Fault(msg) from None
    return Body({} if document is None else document, duplicates, ", ".join(duplicates))


def _yaml(raw: bytes) -> Body:
    try:
        value, lines = yaml_bodies.decode(raw, depth=MAX_DEPTH)
    except yaml_bodies.YamlFault as fault:
        raise _Fault(str(fault)) from None
    # Through JSON: what aliases share becomes separate, and numbers become those of JSON.
    document, _ = json_bodies.decode(msgspec.json.encode(value), depth=MAX_DEPTH + 1)
    strict = "yaml: unmarshal errors:\n  " + "\n  ".join(lines) if lines else ""
    return Body({} if document is None else document, tuple(lines), strict)


def _summary(raw: bytes) -> str:
    """Show the start of a body as apiserver's summarizeData does."""
    if not raw:
        return "<empty>"
    shown = raw[:_SHOWN]
    text = shown.decode("utf-8", "replace") if raw.startswith(b"{") else shown.hex()
    return f"{text} ..." if len(raw) > _SHOWN else text


def _check_meta(document: Any, raw: bytes, kind: Kind | None) -> None:
    if not isinstance(document, dict):
        msg = (
            "couldn't get version/kind; json parse error: "
            f"json: cannot unmarshal {gotext.json_type_of(document)} into Go value of type {_META}"
        )
        raise _Fault(msg)
    for name in ("apiVersion", "kind"):
        value = document.get(name)
        if value is not None and not isinstance(value, str):
            msg = (
                "couldn't get version/kind; json parse error: "
                f"json: cannot unmarshal {gotext.json_type_of(value)} into Go struct field .{name} of type string"
            )
            raise _Fault(msg)
    if (document.get("apiVersion") or "").count("/") > 1:
        msg = f"unexpected GroupVersion string: {document['apiVersion']}"
        raise _Fault(msg)
    # The Go types of built-in kinds know what they are; a custom resource must say it.
    if kind is not None and not kind.builtin and not document.get("kind"):
        msg = f"Object 'Kind' is missing in '{raw.decode('utf-8', 'replace')}'"
        raise _Fault(msg)
