"""What an informer asks the server next: list-and-watch as a step machine without I/O.

The shell (`informer.py`) tells it what happened and does what it answers. Rules and figures follow client-go's
reflector (tools/cache/reflector.go; KEP-3157 for streaming lists), with these differences on purpose:

* the first list is consistent instead of "any version", so that a cache never starts in the past;
* a watch that was cut is taken up from the last version without a list, at once if it had been healthy; so is one that
  the server refused for the moment (401, 429, 5xx);
* versions have a lineage: older answers are dropped, and only a consistent read may declare that the server went back;
* an expired version is listed anew at once, unless that follows closely and without a pause on another list;
* backoff is reset by health (a stream that lived for half a minute), not by the mere passing of time;
* an object that cannot be decoded is skipped, and its version counts.
"""

from __future__ import annotations

import enum
import random
from typing import TYPE_CHECKING, Final

from kcontroller.api.paths import with_query
from kcontroller.cache.actions import (
    Advance,
    Apply,
    Close,
    Dropped,
    Forget,
    OpenList,
    OpenWatch,
    Recovered,
    Replace,
    Skipped,
    Timer,
    Troubled,
)
from kcontroller.cache.events import Bookmark, Deleted, Failure, Upserted
from kcontroller.cache.poison import Undecodable
from kcontroller.errors import (
    ApiError,
    Expired,
    Garbled,
    NotFound,
    ServerError,
    TooManyRequests,
    TransportError,
    Treatment,
)
from kcontroller.process.backoff import REFLECTOR

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.cache.actions import Action
    from kcontroller.cache.events import Page, WatchEvent
    from kcontroller.cache.projection import Entry
    from kcontroller.process.backoff import Backoff

PAGE_SIZE: Final = 500
WATCH_SECONDS: Final = (300.0, 600.0)
"""A watch asks for a random time between these, so that a fleet does not come back all at once (client-go)."""
HEALTHY_SECONDS: Final = 30.0
"""A stream that was accepted so long ago was worth opening; what ends it is no reason to wait."""
SHORT_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 10.0
"""A server that does not know streaming lists may open the watch and say nothing; after this we list instead."""
_ROUNDING: Final = 1e-3  # A timer may go off early by what floats lose; a shorter one would go off in the past.
LIST_SECONDS: Final = 60.0
ABSENT_SECONDS: Final = 5.0
"""A kind that is not served may be installed at any moment, and asking for it costs the server nothing."""
LONGEST_WAIT: Final = 300.0
"""A Retry-After beyond this is not believed."""
PATIENCE: Final = 3
"""How often a watch is taken up at one version although the server answers with errors."""


class State(enum.Enum):
    """Where the machine stands."""

    IDLE = "idle"
    STREAMING = "streaming the initial list"
    LISTING = "listing"
    WATCHING = "watching"
    WAITING = "waiting"


class Reflector:
    """The machine. Every method takes the monotonic time and returns what to do, in order.

    Args:
        path: the collection's path.
        selectors: query parameters that every list and watch carries.
        backoff: delays between failures.
        rng: spreads delays and watch times; tests give a seeded one.
        streaming: ask for streaming lists; False lists by pages.
    """

    def __init__(
        self,
        path: str,
        *,
        selectors: tuple[tuple[str, str], ...] = (),
        backoff: Backoff = REFLECTOR,
        rng: random.Random | None = None,
        streaming: bool = True,
    ) -> None:
        self._path = path
        self._selectors = selectors
        self._backoff = backoff
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._streaming = streaming
        self.state = State.IDLE
        self.version = 0
        self._consistent = True  # The next list must be a quorum read: first list, or the last version is of no use.
        self._stream_now = streaming  # False for the rest of a cycle in which the streaming list failed.
        self._failures = 0
        self._absences = 0
        self._troubled = False
        self._accepted_at: float | None = None  # When the server accepted the stream that is open.
        self._last_sign = 0.0
        self._listed_at = -HEALTHY_SECONDS
        self._paused = False  # Whether there was a wait since the last list.
        self._events = 0
        self._scratch: dict[Key, Entry] = {}
        self._kept: set[Key] = set()
        self._token = ""
        self._list_version = 0  # Of the first page: the later ones cannot be older.
        self._paged = True
        self._resume_watch = False

    # ---- what happened -------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """Begin."""
        return self._list(now)

    def tick(self, now: float) -> list[Action]:
        """The timer went off: a wait is over, or it is time to look at a silent stream."""
        if self.state is State.WAITING:
            return self._watch(now) if self._resume_watch else self._list(now)
        if self.state is State.STREAMING:
            remaining = self._last_sign + SILENT_SECONDS - now
            if remaining > _ROUNDING:
                return [Timer(remaining)]
            if self._accepted_at is not None:
                self._streaming = False
            return [Close(), *self._fall_back(now)]
        return []

    def opened(self, now: float) -> list[Action]:
        """The server accepted the request."""
        self._accepted_at = self._last_sign = now
        return self._live() if self.state is State.WATCHING else []

    def event(self, event: WatchEvent, now: float) -> list[Action]:
        """A line of the watch arrived."""
        if self.state not in {State.STREAMING, State.WATCHING}:
            return []
        if isinstance(event, Failure):
            return [Close(), *self._error_event(event.error, now)]
        self._events += 1
        if self.state is State.STREAMING:
            return self._initial_event(event, now)
        return self._live_event(event, now)

    def page(self, page: Page, now: float) -> list[Action]:
        """A page of the list arrived."""
        if self.state is not State.LISTING:
            return []
        actions: list[Action] = []
        for item in page.items:
            actions += self._collect(item)
        if not self._token:
            self._list_version = page.version
        if page.token:
            self._token = page.token
            return actions + self._next_page()
        return actions + self._listed(self._list_version, now)

    def ended(self, now: float) -> list[Action]:
        """The stream ended cleanly."""
        if self.state is State.WATCHING:
            return self._watch_ended(now)
        if self.state is State.STREAMING:
            return self._wait(TransportError("the streaming list ended before its end mark"), now)
        return self.failed(TransportError("the list was cut short"), now)

    def failed(self, error: Exception, now: float) -> list[Action]:
        """The request or stream failed: an `ApiError` or a `TransportError`."""
        if self.state in {State.IDLE, State.WAITING}:
            return []
        if _version_unusable(error):
            return self._version_lost(error, now)
        if self.state is State.WATCHING:
            return self._watch_failed(error, now)
        if self.state is State.STREAMING and isinstance(error, ApiError) and not _worth_waiting(error):
            return self._fall_back(now)
        return self._wait(error, now)

    # ---- listing -------------------------------------------------------------------------------------------------

    def _list(self, now: float) -> list[Action]:
        self._start_over()
        self._resume_watch = False
        return self._stream_list(now) if self._stream_now else self._page_list(now)

    def _stream_list(self, now: float) -> list[Action]:
        self._open(State.STREAMING, now)
        seconds = self._watch_seconds()
        query = (
            *self._watch_query(seconds),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
            ("resourceVersion", "" if self._consistent else str(self.version)),
        )
        return [OpenWatch(with_query(self._path, query), seconds), Timer(SILENT_SECONDS)]

    def _page_list(self, now: float) -> list[Action]:
        self._open(State.LISTING, now)
        self._token = ""
        self._paged = self._consistent  # A list at a version is answered whole, from the server's watch cache.
        return self._next_page()

    def _next_page(self) -> list[Action]:
        version = "" if self._consistent or self._token else str(self.version)
        query = (
            *self._selectors,
            ("limit", str(PAGE_SIZE) if self._paged else ""),
            ("continue", self._token),
            ("resourceVersion", version),
            ("resourceVersionMatch", "NotOlderThan" if version else ""),
        )
        return [OpenList(with_query(self._path, query), LIST_SECONDS)]

    def _fall_back(self, now: float) -> list[Action]:
        self._stream_now = False
        return self._list(now)

    def _initial_event(self, event: Upserted | Deleted | Undecodable | Bookmark, now: float) -> list[Action]:
        if isinstance(event, Bookmark):
            # A bookmark without the mark is no sign of the list: a server that ignores what we asked sends them too.
            return self._listed(event.version, now) if event.initial_events_end else []
        self._last_sign = now
        match event:
            case Upserted(entry):
                return self._collect(entry)
            case Deleted(entry):
                self._drop(entry.key)
                return []
            case Undecodable():
                return self._collect(event)

    def _collect(self, item: Entry | Undecodable) -> list[Action]:
        if not isinstance(item, Undecodable):
            self._scratch[item.key] = item
            self._kept.discard(item.key)
            return []
        if item.key is not None:
            self._drop(item.key)
            if not item.deleted:
                self._kept.add(item.key)
        return [Skipped(item)]

    def _drop(self, key: Key) -> None:
        self._scratch.pop(key, None)
        self._kept.discard(key)

    def _start_over(self) -> None:
        self._scratch, self._kept = {}, set()

    def _listed(self, version: int, now: float) -> list[Action]:
        entries, kept = tuple(self._scratch.values()), tuple(sorted(self._kept))
        self._start_over()
        older = version < self.version
        if older and not self._consistent:
            self._consistent = True
            return [Dropped(), *self._close_if_streaming(), *self._list(now)]
        streamed = self.state is State.STREAMING
        self.version, self._consistent = version, False
        self._listed_at, self._paused = now, False
        self._stream_now = self._streaming
        actions: list[Action] = [Replace(entries, version, reset=older, kept=kept)]
        if streamed:
            self.state = State.WATCHING
            return actions + self._live()
        return actions + self._watch(now)

    def _close_if_streaming(self) -> list[Action]:
        return [Close()] if self.state is State.STREAMING else []

    # ---- watching ------------------------------------------------------------------------------------------------

    def _watch(self, now: float) -> list[Action]:
        self._open(State.WATCHING, now)
        self._resume_watch = False
        seconds = self._watch_seconds()
        query = (*self._watch_query(seconds), ("resourceVersion", str(self.version)))
        return [OpenWatch(with_query(self._path, query), seconds)]

    def _live_event(self, event: Upserted | Deleted | Undecodable | Bookmark, now: float) -> list[Action]:
        actions = self._live()
        if self._healthy(now):
            self._failures = 0
        match event:
            case Undecodable():
                return actions + self._live_poison(event)
            case Bookmark(version):
                stale = version < self.version
            case Upserted(entry) | Deleted(entry):
                version = entry.version
                stale = version <= self.version
        if stale:
            return [*actions, Dropped()]
        self.version = version
        return [*actions, Advance(version) if isinstance(event, Bookmark) else Apply(event)]

    def _live_poison(self, item: Undecodable) -> list[Action]:
        if item.version and item.version <= self.version:
            return [Dropped()]
        self.version = max(self.version, item.version)
        if item.deleted and item.key is not None:
            return [Skipped(item), Forget(item.key, self.version)]
        return [Skipped(item), Advance(self.version)]

    def _live(self) -> list[Action]:
        if not self._troubled:
            return []
        self._troubled = False
        return [Recovered()]

    def _watch_ended(self, now: float) -> list[Action]:
        if self._lived(now) < SHORT_SECONDS:
            # Without an event the version may be to blame: list. With one it is good, only the road is bad.
            return self._wait(TransportError("the watch ended at once"), now, resume_watch=self._events > 0)
        if self._healthy(now):
            self._failures = 0
        return self._watch(now)

    def _watch_failed(self, error: Exception, now: float) -> list[Action]:
        if isinstance(error, TransportError) and self._healthy(now):
            self._failures = 0
            return self._watch(now)
        return self._wait(error, now, resume_watch=self._resumable(error))

    def _resumable(self, error: Exception) -> bool:
        """Whether to take the watch up again where it was, rather than list."""
        if isinstance(error, (TransportError, TooManyRequests)) and not isinstance(error, Garbled):
            return True
        # Anything else that keeps failing at one version may be the version's own fault: list past it.
        passing = not isinstance(error, ApiError) or error.treatment is not Treatment.TERMINAL
        return passing and self._failures < PATIENCE

    def _error_event(self, error: ApiError, now: float) -> list[Action]:
        if self.state is State.WATCHING and not _version_unusable(error) and not isinstance(error, TooManyRequests):
            return self._wait(error, now)
        return self.failed(error, now)

    def _version_lost(self, error: Exception, now: float) -> list[Action]:
        """410, or a version ahead of the server: list at the last version first, then consistently (client-go)."""
        if self.state is State.WATCHING:
            self._consistent = _too_large(error)
            # A server whose versions expire as fast as we list them must not be asked all the time.
            hasty = now - self._listed_at < HEALTHY_SECONDS and not self._paused
            return self._wait(error, now) if hasty else self._list(now)
        if self.state is State.LISTING and self._token:
            # The list expired between two pages: ask for all of it at once.
            self._token, self._paged = "", False
            self._start_over()
            return self._next_page()
        if self._consistent:
            return self._wait(error, now)
        self._consistent = True
        return self._list(now)

    # ---- common --------------------------------------------------------------------------------------------------

    def _wait(self, error: Exception, now: float, *, resume_watch: bool = False) -> list[Action]:
        if self.state is State.WATCHING and self._healthy(now):
            self._failures = 0
        self._absences = self._absences + 1 if isinstance(error, NotFound) else 0
        if self._absences:
            # The server answers: its next trouble, such as the 429 of a CRD that is being set up, is its first.
            self._failures = 0
            delay = min(ABSENT_SECONDS, self._backoff.delay(self._absences, rng=self._rng))
        else:
            self._failures += 1
            delay = self._backoff.delay(self._failures, rng=self._rng)
        if not self._absences and isinstance(error, ApiError) and error.retry_after:
            delay = max(delay, min(error.retry_after, LONGEST_WAIT))
        # A streaming list that broke off half-way may be too long for this road; the next try goes by pages.
        self._stream_now = self._streaming and not (self.state is State.STREAMING and self._events)
        self.state = State.WAITING
        self._resume_watch = resume_watch
        self._troubled = self._paused = True
        self._start_over()
        return [Troubled(error, delay), Timer(delay)]

    def _open(self, state: State, now: float) -> None:
        self.state = state
        self._accepted_at = None
        self._last_sign = now
        self._events = 0

    def _lived(self, now: float) -> float:
        return 0.0 if self._accepted_at is None else now - self._accepted_at

    def _healthy(self, now: float) -> bool:
        return self._lived(now) >= HEALTHY_SECONDS

    def _watch_seconds(self) -> float:
        return self._rng.uniform(*WATCH_SECONDS)

    def _watch_query(self, seconds: float) -> tuple[tuple[str, str], ...]:
        return (
            *self._selectors,
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(int(seconds))),
        )


def _too_large(error: Exception) -> bool:
    """Whether the server has not reached our version: it was restored, or is another, younger one."""
    if not isinstance(error, ApiError):
        return False
    return "ResourceVersionTooLarge" in error.causes or "Too large resource version" in error.message


def _version_unusable(error: Exception) -> bool:
    return isinstance(error, Expired) or _too_large(error)


def _worth_waiting(error: ApiError) -> bool:
    """Whether a plain list would meet the same answer as the streaming list just did."""
    return isinstance(error, (TooManyRequests, NotFound, ServerError, PermissionError))
