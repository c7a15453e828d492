"""The workers of one controller, and what is done about one that does not come back.

A thread cannot be ended from outside. So a reconcile whose time is over is told (its token stops, and its requests end
with it), and if it has not returned a moment later, it is *stuck*: it is counted, the log says where it is, and another
worker takes its place. Its request stays in work all the while, so that no second worker ever has the same one. When it
returns after all, its outcome counts, and one worker ends that is too many now.
"""

from __future__ import annotations

import threading
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from kcontroller.controller.places import place_of_thread
from kcontroller.controller.reserve import Reserve
from kcontroller.controller.seat import Seat, Stuck
from kcontroller.process.logs import Log, described
from kcontroller.process.stop import OVERDUE
from kcontroller.workqueue.entry import NEVER
from kcontroller.workqueue.paces import LAG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import Request
    from kcontroller.controller.seat import Run
    from kcontroller.controller.tally import Tally
    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.workqueue import WorkQueue

GRACE_SECONDS: Final = 1.0
"""How long a reconcile may take to end when its time is over; then it counts as stuck."""
UNLIMITED_SECONDS: Final = 300.0
"""After so long one without a time-out counts as stuck. It keeps its worker, since nobody said when it has to end."""

AHEAD: Final = 2
"""So many workers of a fleet rest for each one that works; for no more than half of the clusters."""

LOOK_SECONDS: Final = 0.1
"""Between two looks at a pool that lends, while something runs."""

LENT: Final = 64
"""So many workers may be replaced in a fleet, or one for every second cluster: a bad one holds one or two."""

_IDLE_SECONDS: Final = 0.25  # The same while nothing runs.
_AGAIN_SECONDS: Final = 1.0  # A system that gives no thread is asked again then.
_PREPARE_SECONDS: Final = 0.005  # Of a look at most go into starting those that are to rest.
_SOONEST: Final = 0.01  # Between two looks, whatever the time-out.

_log: Final = Log("kcontroller.controller")


class WorkerPool:
    """Runs the workers, and replaces those that are stuck; as many again at most, in a fleet more.

    Attributes:
        lock: guards the seats.
        lends: whether workers are replaced, too, that slow clusters hold while others wait; see `WorkQueue.set_aside`.

    Args:
        name: the controller's.
        work: works at a seat until the queue is stopped, or the seat is surplus.
        size: how many workers there are to be.
        timeout: seconds a reconcile may take; 0 is no limit.
        queue: where they take their items from.
        tally: counts what is late, and what is stuck.
        threads: where they run.
        clock: the time.
        hurry: has `look` called at once.
        fleet: how many clusters there are; None if nothing is lent.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Seat], None],
        *,
        size: int,
        timeout: float,
        queue: WorkQueue[Request],
        tally: Tally,
        threads: ThreadGroup,
        clock: Clock,
        hurry: Callable[[], None],
        fleet: Callable[[], int] | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._size = size
        self._timeout = timeout
        self._patience = timeout + GRACE_SECONDS if timeout else UNLIMITED_SECONDS
        self._queue = queue
        self._tally = tally
        self._threads = threads
        self.lock = threading.Lock()
        self._seats: dict[Seat, None] = {}
        self._hired = 0
        self._stuck = 0
        self._away = 0
        self.lends = fleet is not None
        self._fleet = fleet
        self._clock = clock
        self._hurry = hurry
        self._look_at = self._hire_at = -NEVER  # Nobody is to hurry before the first look.
        self._reserve = Reserve(self.lock, clock)
        self._started = False

    def start(self) -> None:
        """Start the workers."""
        for _ in range(self._size):
            with self.lock:
                seat = self._add_seat()
            self._start(seat)
        self._started = True

    def stop(self) -> None:
        """Let those end that rest, after the queue has stopped."""
        with self.lock:
            self._reserve.stop()

    def rest(self, seat: Seat) -> bool:
        """See `Seat.rest`."""
        return self.lends and self._reserve.rest(seat)

    def take_back_locked(self, seat: Seat, run: Run) -> None:
        """Take note that such a reconcile has returned; its worker goes on, unless there are enough others by now."""
        if run.stuck:
            self._stuck -= 1
            self._tally.stuck(self._stuck)
        self._away -= run.aside
        seat.surplus = len(self._seats) - self._away > self._size
        if seat.surplus:
            del self._seats[seat]

    @property
    def stuck(self) -> tuple[Stuck, ...]:
        """The reconciles that do not return."""
        now = self._clock.monotonic()
        with self.lock:  # None of them comes back meanwhile, so that each thread is where its reconcile is.
            return tuple(
                Stuck(run.item.request, now - run.began, self._timeout, place_of_thread(seat.thread))
                for seat in self._seats
                if (run := seat.run) is not None and run.stuck
            )

    def begun(self, now: float) -> None:
        """Look soon if that was the last free worker: should those that lag hold all of them, others wait for it."""
        if self._look_at > now + LAG_SECONDS and not self._queue.has_idle_workers:
            self._look_at = now
            self._hurry()

    def look(self, now: float) -> float:
        """Do what is due about the reconciles that run, and say when to look again; for the `Watchdog`."""
        self._look_at = NEVER  # What begins from here on may not be seen by this look.
        with self.lock:
            running = [(seat, run) for seat in self._seats if (run := seat.run) is not None]
        # One that begins after this look has so much time at least.
        latest = now + max(_SOONEST, self._timeout or UNLIMITED_SECONDS)
        times = [latest, *(self._see(seat, run, now) for seat, run in running)]
        if self.lends:
            self._lend(running, now)
            times.append(now + self._interval(running, now))
        if self._started:
            self._call_lacking()
            if now >= self._hire_at and not (self._replace() and self._prepare(now)):
                self._hire_at = now + _AGAIN_SECONDS
        self._look_at = min(times if self._hire_at <= now else [*times, self._hire_at])
        return self._look_at

    def _interval(self, running: list[tuple[Seat, Run]], now: float) -> float:
        if not running:
            return _IDLE_SECONDS
        if self._queue.has_idle_workers:
            return LOOK_SECONDS
        eldest = min((run.began for _seat, run in running if not run.aside), default=now)
        return max(_SOONEST, eldest + LAG_SECONDS - now)

    def _see(self, seat: Seat, run: Run, now: float) -> float:
        if self._timeout and not run.late:
            if now < run.began + self._timeout:
                return run.began + self._timeout
            self._tell(seat, run)
        if now < run.began + self._patience:
            return run.began + self._patience
        if not run.stuck:
            self._give_up(seat, run, now)
        return NEVER

    def _lend(self, running: list[tuple[Seat, Run]], now: float) -> None:
        """Have all replaced that take long, the eldest first, if anything waits for a worker.

        No more than lag, but no fewer: the next ones that are taken may be of clusters that hang, too.
        """
        runs = sorted((run for _seat, run in running if now >= run.began + LAG_SECONDS), key=attrgetter("began"))
        # At once: each lock that is taken lets another thread in, and the healthy clusters wait for this one.
        chosen = self._queue.set_aside(
            (run.item for run in runs if not run.aside),
            room=self._spares - self._away,
            replaced=(run.item for run in runs if run.aside),
        )
        if chosen:
            found = set(map(id, chosen))
            with self.lock:
                for seat, run in running:
                    if id(run.item) in found and seat.run is run and not run.aside:
                        run.aside = True
                        self._away += 1

    def _tell(self, seat: Seat, run: Run) -> None:
        with self.lock:
            if seat.run is not run:
                return
            run.late = True
        self._tally.timed_out()
        # What users have hung on the token may block, and others wait for this thread.
        run.stop.stop(OVERDUE, apart=partial(self._threads.apart, "deadline", self._name))

    def _give_up(self, seat: Seat, run: Run, now: float) -> None:
        with self.lock:
            if seat.run is not run:
                return
            run.stuck = True
            self._stuck += 1
            was_replaced = run.aside
            if self._timeout and not run.aside:
                run.aside = True
                self._away += 1
            self._tally.stuck(self._stuck)
            replaced = was_replaced or self._lacks_locked()
        if not self._timeout and not was_replaced:
            then = "without a reconcile_timeout its worker waits for it"
        elif not self._timeout:
            then = "without a reconcile_timeout nothing ends it; another worker takes its place"
        elif replaced:
            then = "another worker takes its place"
        else:
            then = "as many as there should be are replaced already"
        at, seconds = place_of_thread(seat.thread), round(now - run.began, 1)
        _log.error("a reconcile does not return: %s", then, at=at, seconds=seconds, **run.fields)
        if self._timeout:
            self._queue.abandon(run.item)

    @property
    def _spares(self) -> int:
        return self._size if self._fleet is None else max(self._size, LENT, self._fleet() // 2)

    def _lacks_locked(self) -> bool:
        count = len(self._seats)
        return count - self._away < self._size and count < self._size + self._spares

    def _call_lacking(self) -> None:
        """Have those that are missing come from the reserve."""
        with self.lock:
            while self._reserve and self._lacks_locked():
                self._seats[self._reserve.call()] = None

    def _replace(self) -> bool:
        """Start those that are missing; False if there are no threads."""
        while True:
            with self.lock:
                if not self._lacks_locked():
                    return True
                seat = self._add_seat()
            try:
                self._start(seat)
            except RuntimeError as error:
                # Whoever returned meanwhile was told that there are enough: the next look finds that there are not.
                with self.lock:
                    del self._seats[seat]
                _log.error("no other worker could be started: %s", described(error), controller=self._name)
                return False

    def _prepare(self, now: float) -> bool:
        """Fill the reserve while there is time; False if there are no threads."""
        if self._fleet is None:
            return True
        while self._queue.has_idle_workers and self._clock.monotonic() - now < _PREPARE_SECONDS:
            with self.lock:
                self._reserve.resize(min(AHEAD * self._size, self._fleet() // 2))
                if len(self._reserve) >= self._reserve.size or self._queue.stopped:
                    return True
                seat = self._new_seat()
                self._reserve.add(seat)
            try:
                self._start(seat)
            except RuntimeError as error:
                with self.lock:
                    self._reserve.remove(seat)
                _log.debug("no worker could be started that rests: %s", described(error), controller=self._name)
                return False
        return True

    def _add_seat(self) -> Seat:
        seat = self._new_seat()
        self._seats[seat] = None
        return seat

    def _new_seat(self) -> Seat:
        seat = Seat(self, self._hired)
        self._hired += 1
        return seat

    def _start(self, seat: Seat) -> None:
        self._threads.spawn("worker", f"{self._name}-{seat.number}", partial(self._work, seat))
