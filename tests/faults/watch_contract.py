"""The contract of watches, checked on what a server sent: ordered, unique, reliable, resumable, bookmarkable.

A watch tells the changes after the version it was opened at, each once, in the order of their versions and without a
gap, and a bookmark only of what was told. So one that is opened at the last version of another goes on where that
ended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Told(NamedTuple):
    """One event of a watch."""

    type: str
    name: str
    uid: str
    version: int


def events(body: bytes) -> list[Told]:
    """Read the whole lines of a watch; what was cut off is none."""
    return [_told(json.loads(line)) for line in body.split(b"\n")[:-1] if line]


def has_reached(body: bytes, version: int) -> bool:
    """Whether the last whole line is of this version or a later one."""
    whole = body.rpartition(b"\n")[0]
    return bool(whole) and _told(json.loads(whole.rpartition(b"\n")[2])).version >= version


def violations(start: int, told: Sequence[Told], history: Sequence[Told] = ()) -> list[str]:
    """Hold the events of one watch against the contract.

    Args:
        start: the version it was opened at; 0 if it began with the objects there were, up to an end mark.
        told: its events.
        history: every change there was, in order; without it gaps are not looked for.
    """
    found = []
    live = _live(told) if not start else list(told)
    last = start or (live[0].version if live else 0)
    first = last
    for each in live[0 if start else 1 :]:
        if each.type == "BOOKMARK":
            if each.version < last:
                found.append(f"a bookmark of {each.version} after {last}")
            last = max(last, each.version)
        elif each.type != "ERROR":
            if each.version <= last:
                found.append(f"{each} after {last}")
            last = max(last, each.version)
    if history and live:
        due = [each for each in history if first < each.version <= last]
        got = [each for each in live if each.type not in {"BOOKMARK", "ERROR"}]
        if got != due:
            missed = [each for each in due if each not in got]
            found.append(f"from {first} to {last} {len(missed)} of {len(due)} changes were not told: {missed[:3]}")
    return found


def _live(told: Iterable[Told]) -> list[Told]:
    """What comes from the first bookmark on, which is the end mark."""
    left = list(told)
    while left and left[0].type != "BOOKMARK":
        left.pop(0)
    return left


def _told(line: dict[str, Any]) -> Told:
    metadata = line["object"].get("metadata", {})
    version = metadata.get("resourceVersion") or 0
    return Told(line["type"], metadata.get("name", ""), metadata.get("uid", ""), int(version))
