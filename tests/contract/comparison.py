"""Where two transcripts differ, and the list of the differences that are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.contract.cases import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN: Final = Path(__file__).with_name("DIFFERENCES.md")
_ABSENT: Final = "absent"
_COLUMNS: Final = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """One place: the number of the exchange, from 1, and the fields down to the value."""

    where: str
    recorded: str
    seen: str

    def __str__(self) -> str:
        return f"{self.where}\n    recorded: {self.recorded}\n    answered: {self.seen}"


def differences(recorded: Any, seen: Any, where: str = "") -> Iterator[Difference]:
    """Compare two transcripts, or any parts of them."""
    if type(recorded) is not type(seen) or not isinstance(recorded, dict | list):
        if recorded != seen or type(recorded) is not type(seen):
            yield Difference(where, json.dumps(recorded), json.dumps(seen))
    elif isinstance(recorded, dict):
        for name in sorted({*recorded, *seen}):
            yield from _beside(recorded, seen, name, name, where)
    else:
        for index in range(max(len(recorded), len(seen))):
            yield from _beside(dict(enumerate(recorded)), dict(enumerate(seen)), index, str(index + 1), where)


def _beside(recorded: Any, seen: Any, at: Any, name: str, where: str) -> Iterator[Difference]:
    place = f"{where}/{name}" if where else name
    if at not in seen:
        yield Difference(place, json.dumps(recorded[at]), _ABSENT)
    elif at not in recorded:
        yield Difference(place, _ABSENT, json.dumps(seen[at]))
    else:
        yield from differences(recorded[at], seen[at], place)


@dataclass(frozen=True, slots=True)
class Known:
    """A row of DIFFERENCES.md: a case, and a pattern of the places in it that differ."""

    part: str
    case: str
    where: str

    def __str__(self) -> str:
        return f"{self.part}: {self.case}: {self.where}"

    def covers(self, difference: Difference) -> bool:
        """Whether the place is the one named or lies below it; ``*`` stands for anything."""
        return fnmatchcase(difference.where, self.where) or fnmatchcase(difference.where, f"{self.where}/*")


def known(text: str | None = None) -> list[Known]:
    """Read the rows of the tables in a text; by default of DIFFERENCES.md."""
    lines = (KNOWN.read_text(encoding="utf-8") if text is None else text).splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("| ").split(" | ")] for line in lines]
    return [Known(*row[:3]) for row in rows if len(row) == _COLUMNS and row[0] in PARTS]
