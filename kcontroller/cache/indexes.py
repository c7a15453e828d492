"""Which entries have a value at a declared path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from kcontroller.cache.entry import Entry


class Index:
    """Values of one path to the entries that have them; not guarded: its owner is."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        # Many values belong to one entry alone, and a set of one is four times as large as all the rest of it.
        self._found: dict[str, Entry | set[Entry]] = {}

    def find(self, value: str) -> Collection[Entry]:
        """The entries with a value."""
        found = self._found.get(value)
        if found is None:
            return ()
        return found if isinstance(found, set) else (found,)

    def add(self, entry: Entry, field: Any) -> None:
        """Take an entry in under all values of its field."""
        for value in index_values(field):
            found = self._found.setdefault(value, entry)
            if isinstance(found, set):
                found.add(entry)
            elif found is not entry:
                self._found[value] = {found, entry}

    def remove(self, entry: Entry, field: Any) -> None:
        """Take it out again."""
        for value in index_values(field):
            found = self._found[value]
            if not isinstance(found, set):
                del self._found[value]
                continue
            found.remove(entry)
            if len(found) == 1:
                (self._found[value],) = found

    def drain(self) -> None:
        """Free it value by value."""
        while self._found:
            self._found.popitem()

    def content(self) -> dict[str, set[Entry]]:
        """All of it, for checks."""
        return {value: set(self.find(value)) for value in self._found}


def index_values(value: Any) -> tuple[str, ...]:
    """The values under which an index finds a field: itself, or each item of a list.

    Null, objects, and lists in lists have none.
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple({_index_text(item): None for item in value if _is_plain(item)})
    return (_index_text(value),) if _is_plain(value) else ()


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, (dict, list))


def _index_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
