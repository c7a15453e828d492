"""What Go's ``regexp`` says of a pattern that it cannot compile."""

from __future__ import annotations

import re
from typing import Final

import jsonschema_rs

_LOOK_AROUND: Final = re.compile(r"\(\?(?:[=!]|<[=!]?)")
_REPEATED: Final = re.compile(r"(?<!\\)(?:[*+?]|\{[0-9]+,?[0-9]*\})(?:[*+]|\?[*+?])")
_COUNT: Final = re.compile(r"(?<!\\)\{([0-9]+),([0-9]+)\}")
_LARGE: Final = re.compile(r"(?<!\\)\{([0-9]+),?([0-9]*)\}")
_REFERENCE: Final = re.compile(r"\\[1-9]")
_CLASS: Final = re.compile(r"\\.|\[(?:\^?\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)
_MOST_REPEATS: Final = 1000


def wrong(pattern: str) -> str:
    """Give Go's complaint; empty for a pattern that compiles."""
    told = _told(pattern)
    if told:
        return f"error parsing regexp: {told}"
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError:
        return f"error parsing regexp: invalid character class range: `{pattern}`"
    return ""


def _told(pattern: str) -> str:  # noqa: PLR0911 - one return for each kind of mistake
    if len(pattern) - len(pattern.rstrip("\\")) & 1:
        return "trailing backslash at end of expression: ``"
    # Brackets and escapes hide what looks like an operator.
    bare = _CLASS.sub(lambda found: "." * len(found[0]), pattern)
    if "[" in bare:
        return f"missing closing ]: `{pattern[bare.index('[') :]}`"
    if found := _LOOK_AROUND.search(bare):
        return f"invalid or unsupported Perl syntax: `{found[0]}`"
    if found := _REFERENCE.search(pattern):
        return f"invalid escape sequence: `{found[0]}`"
    if found := re.match(r"[*+?]|.*[(|]([*+?])(?<!\(\?)", bare):
        return f"missing argument to repetition operator: `{found[1] or found[0]}`"
    if found := _REPEATED.search(bare):
        return f"invalid nested repetition operator: `{found[0]}`"
    for found in _LARGE.finditer(bare):
        least, most = int(found[1]), int(found[2] or found[1])
        if least > most or most > _MOST_REPEATS:
            return f"invalid repeat count: `{found[0]}`"
    return _unbalanced(pattern, bare)


def _unbalanced(pattern: str, bare: str) -> str:
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return f"unexpected ): `{pattern}`"
    return f"missing closing ): `{pattern}`" if depth else ""
