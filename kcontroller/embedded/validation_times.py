"""What Go's ``time.Parse`` says of a text that is not the time it should be (RFC 3339)."""

from __future__ import annotations

import calendar
import re
from typing import Final

from kcontroller.embedded.validation_fields import quoted

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
_MICROSECONDS: Final = 7


def wrong(text: str, *, fraction: bool = False) -> str:
    """Give Go's complaint; empty if the text is a time.

    Args:
        text: what should be a time.
        fraction: whether six digits after the second are asked for (MicroTime).
    """
    layout = _MICRO_LAYOUT if fraction else _LAYOUT
    start = f"parsing time {quoted(text)}"
    rest, numbers = text, []
    for element, width, least, most, name in _ELEMENTS:
        if width == 0:
            if not rest.startswith(element):
                return _unread(start, layout, rest, element)
            rest = rest[1:]
            continue
        digits = rest[:width]
        if len(digits) < width or not (digits.isascii() and digits.isdigit()):
            return _unread(start, layout, rest, element)
        if not least <= int(digits) <= most:
            return f"{start}: {name} out of range"
        numbers.append(int(digits))
        rest = rest[width:]
    if fraction:
        if not re.match(r"[.,][0-9]{6}", rest):
            return _unread(start, layout, rest, ".000000")
        rest = rest[_MICROSECONDS:]
    elif rest[:1] in {".", ","} and (found := _DIGITS.match(rest, 1)):
        rest = rest[found.end() :]
    zone = _ZONE.match(rest)
    if zone is None:
        return _unread(start, layout, rest, "Z07:00")
    if rest[zone.end() :]:
        return f"{start}: extra text: {quoted(rest[zone.end() :])}"
    year, month, day = numbers[:3]
    if day > calendar.monthrange(year or 4, month)[1]:
        return f"{start}: day out of range"
    return ""


def _unread(start: str, layout: str, rest: str, element: str) -> str:
    return f"{start} as {quoted(layout)}: cannot parse {quoted(rest)} as {quoted(element)}"
