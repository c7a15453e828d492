"""Times as tables show them: how long ago, in the words of apimachinery's ``duration.HumanDuration``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY
# Up to each limit, in seconds: the unit that is shown, its sign, and the smaller unit that is shown beside it.
_STEPS: Final = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def parse(text: str) -> float | None:
    """Read an RFC 3339 time as seconds since the epoch; None for anything else."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except ValueError:
        return None


def human(seconds: float) -> str:
    """Write a duration in at most two units, ``5m3s`` or ``2y40d``."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for limit, unit, sign, part, part_sign in _STEPS:
        if whole < limit:
            rest = whole % unit // part if part else 0
            return f"{whole // unit}{sign}{rest}{part_sign}" if rest else f"{whole // unit}{sign}"
    return f"{whole // _YEAR}y"


def since(text: str | None, now: float) -> str:
    """Write how long ago a time was; ``<unknown>`` if there is none, ``<invalid>`` if it is no time."""
    if not text:
        return "<unknown>"
    at = parse(text)
    return "<invalid>" if at is None else human(now - at)
