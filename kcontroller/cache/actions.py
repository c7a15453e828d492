"""What a reflector wants done: values that its shell carries out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.cache.events import Deleted, Upserted
    from kcontroller.cache.poison import Undecodable
    from kcontroller.cache.projection import Entry


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Open a watch on ``target`` for at most `seconds`."""

    target: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OpenList:
    """Get one page of a list."""

    target: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream that is open."""


@dataclass(frozen=True, slots=True)
class Timer:
    """Call `tick` after `seconds`; a later timer replaces this one."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Replace:
    """Swap the store's content.

    Attributes:
        entries: what there is.
        version: where the server stands.
        reset: the server went back in time, and the store follows.
        kept: these objects exist but cannot be decoded; the store keeps what it knows of them.
    """

    entries: tuple[Entry, ...]
    version: int
    reset: bool = False
    kept: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply one live event to the store."""

    event: Upserted | Deleted


@dataclass(frozen=True, slots=True)
class Forget:
    """Take an object out whose deletion could not be decoded further."""

    key: Key
    version: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object could not be decoded: say so, and go on without it."""

    object: Undecodable


@dataclass(frozen=True, slots=True)
class Advance:
    """The store has seen everything up to `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """An event or a list older than the store was dropped."""


@dataclass(frozen=True, slots=True)
class Troubled:
    """Something failed; the next try comes after `retry_after` seconds."""

    error: Exception
    retry_after: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """The watch is live again after trouble."""


Asking = OpenWatch | OpenList | Close | Timer
Storing = Replace | Apply | Forget | Advance
Telling = Skipped | Dropped | Troubled | Recovered
Action = Asking | Storing | Telling
