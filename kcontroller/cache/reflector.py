"""What an informer asks the server next: list-and-watch as a step machine without I/O.

The shell (`informer.py`) tells it what happened and does what it answers. Rules and figures follow client-go's
reflector (tools/cache/reflector.go; KEP-3157 for streaming lists), with these differences on purpose:

* the first list is consistent unless "any version" is asked for, so that a cache never starts in the past;
* a watch that was cut is taken up from the last version without a list, at once if it had been healthy; so is one that
  the server refused for the moment (401, 429, 5xx);
* versions have a lineage: older answers are dropped, and only a consistent read may declare that the server went back;
* an expired version is listed anew at once, unless that follows closely and without a pause on another list;
* backoff is reset by health (a stream that lived for half a minute), not by the mere passing of time;
* an object that cannot be decoded is skipped, and its version counts.

``targets.py`` words the requests, ``listing.py`` collects a list, ``delays.py`` counts failures.
"""

from __future__ import annotations

import enum
import random
from typing import TYPE_CHECKING, Final

from kcontroller.cache.actions import (
    Advance,
    Apply,
    Close,
    Dropped,
    Forget,
    Outdate,
    Recovered,
    Skipped,
    Timer,
    Troubled,
)
from kcontroller.cache.delays import Delays, is_too_large, is_version_unusable
from kcontroller.cache.events import Bookmark, Deleted, Failure, Upserted
from kcontroller.cache.listing import Listing
from kcontroller.cache.poison import Undecodable
from kcontroller.cache.targets import Targets
from kcontroller.errors import ApiError, NotFound, ServerError, ServerSilent, TooManyRequests, TransportError
from kcontroller.process.backoff import REFLECTOR

if TYPE_CHECKING:
    from kcontroller.cache.actions import Action
    from kcontroller.cache.events import Page, WatchEvent
    from kcontroller.process.backoff import Backoff

HEALTHY_SECONDS: Final = 30.0
"""A stream that was accepted so long ago was worth opening; what ends it is no reason to wait."""
SHORT_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 10.0
"""A server that does not know streaming lists may open the watch and say nothing; after this we list instead."""
RETURN_SECONDS: Final = 1.0
"""Over so long those come back who have waited for the same server: a thousand at once would knock it over again."""
_RNG: Final = random.Random()  # noqa: S311 - spreads load, guards nothing
_ROUNDING: Final = 1e-3  # A timer may go off early by what floats lose; a shorter one would go off in the past.


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
        any_version: let the first paged list show any version that the server has at hand ("0"), as client-go does. It
            spares etcd a quorum read of the whole collection, and the cache may start in the past. A first streaming
            list is consistent all the same: it comes out of the server's memory anyhow.
    """

    def __init__(
        self,
        path: str,
        *,
        selectors: tuple[tuple[str, str], ...] = (),
        backoff: Backoff = REFLECTOR,
        rng: random.Random | None = None,
        streaming: bool = True,
        any_version: bool = False,
    ) -> None:
        rng = self._rng = rng or _RNG
        self._targets = Targets(path, selectors, rng)
        self._delays = Delays(backoff, rng)
        self._streaming = streaming
        self.state = State.IDLE
        self.version = 0
        self._consistent = not any_version  # Whether the next list must be a quorum read.
        self._stream_now = streaming  # False for the rest of a cycle in which the streaming list failed.
        self._pages_at_versions = False  # The server has no watch cache, which would answer such a list whole.
        self._troubled = False
        self._accepted_at: float | None = None  # When the server accepted the stream that is open.
        self._last_sign = 0.0
        self._listed_at = -HEALTHY_SECONDS
        self._paused = False  # Whether there was a wait since the last list.
        self._events = 0
        self._listing = Listing()
        self._resume_watch = False
        self._away_until = 0.0  # When the wait for a server that was away ends; 0 for any other wait.

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
        if type(event) is Upserted and self.state is State.STREAMING:  # Nearly all that a large cluster ever sends.
            self._events += 1
            self._last_sign = now
            return self._listing.add(event.entry)
        if self.state is not State.STREAMING and self.state is not State.WATCHING:
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
        actions = self._listing.add_page(page)
        if page.token:
            self._pages_at_versions |= not self._consistent
            return actions + self._next_page()
        return actions + self._listed(self._listing.version, now)

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
        if is_version_unusable(error):
            return self._version_lost(error, now)
        if self.state is State.WATCHING:
            return self._watch_failed(error, now)
        if self.state is State.STREAMING and isinstance(error, ApiError) and not _meets_a_list_too(error):
            return self._fall_back(now)
        return self._wait(error, now)

    def reachable(self, now: float) -> list[Action]:
        """Others say that the server answers again: who waits for that waits no longer than `RETURN_SECONDS`."""
        if self.state is not State.WAITING or self._away_until <= now:
            return []
        self._delays.reset()  # The next trouble is another one.
        seconds = RETURN_SECONDS * (1.0 - self._rng.random())
        if seconds >= self._away_until - now:
            return []
        self._away_until = now + seconds
        return [Timer(seconds)]

    def renew(self, now: float, *, elsewhere: bool) -> list[Action]:
        """Requests go another way from now on: begin what is under way anew.

        Args:
            now: the time.
            elsewhere: whether the way may lead to another server, of which only a complete and consistent list may
                speak, and whose versions are other numbers.
        """
        if self.state is State.IDLE:
            return []
        close: list[Action] = [] if self.state is State.WAITING else [Close()]
        if elsewhere:
            self.version, self._consistent = 0, True
            self._stream_now = self._streaming
            return [*close, Outdate(), *self._list(now)]
        resumes = self.state is State.WATCHING or self._resume_watch
        return close + (self._watch(now) if resumes else self._list(now))

    # ---- listing -------------------------------------------------------------------------------------------------

    def _list(self, now: float) -> list[Action]:
        self._resume_watch = False
        return self._stream_list(now) if self._stream_now else self._page_list(now)

    def _stream_list(self, now: float) -> list[Action]:
        self._open(State.STREAMING, now)
        self._listing = Listing()
        consistent = self._consistent or not self.version
        return [self._targets.stream("" if consistent else str(self.version)), Timer(SILENT_SECONDS)]

    def _page_list(self, now: float) -> list[Action]:
        self._open(State.LISTING, now)
        # A list at a version is answered whole, from the server's watch cache; page by page it would be read from etcd.
        paged = self._consistent or not self.version or self._pages_at_versions
        self._listing = Listing(paged=paged)
        return self._next_page()

    def _next_page(self) -> list[Action]:
        version = "" if self._consistent else str(self.version)
        return [self._targets.page(version, token=self._listing.token, paged=self._listing.paged)]

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
                return self._listing.add(entry)
            case Deleted(entry):
                self._listing.drop(entry.key)
                return []
            case Undecodable():
                return self._listing.add(event)

    def _listed(self, version: int, now: float) -> list[Action]:
        streamed = self.state is State.STREAMING
        older = version < self.version
        if older and not self._consistent:
            self._consistent = True
            return [Dropped(), *([Close()] if streamed else []), *self._list(now)]
        replacement = self._listing.replacement(version, reset=older)
        self._listing = Listing()
        self.version, self._consistent = version, False
        self._listed_at, self._paused = now, False
        self._stream_now = self._streaming
        if streamed:
            self.state = State.WATCHING
            return [replacement, *self._live()]
        return [replacement, *self._watch(now)]

    # ---- watching ------------------------------------------------------------------------------------------------

    def _watch(self, now: float) -> list[Action]:
        self._open(State.WATCHING, now)
        self._resume_watch = False
        return [self._targets.watch(self.version)]

    def _live_event(self, event: Upserted | Deleted | Undecodable | Bookmark, now: float) -> list[Action]:
        actions = self._live()
        self._note_health(now)
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
        self._note_health(now)
        return self._watch(now)

    def _watch_failed(self, error: Exception, now: float) -> list[Action]:
        if isinstance(error, TransportError) and self._healthy(now):
            self._delays.reset()
            # Most cuts are no trouble. After this one, though, nobody knows whether there is a server.
            self._troubled = isinstance(error, ServerSilent)
            return [*([Troubled(error, 0.0)] if self._troubled else []), *self._watch(now)]
        return self._wait(error, now, resume_watch=self._delays.resumable(error))

    def _error_event(self, error: ApiError, now: float) -> list[Action]:
        if self.state is State.WATCHING and not is_version_unusable(error) and not isinstance(error, TooManyRequests):
            return self._wait(error, now)
        return self.failed(error, now)

    def _version_lost(self, error: Exception, now: float) -> list[Action]:
        """410, or a version ahead of the server: list at the last version first, then consistently (client-go)."""
        if self.state is State.WATCHING:
            self._consistent = is_too_large(error)
            # A server whose versions expire as fast as we list them must not be asked all the time.
            hasty = now - self._listed_at < HEALTHY_SECONDS and not self._paused
            return self._wait(error, now) if hasty else self._list(now)
        if self.state is State.LISTING and self._listing.token:
            # The list expired between two pages: ask for all of it at once.
            self._listing = Listing(paged=False)
            return self._next_page()
        if self._consistent:
            return self._wait(error, now)
        self._consistent = True
        return self._list(now)

    # ---- common --------------------------------------------------------------------------------------------------

    def _wait(self, error: Exception, now: float, *, resume_watch: bool = False) -> list[Action]:
        if self.state is State.WATCHING:
            self._note_health(now)
        delay = self._delays.after(error)
        self._stream_now = self._streaming and not self._distrusts_streaming(error)
        self.state = State.WAITING
        self._resume_watch = resume_watch
        self._troubled = self._paused = True
        self._listing = Listing()
        self._away_until = now + delay if isinstance(error, (TransportError, ServerError)) else 0.0
        return [Troubled(error, delay), Timer(delay)]

    def _distrusts_streaming(self, error: Exception) -> bool:
        """Whether the next list goes by pages because this one was streamed."""
        # One that broke off half-way may be too long for this road; what answers it with 500 again and again (an
        # aggregated server, a proxy that knows no such parameter) may yet answer a list.
        persistent = isinstance(error, ServerError) and self._delays.exhausted
        return self.state is State.STREAMING and (self._events > 0 or persistent)

    def _open(self, state: State, now: float) -> None:
        self.state = state
        self._accepted_at = None
        self._last_sign = now
        self._events = 0

    def _lived(self, now: float) -> float:
        return 0.0 if self._accepted_at is None else now - self._accepted_at

    def _healthy(self, now: float) -> bool:
        return self._lived(now) >= HEALTHY_SECONDS

    def _note_health(self, now: float) -> None:
        if self._healthy(now):
            self._delays.reset()


def _meets_a_list_too(error: ApiError) -> bool:
    """Whether a plain list would meet the same answer as the streaming list just did."""
    return isinstance(error, (TooManyRequests, NotFound, ServerError, PermissionError))
