"""Raw sources that ask from time to time: `Every` so many seconds, or by the wall clock with `Cron`.

Each time a function of the user's names what to reconcile, on a mapper thread. The next time is set when it has
returned, so that calls of a slow one never pile up; one that fails is tried again as map functions are.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final, Protocol

from kcontroller.controller.raw import RawSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from kcontroller.api.keys import Key, Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.raw import Feed
    from kcontroller.process.clock import Clock

    Named: TypeAlias = Callable[[Cluster], Iterable[Key | Request]]

SHORTEST: Final = 1.0
"""Seconds; more often is what events are for."""
LONGEST_WAIT: Final = 60.0
"""Seconds after which a timer looks again: the wall clock may have been set, or the cluster have left."""


class _Times(Protocol):
    """When a timer fires."""

    def set(self) -> None:
        """Choose the next time."""
        ...

    def left(self) -> float:
        """Seconds until then."""
        ...


class _Timer:
    """The rounds of a timer in one cluster."""

    def __init__(self, feed: Feed, times: _Times, name: Named, *, priority: int, reason: str) -> None:
        self._feed = feed
        self._times = times
        self._name = name
        self._priority = priority
        self._reason = reason

    def start(self, *, at_start: bool) -> None:
        self._times.set()
        if at_start:
            self._fire()
        else:
            self._wait()

    def _wait(self) -> None:
        left = self._times.left()
        if left > 0:
            self._feed.later(min(left, LONGEST_WAIT), self._wait)
        else:
            self._fire()

    def _fire(self) -> None:
        self._feed.call(self._call, ended=self._next)

    def _call(self) -> None:
        if not self._feed.stopped:
            for target in self._name(self._feed.cluster):
                self._feed.add(target, priority=self._priority, reason=self._reason)

    def _next(self) -> None:
        if not self._feed.stopped:
            self._times.set()
            self._wait()


class Every(RawSource):
    """Reconciles what a function names, every so many seconds: for what changes outside of the cluster.

    To look at every object of a kind again, ``resync=`` of ``for_`` is enough.

    Args:
        seconds: between the end of one call and the next; at least 1.
        to: gets the cluster, and returns keys in it, or requests in any. It may take its time. What it writes keeps to
            the lease and the budgets of its controller, and it is not called before the controller may work.
        at_start: call it also when the kinds of the controller are synced.
        jitter: each wait is longer by up to this share of it, so that the clusters of a fleet do not all come at once.
        priority: of its requests; `LOW_PRIORITY` of the workqueue lets changes go first.

    Raises:
        ValueError: the seconds or the jitter cannot be.
        TypeError: `to` is no function.
    """

    acts = True

    def __init__(
        self,
        seconds: float | timedelta,
        to: Named,
        *,
        at_start: bool = True,
        jitter: float = 0.1,
        priority: int = 0,
    ) -> None:
        self._seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not SHORTEST <= self._seconds < math.inf:
            msg = f"Every needs at least {SHORTEST:g} second, got {seconds}"
            raise ValueError(msg)
        if not 0 <= jitter < math.inf:
            msg = f"jitter is a share of the seconds, such as 0.1, got {jitter}"
            raise ValueError(msg)
        self._to = _function(to)
        self._at_start = at_start
        self._jitter = jitter
        self._priority = priority

    def start(self, feed: Feed) -> None:
        """Begin in one cluster."""
        times = _Interval(feed.clock, self._seconds, self._jitter)
        timer = _Timer(feed, times, self._to, priority=self._priority, reason=str(self))
        timer.start(at_start=self._at_start)

    def __str__(self) -> str:
        """Such as ``every 60 s``."""
        return f"every {self._seconds:g} s"


class Cron(RawSource):
    """Reconciles what a function names, at the times of a cron expression; needs the extra ``cron``.

    The rules are those of Debian's cron, also for the hours that a change to summer time skips or repeats. What was due
    while the process was busy or the clock was set is made up for once; what was due before the start is not.

    Args:
        expression: minute, hour, day of the month, month, day of the week: ``"0 3 * * MON-FRI"``.
        to: as for `Every`.
        zone: the time zone, such as ``Europe/Paris``.
        at_start: as for `Every`.
        priority: as for `Every`.

    Raises:
        ValueError: the expression or the zone is malformed, or its time never comes.
        TypeError: `to` is no function.
        ImportError: the extra is not installed.
    """

    acts = True

    def __init__(
        self, expression: str, to: Named, *, zone: str = "UTC", at_start: bool = False, priority: int = 0
    ) -> None:
        self._expression = " ".join(expression.split())
        self._zone = UTC if zone == "UTC" else _zone(zone)
        next_time(self._expression, datetime(2000, 1, 1, tzinfo=UTC))
        self._to = _function(to)
        self._at_start = at_start
        self._priority = priority

    def start(self, feed: Feed) -> None:
        """Begin in one cluster."""
        times = _Crontab(feed.clock, self._expression, self._zone)
        timer = _Timer(feed, times, self._to, priority=self._priority, reason=str(self))
        timer.start(at_start=self._at_start)

    def __str__(self) -> str:
        """Such as ``cron 0 3 * * *``."""
        return f"cron {self._expression}"


def next_time(expression: str, after: datetime) -> datetime:
    """The first time of a cron expression after another, in that one's zone.

    Raises:
        ValueError: the expression is malformed, or there is none in fifty years.
        ImportError: cronsim is not installed.
    """
    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "Cron needs the package cronsim; install kcontroller[cron]"
        raise ImportError(msg) from error
    try:
        found = next(CronSim(expression, after), None)
    except CronSimError as error:
        msg = f"{expression!r} is not a cron expression ({error}); write it like '0 3 * * MON-FRI'"
        raise ValueError(msg) from error
    if found is None:
        msg = f"the time of cron expression {expression!r} never comes"
        raise ValueError(msg)
    return found


class _Interval:
    """So many seconds from now."""

    def __init__(self, clock: Clock, seconds: float, jitter: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._jitter = jitter
        self._due = 0.0

    def set(self) -> None:
        spread = 1 + self._jitter * random.random()  # noqa: S311 - spreads load
        self._due = self._clock.monotonic() + self._seconds * spread

    def left(self) -> float:
        return self._due - self._clock.monotonic()


class _Crontab:
    """By the wall clock."""

    def __init__(self, clock: Clock, expression: str, zone: tzinfo) -> None:
        self._clock = clock
        self._expression = expression
        self._zone = zone
        self._seen = self._due = clock.now()

    def set(self) -> None:
        self._seen = self._clock.now()
        self._due = next_time(self._expression, self._seen.astimezone(self._zone))

    def left(self) -> float:
        now = self._clock.now()
        if now < self._seen:  # The clock was set back: what is next may come sooner now.
            self.set()
        self._seen = now
        return (self._due - now).total_seconds()


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - slow to load, and rarely wanted

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError) as error:
        msg = f"{name!r} is not a time zone here; write it like 'Europe/Paris', or install the package tzdata"
        raise ValueError(msg) from error


def _function(to: Named) -> Named:
    if not callable(to):
        msg = f"a timer needs a function that names what to reconcile, got {type(to).__name__}"
        raise TypeError(msg)
    return to
