"""What Go's ``time.Parse`` says of a text that is not the time it should be (RFC 3339)."""

from __future__ import annotations

import calendar
import re
from typing import Final

from kcontroller.embedded.validation.fields import quoted

_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_ZONE: Final = re.compile(r"Z|[+-][0-9]{2}:[0-9]{2}")
_DIGITS: Final = re.compile("[0-9]+")
# An element of the layout with the width, the least and the greatest value, and its name where it is out of range.
_ELEMENTS: Final = (
    ("2006", 4, 0, 9999, ""),
    ("-", 0, 0, 0, ""),
    ("01", 2, 1, 12, "month"),
    ("-", 0, 0, 0, ""),
    ("02", 2, 1, 31, "day"),
    ("T", 0, 0, 0, ""),
    ("15", 2, 0, 23, "hour"),
    (":", 0, 0, 0, ""),
    ("04", 2, 0, 59, "minute"),
    (":", 0, 0, 0, ""),
    ("05", 2, 0, 59, "second"),
)
_MICROSECONDS: Final = re.compile(r"[.,][0-9]{6}")
_FRACTION: Final = re.compile(r"(?:[.,][0-9]+)?")


def wrong(text: str, *, fraction: bool = False) -> str:
    """Give Go's complaint; empty if the text is a time.

    Args:
        text: what should be a time.
        fraction: whether six digits after the second are asked for (MicroTime).
    """
    layout = _MICRO_LAYOUT if fraction else _LAYOUT
    start = f"parsing time {quoted(text)}"
    numbers: list[int] = []
    rest = text
    for element, width, least, most, name in _ELEMENTS:
        read = rest[: width or 1]
        if (read != element) if not width else not _DIGITS.fullmatch(read) or len(read) < width:
            return _unread(start, layout, rest, element)
        if width and not least <= int(read) <= most:
            return f"{start}: {name} out of range"
        numbers += [int(read)] if width else []
        rest = rest[width or 1 :]
    end = (_MICROSECONDS if fraction else _FRACTION).match(rest)
    if end is None:
        return _unread(start, layout, rest, ".000000")
    zone = _ZONE.match(rest, end.end())
    if zone is None:
        return _unread(start, layout, rest[end.end() :], "Z07:00")
    return _beyond(start, rest[zone.end() :], *numbers[:3])


def _beyond(start: str, rest: str, year: int, month: int, day: int) -> str:
    if rest:
        return f"{start}: extra text: {quoted(rest)}"
    # Python has no year 0; it is a leap year, as 4 is.
    return f"{start}: day out of range" if day > calendar.monthrange(year or 4, month)[1] else ""


def _unread(start: str, layout: str, rest: str, element: str) -> str:
    return f"{start} as {quoted(layout)}: cannot parse {quoted(rest)} as {quoted(element)}"
