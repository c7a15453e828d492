"""Why Go's encoding/json refuses a text, in its words: messages of kube-apiserver repeat them.

Read when a body has already been refused, never for a good one. Rules and texts are those of Go's scanner.go.
"""

from __future__ import annotations

import re
from typing import Final

MAX_DEPTH: Final = 10_000
"""The deepest nesting that encoding/json reads."""

END: Final = "unexpected end of JSON input"

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# Members that are plain values, as many as come: what keeps the walk over a large body short.
_PLAIN: Final = rf"(?:{_STRING.pattern}\"|(?>{_NUMBER.pattern})|true|false|null)[ \t\r\n]*,"
_ITEMS: Final = re.compile(rf"(?:[ \t\r\n]*{_PLAIN})*+")
_MEMBERS: Final = re.compile(rf"(?:[ \t\r\n]*{_STRING.pattern}\"[ \t\r\n]*:[ \t\r\n]*{_PLAIN})*+")
_WORDS: Final = {"t": "true", "f": "false", "n": "null"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS: Final = frozenset("0123456789")
_VALUE, _FIRST_ITEM, _KEY, _FIRST_KEY, _AFTER = range(5)


class _Fault(Exception):
    """Ends the walk; carries the message."""


def fault_of(raw: bytes, *, max_depth: int = MAX_DEPTH) -> str:
    """Say what is wrong with a JSON text, or that it is nested too deep; empty if nothing is."""
    try:
        # Go looks at bytes, and so names them.
        _Walk(raw.decode("latin-1"), max_depth).run()
    except _Fault as fault:
        return str(fault)
    return ""


class _Walk:
    """One walk over a text; `_open` holds the brackets that are open."""

    def __init__(self, text: str, max_depth: int) -> None:
        self._text = text
        self._max_depth = max_depth
        self._at = 0
        self._open: list[str] = []

    def run(self) -> None:
        """Walk to the end, or to the first fault."""
        expected = _VALUE
        while expected != _AFTER or self._open:
            char = self._need()
            if expected == _AFTER:
                expected = self._after(char)
            elif (expected == _FIRST_ITEM and char == "]") or (expected == _FIRST_KEY and char == "}"):
                expected = self._close()
            elif expected in {_KEY, _FIRST_KEY}:
                expected = self._key(char)
            else:
                expected = self._value(char)
        if char := self._peek():
            raise _Fault(_unexpected(char, "after top-level value"))

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _need(self) -> str:
        if char := self._peek():
            return char
        raise _Fault(END)

    def _close(self) -> int:
        self._open.pop()
        self._at += 1
        return _AFTER

    def _after(self, char: str) -> int:
        is_list = self._open[-1] == "["
        if char == ("]" if is_list else "}"):
            return self._close()
        if char != ",":
            raise _Fault(_unexpected(char, "after array element" if is_list else "after object key:value pair"))
        self._at += 1
        if match := (_ITEMS if is_list else _MEMBERS).match(self._text, self._at):
            self._at = match.end()
        return _VALUE if is_list else _KEY

    def _key(self, char: str) -> int:
        if char != '"':
            raise _Fault(_unexpected(char, "looking for beginning of object key string"))
        self._string()
        if (char := self._need()) != ":":
            raise _Fault(_unexpected(char, "after object key"))
        self._at += 1
        return _VALUE

    def _value(self, char: str) -> int:
        if char in "{[":
            self._open.append(char)
            if len(self._open) > self._max_depth:
                raise _Fault(_unexpected(char, "exceeded max depth"))
            self._at += 1
            return _FIRST_KEY if char == "{" else _FIRST_ITEM
        if char == '"':
            self._string()
        elif char == "-" or char in _DIGITS:
            self._number()
        elif char in _WORDS:
            self._word(_WORDS[char])
        else:
            raise _Fault(_unexpected(char, "looking for beginning of value"))
        return _AFTER

    def _string(self) -> None:
        match = _STRING.match(self._text, self._at)
        end = match.end() if match is not None else self._at + 1
        char = self._text[end : end + 1]
        if char == "\\":
            self._escape(end + 1)
        elif not char:
            raise _Fault(END)
        elif char != '"':
            raise _Fault(_unexpected(char, "in string literal"))
        self._at = end + 1

    def _escape(self, at: int) -> None:
        char = self._text[at : at + 1]
        if char != "u":
            raise _Fault(_unexpected(char, "in string escape code") if char else END)
        for char in self._text[at + 1 : at + 5]:
            if char not in _HEX:
                raise _Fault(_unexpected(char, "in \\u hexadecimal character escape"))
        raise _Fault(END)

    def _number(self) -> None:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            char = self._text[self._at + 1 : self._at + 2]
            raise _Fault(_unexpected(char, "in numeric literal") if char else END)
        self._at = match.end()
        rest = self._text[self._at : self._at + 3]
        if rest[:1] == ".":
            self._unfinished(rest[1:2], "after decimal point in numeric literal")
        if rest[:1] in {"e", "E"}:
            sign = rest[1:2] in {"+", "-"}
            self._unfinished(rest[2:3] if sign else rest[1:2], "in exponent of numeric literal")

    @staticmethod
    def _unfinished(char: str, where: str) -> None:
        raise _Fault(_unexpected(char, where) if char else END)

    def _word(self, word: str) -> None:
        for offset, wanted in enumerate(word):
            char = self._text[self._at + offset : self._at + offset + 1]
            if not char:
                raise _Fault(END)
            if char != wanted:
                raise _Fault(_unexpected(char, f"in literal {word} (expecting {_quoted(wanted)})"))
        self._at += len(word)


def _unexpected(char: str, where: str) -> str:
    return f"invalid character {_quoted(char)} {where}"


def _quoted(char: str) -> str:
    """Quote a byte as Go's quoteChar does."""
    if char == "'":
        return r"'\''"
    if char == '"':
        return "'\"'"
    if char == "\\":
        return r"'\\'"
    named = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
    if char in named:
        return f"'{named[char]}'"
    code = ord(char)
    if char.isprintable():
        return f"'{char}'"
    return f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'"  # noqa: PLR2004 - the end of ASCII
