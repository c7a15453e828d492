"""Durations as Go writes them: ``300ms``, ``1.5s``, ``2m``, ``1h30m``, ``0``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, the micro sign
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(" + "|".join(sorted(_SECONDS, key=len, reverse=True)) + ")")
_LONGEST: Final = 2.0**63 * 1e-9  # Go counts nanoseconds in 64 bits: about 292 years.


def parse(text: str) -> float:
    """Read a duration as seconds, by the rules of Go's ``time.ParseDuration``.

    Raises:
        ValueError: the text is none; the message shows some that are.
    """
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0.0
    parts = list(_PART.finditer(rest))
    if not parts or "".join(part.group() for part in parts) != rest:
        msg = f"'{text}' is not a duration; write 300ms, 10s, 2m or 1h30m"
        raise ValueError(msg)
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    if seconds > _LONGEST:
        msg = f"'{text}' is too long; the longest duration is 2562047h"
        raise ValueError(msg)
    return sign * seconds
