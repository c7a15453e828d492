"""Request bodies: JSON, YAML or protobuf to a document, with kube-apiserver's words for what cannot be read.

A body is at most `LIMIT` bytes. What a body may do to this process is bounded further: nesting by `MAX_DEPTH` (the real
server reads 10,000 levels), YAML aliases as go-yaml bounds them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded import statuses, syntax, yaml_bodies
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
_INT64: Final = 2**63
_INT64_DIGITS: Final = 20
_EXPONENT_FROM: Final = 1e21  # encoding/json writes larger numbers with an exponent.
_MOST_DUPLICATES: Final = 100


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


class _Duplicate(Exception):
    """A key stands twice: the text is read again, slowly."""


class _OutOfRange(Exception):
    """A number that a float64 cannot hold."""


class _Pairs(list[tuple[str, Any]]):
    """An object as its text has it."""


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


def read(raw: bytes, content_type: str, *, kind: Kind | None = None) -> Body:
    """Read a body as `decode` does, with the keys that stand twice.

    Raises:
        Refusal: 400, 413 or 415.
    """
    if len(raw) > LIMIT:
        raise too_large()
    media_type = media_type_of(content_type)
    if media_type == PROTOBUF:
        from kcontroller.embedded import protobuf  # noqa: PLC0415 - only Go clients send it

        return Body(protobuf.decode(raw))
    try:
        body = _yaml(raw) if media_type == YAML else _json(raw)
        _check_meta(body.document, raw, kind)
    except _OutOfRange as number:
        name = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: ' if kind else ""
        raise statuses.bad_request(
            f"{name}json: cannot unmarshal number {number} into Go value of type float64"
        ) from None
    except _Fault as fault:
        if kind is None:
            raise statuses.bad_request(str(fault)) from None
        message = f"the object provided is unrecognized (must be of type {kind.kind}): {fault} ({_summary(raw)})"
        raise statuses.bad_request(message) from None
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


def _json(raw: bytes) -> Body:
    text = raw.decode("utf-8", "replace")  # As Go does, without a word.
    duplicates: tuple[str, ...] = ()
    try:
        try:
            document = _DECODER.decode(text)
        except _Duplicate:
            found = dict.fromkeys(_duplicates(_PAIRS_DECODER.decode(text), ""))
            duplicates = tuple(f'duplicate field "{path}"' for path in found)[:_MOST_DUPLICATES]
            document = _LENIENT_DECODER.decode(text)
    except (ValueError, RecursionError):
        raise _refused(raw) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(document):
        raise _refused(raw)
    if "\\ud" in text or "\\uD" in text:
        document = _whole(document)
    return Body({} if document is None else document, duplicates, ", ".join(duplicates))


def _refused(raw: bytes) -> _Fault:
    return _Fault(f"couldn't get version/kind; json parse error: {syntax.fault_of(raw, max_depth=MAX_DEPTH)}")


def _yaml(raw: bytes) -> Body:
    try:
        value, lines = yaml_bodies.decode(raw, depth=MAX_DEPTH)
    except yaml_bodies.YamlFault as fault:
        raise _Fault(str(fault)) from None
    # Through JSON: what aliases share becomes separate, and numbers become those of JSON.
    document = _DECODER.decode(msgspec.json.encode(value).decode())
    strict = "yaml: unmarshal errors:\n  " + "\n  ".join(lines) if lines else ""
    return Body({} if document is None else document, tuple(lines), strict)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _Duplicate
    return document


def _integer(text: str) -> int | float:
    if len(text) <= _INT64_DIGITS and -_INT64 <= (value := int(text)) < _INT64:
        return value
    return _number(text)


def _number(text: str) -> int | float:
    """Read a float64 as it comes out of Go again: 1.0 is written as 1."""
    value = float(text)
    if math.isinf(value):
        raise _OutOfRange(text)
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else value


def _constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity, which Python alone reads.


def _decoder(hook: Callable[[list[tuple[str, Any]]], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=hook, parse_int=_integer, parse_float=_number, parse_constant=_constant)


_DECODER: Final = _decoder(_object)
_LENIENT_DECODER: Final = _decoder(dict)
_PAIRS_DECODER: Final = _decoder(_Pairs)


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            at = f"{path}.{name}" if path else name
            if name in seen:
                yield at
            seen.add(name)
            yield from _duplicates(inner, at)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _duplicates(inner, f"{path}[{index}]")


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _whole(value: Any) -> Any:
    """Replace halves of surrogate pairs, which are no characters, as Go does."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(inner) for inner in value]
        case dict():
            return {_whole(name): _whole(inner) for name, inner in value.items()}
        case _:
            return value


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
            f"json: cannot unmarshal {_go_type(document)} into Go value of type {_META}"
        )
        raise _Fault(msg)
    for name in ("apiVersion", "kind"):
        value = document.get(name)
        if value is not None and not isinstance(value, str):
            msg = (
                "couldn't get version/kind; json parse error: "
                f"json: cannot unmarshal {_go_type(value)} into Go struct field .{name} of type string"
            )
            raise _Fault(msg)
    if (document.get("apiVersion") or "").count("/") > 1:
        msg = f"unexpected GroupVersion string: {document['apiVersion']}"
        raise _Fault(msg)
    # The Go types of built-in kinds know what they are; a custom resource must say it.
    if kind is not None and not kind.builtin and not document.get("kind"):
        msg = f"Object 'Kind' is missing in '{raw.decode('utf-8', 'replace')}'"
        raise _Fault(msg)


def _go_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"
