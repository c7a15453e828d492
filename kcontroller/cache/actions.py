"""What a reflector wants done: values that its shell carries out in the order given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.cache.events import Deleted, Upserted
    from kcontroller.cache.poison import Undecodable
    from kcontroller.cache.projection import Entry


class OpenWatch(msgspec.Struct, frozen=True):
    """Open a watch on ``target`` for at most `seconds`."""

    target: str
    seconds: float


class OpenList(msgspec.Struct, frozen=True):
    """Get one page of a list."""

    target: str
    seconds: float


class Close(msgspec.Struct, frozen=True):
    """Close the stream that is open."""


class Timer(msgspec.Struct, frozen=True):
    """Call `tick` after `seconds`; a later timer replaces this one."""

    seconds: float


class Replace(msgspec.Struct, frozen=True):
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


class Outdate(msgspec.Struct, frozen=True):
    """What the store shows is of another server: no version proves anything until the next `Replace`."""


class Apply(msgspec.Struct, frozen=True):
    """Apply one live event to the store."""

    event: Upserted | Deleted


class Forget(msgspec.Struct, frozen=True):
    """Take an object out whose deletion could not be decoded further."""

    key: Key
    version: int


class Skipped(msgspec.Struct, frozen=True):
    """An object could not be decoded: say so, and go on without it."""

    object: Undecodable


class Advance(msgspec.Struct, frozen=True):
    """The store has seen everything up to `version`."""

    version: int


class Dropped(msgspec.Struct, frozen=True):
    """An event or a list older than the store was dropped."""


class Troubled(msgspec.Struct, frozen=True):
    """Something failed; the next try comes after `retry_after` seconds."""

    error: Exception
    retry_after: float


class Recovered(msgspec.Struct, frozen=True):
    """The watch is live again after trouble."""


Asking = OpenWatch | OpenList | Close | Timer
Storing = Replace | Outdate | Apply | Forget | Advance
Telling = Skipped | Dropped | Troubled | Recovered
Action = Asking | Storing | Telling
