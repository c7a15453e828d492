"""YAML bodies as kube-apiserver reads them (sigs.k8s.io/yaml on go-yaml v2): YAML 1.1, turned into JSON values.

Built from parser events, without recursion: nesting and aliases are bounded before anything is made of them. A tag that
names a class means nothing here.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 10_000
"""The deepest nesting that go-yaml reads: its message names it."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INFINITE: Final = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), "NaN"),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), "+Inf"),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), "-Inf"),
}
_INTEGER: Final = re.compile(r"([-+]?)(?:0b([01]+)|0x([0-9a-fA-F]+)|0o?([0-7]+)|([0-9]+))")
_BASES: Final = (2, 16, 8, 10)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMERIC: Final = frozenset("+-.0123456789")
_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = object()
_INT64: Final = 2**63

# go-yaml's decode.go: how much of a document of so many values may come from aliases.
_ALIASES_FREE, _VALUES_FREE = 100, 1_000
_LOW, _HIGH = 400_000, 4_000_000
_LOW_SHARE, _HIGH_SHARE = 0.99, 0.10


class YamlFault(Exception):
    """The text is refused; the message is go-yaml's."""


class _Open:
    """A mapping or list that is being read, and how many values it holds with its aliases written out."""

    __slots__ = ("aliased", "anchor", "has_key", "key", "key_line", "size", "value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: Any = None
        self.key_line = 0
        self.has_key = False
        self.size = 1
        self.aliased = 0


def decode(raw: bytes, *, depth: int) -> tuple[Any, list[str]]:
    """Read the first document of a text; returns its value and a line for each key that stands twice in a mapping.

    Values that aliases share are the same object in the result.

    Raises:
        YamlFault: it cannot be read, is nested deeper than `depth`, or grows too large by aliases.
    """
    reader = _Reader(depth)
    try:
        loader = _LOADER(raw)
        try:
            while not isinstance(event := loader.get_event(), (yaml.DocumentEndEvent, yaml.StreamEndEvent)):
                reader.take(event)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        msg = f"yaml: {_worded(error)}"
        raise YamlFault(msg) from None
    return reader.root, reader.duplicates


class _Reader:
    def __init__(self, depth: int) -> None:
        self.root: Any = None
        self.duplicates: list[str] = []
        self._depth = depth
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}

    def take(self, event: Any) -> None:
        """Go one event further."""
        match event:
            case yaml.ScalarEvent():
                value = _scalar(event)
                if event.anchor:
                    self._anchors[event.anchor] = (value, 1)
                self._add(value, event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                if len(self._open) >= self._depth:
                    msg = f"yaml: exceeded max depth of {MAX_DEPTH}"
                    raise YamlFault(msg)
                self._open.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                done = self._open.pop()
                if done.anchor:
                    self._anchors[done.anchor] = (done.value, done.size)
                self._add(done.value, event, size=done.size, aliased=done.aliased)

    def _alias(self, event: Any) -> None:
        if any(each.anchor == event.anchor for each in self._open):
            msg = f"yaml: anchor '{event.anchor}' value contains itself"
            raise YamlFault(msg)
        if event.anchor not in self._anchors:
            msg = f"yaml: unknown anchor '{event.anchor}' referenced"
            raise YamlFault(msg)
        value, size = self._anchors[event.anchor]
        self._add(value, event, size=size, aliased=size)

    def _add(self, value: Any, event: Any, *, size: int = 1, aliased: int = 0) -> None:
        into = self._open[-1] if self._open else None
        if value is _MERGE and (into is None or isinstance(into.value, list) or into.has_key):
            value = "<<"  # It merges as a key alone.
        if into is None:
            self.root = value
            return
        into.size += size
        into.aliased += aliased
        if aliased and _is_bomb(into.size, into.aliased):
            msg = "yaml: document contains excessive aliasing"
            raise YamlFault(msg)
        if isinstance(into.value, list):
            into.value.append(value)
        elif not into.has_key:
            into.key, into.key_line, into.has_key = value, event.start_mark.line + 1, True
        else:
            into.has_key = False
            self._member(into, into.value, value)

    def _member(self, into: _Open, members: dict[str, Any], value: Any) -> None:
        if into.key is _MERGE:
            # Written out where it stands: what comes later wins.
            for merged in reversed(value) if isinstance(value, list) else (value,):
                if not isinstance(merged, dict):
                    msg = "yaml: map merge requires map or sequence of maps as the value"
                    raise YamlFault(msg)
                members.update(merged)
            return
        name = _key_name(into.key, value)
        if name in members:
            self.duplicates.append(f'line {into.key_line}: key "{name}" already set in map')
        members[name] = value


def _is_bomb(size: int, aliased: int) -> bool:
    if aliased <= _ALIASES_FREE or size <= _VALUES_FREE:
        return False
    over = min(max(size - _LOW, 0) / (_HIGH - _LOW), 1.0)
    return aliased / size > _LOW_SHARE - over * (_LOW_SHARE - _HIGH_SHARE)


def _scalar(event: Any) -> Any:
    text, tag = event.value, event.tag
    if tag is None:
        return _plain(text) if event.implicit[0] else text
    if tag == f"{_TAG}binary":
        try:
            return base64.b64decode(text).decode("utf-8", "replace")
        except binascii.Error:
            msg = "yaml: !!binary value contains invalid base64 data"
            raise YamlFault(msg) from None
    if tag in {f"{_TAG}int", f"{_TAG}float", f"{_TAG}bool", f"{_TAG}null"}:
        return _plain(text)
    return text


def _plain(text: str) -> Any:
    """Give a plain scalar its type; dates stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if text == "<<":
        return _MERGE
    if text[0] not in _NUMERIC:
        return text
    if text in _INFINITE:
        msg = f"json: unsupported value: {_INFINITE[text]}"
        raise YamlFault(msg)
    plain = text.replace("_", "")
    if match := _INTEGER.fullmatch(plain):
        sign, *parts = match.groups()
        digits, base = next((part, base) for part, base in zip(parts, _BASES, strict=True) if part is not None)
        # No integer of 64 bits has more digits than this in base 2, and int() is slow with long texts.
        if len(digits) <= 64 and abs(value := int(sign + digits, base)) < 2 * _INT64:  # noqa: PLR2004
            return value
    if _FLOAT.fullmatch(plain) and math.isfinite(number := float(plain)):
        return number
    return text


def _key_name(key: Any, value: Any) -> str:
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int() | float():
            return str(key)
        case None:
            shown = f'"{value}"' if isinstance(value, str) else "..."
            msg = f"unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}"
            raise YamlFault(msg)
        case _:
            msg = "yaml: invalid map key"
            raise YamlFault(msg)


def _worded(error: yaml.YAMLError) -> str:
    """Word a fault as go-yaml does; both are ports of libyaml."""
    problem = (
        getattr(error, "problem", None) or getattr(error, "reason", None) or "unknown problem parsing YAML content"
    )
    for mark in (getattr(error, "context_mark", None), getattr(error, "problem_mark", None)):
        if mark is not None and mark.line:
            line = mark.line + isinstance(error, yaml.scanner.ScannerError)
            return f"line {line}: {problem}"
    return str(problem)
