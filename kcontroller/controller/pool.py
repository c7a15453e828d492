"""The workers of one controller, and what is done about one that does not come back.

A thread cannot be ended from outside. So a reconcile whose time is over is told (its token stops, and its requests end
with it), and if it has not returned a moment later, it is *stuck*: it is counted, the log says where it is, and another
worker takes its place. Its request stays in work all the while, so that no second worker ever has the same one. When it
returns after all, its outcome counts, and one worker ends that is too many now.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.controller.places import place_of_thread
from kcontroller.process.logs import Log, described
from kcontroller.process.stop import OVERDUE
from kcontroller.workqueue.entry import NEVER
from kcontroller.workqueue.paces import LAG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.keys import Request
    from kcontroller.controller.tally import Tally
    from kcontroller.process.stop import StopToken
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.workqueue import Item, WorkQueue

GRACE_SECONDS: Final = 1.0
"""How long a reconcile may take to end when its time is over; then it counts as stuck."""
UNLIMITED_SECONDS: Final = 300.0
"""After so long one without a time-out counts as stuck. It keeps its worker, since nobody said when it has to end."""

LOOK_SECONDS: Final = 0.1
"""Between two looks at a pool that lends, while something runs."""

LENT: Final = 64
"""So many workers may be replaced in a fleet, where that is more than there are: a few bad clusters hold some each."""

_IDLE_SECONDS: Final = 0.25  # The same while nothing runs.
_AGAIN_SECONDS: Final = 1.0  # A system that gives no thread is asked again then.
_SOONEST: Final = 0.01  # Between two looks while nothing runs, whatever the time-out.

_log: Final = Log("kcontroller.controller")


class Run(msgspec.Struct, eq=False):
    """One reconcile.

    Attributes:
        item: what it works on.
        began: in the clock's seconds.
        stop: its token.
        fields: what its log lines carry.
        late: its time is over, and that is counted.
        stuck: it did not return then.
        aside: another worker may take the place of its worker.
    """

    item: Item[Request]
    began: float
    stop: StopToken
    fields: Mapping[str, object]
    late: bool = False
    stuck: bool = False
    aside: bool = False


class Seat:
    """A worker's place: what it does now.

    Attributes:
        number: of the worker.
        run: its reconcile.
        thread: the worker's identity, as ``threading.get_ident`` has it.
        surplus: its worker should end.
    """

    __slots__ = ("_pool", "number", "run", "surplus", "thread")

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool = pool
        self.number = number
        self.run: Run | None = None
        self.thread = 0
        self.surplus = False

    def begin(self, run: Run) -> None:
        """Take note that a reconcile begins."""
        self.run = run
        if self._pool.lends:
            self._pool.begun(run.began)

    def end(self, run: Run) -> None:
        """Take note that the reconcile has returned."""
        with self._pool.lock:
            self.run = None
            if run.stuck or run.aside:
                self._pool.take_back_locked(self, run)
        if run.stuck:
            _log.info("the reconcile that was stuck has returned")


class WorkerPool:
    """Runs the workers, and replaces those that are stuck; as many again at most.

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
        lends: see the attribute.
        hurry: has `look` called at once.
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
        lends: bool = False,
        hurry: Callable[[], None],
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
        self.lends = lends
        self._hurry = hurry
        self._look_at = -NEVER  # Nobody is to hurry before the first look.
        self._spares = max(size, LENT) if lends else size
        self._started = False

    def start(self) -> None:
        """Start the workers."""
        for _ in range(self._size):
            with self.lock:
                seat = self._add_seat()
            self._hire(seat)
        self._started = True

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
    def stuck(self) -> tuple[Request, ...]:
        """The requests whose reconciles do not return."""
        with self.lock:
            runs = [seat.run for seat in self._seats]
        return tuple(run.item.request for run in runs if run is not None and run.stuck)

    def begun(self, now: float) -> None:
        """Look soon if that was the last free worker: should those that lag hold all of them, others wait for it."""
        if self._look_at > now + 2 * LAG_SECONDS and not self._queue.has_idle_workers:
            self._look_at = now
            self._hurry()

    def look(self, now: float) -> float:
        """Do what is due about the reconciles that run, and say when to look again; for the `Watchdog`."""
        with self.lock:
            running = [(seat, run) for seat in self._seats if (run := seat.run) is not None]
        # One that begins after this look has so much time at least.
        latest = now + max(_SOONEST, self._timeout or UNLIMITED_SECONDS)
        times = [latest, *(self._see(seat, run, now) for seat, run in running)]
        if self._started and not self._replace():
            times.append(now + _AGAIN_SECONDS)
        if self.lends:
            times.append(now + self._interval(busy=bool(running)))
        self._look_at = min(times)
        return self._look_at

    def _interval(self, *, busy: bool) -> float:
        if not busy:
            return _IDLE_SECONDS
        return LOOK_SECONDS if self._queue.has_idle_workers else LAG_SECONDS

    def _see(self, seat: Seat, run: Run, now: float) -> float:
        if self.lends and now >= run.began + LAG_SECONDS:
            self._lend(seat, run)
        if self._timeout and not run.late:
            if now < run.began + self._timeout:
                return run.began + self._timeout
            self._tell(seat, run)
        if now < run.began + self._patience:
            return run.began + self._patience
        if not run.stuck:
            self._give_up(seat, run, now)
        return NEVER

    def _lend(self, seat: Seat, run: Run) -> None:
        if self._queue.set_aside(run.item):
            with self.lock:
                if seat.run is run and not run.aside:
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
            if self._timeout and not run.aside:
                run.aside = True
                self._away += 1
            self._tally.stuck(self._stuck)
            replaced = self._lacks_locked()
        if not self._timeout:
            then = "without a reconcile_timeout its worker waits for it"
        elif replaced:
            then = "another worker takes its place"
        else:
            then = "as many as there should be are replaced already"
        at, seconds = place_of_thread(seat.thread), round(now - run.began, 1)
        _log.error("a reconcile does not return: %s", then, at=at, seconds=seconds, **run.fields)
        if self._timeout:
            self._queue.abandon(run.item)

    def _lacks_locked(self) -> bool:
        count = len(self._seats)
        return count - self._away < self._size and count < self._size + self._spares

    def _replace(self) -> bool:
        """Start the workers that are missing; False if the system gives no more threads."""
        while True:
            with self.lock:
                if not self._lacks_locked():
                    return True
                seat = self._add_seat()
            try:
                self._hire(seat)
            except RuntimeError as error:
                # Whoever returned meanwhile was told that there are enough: the next look finds that there are not.
                with self.lock:
                    del self._seats[seat]
                _log.error("no other worker could be started: %s", described(error), controller=self._name)
                return False

    def _add_seat(self) -> Seat:
        seat = Seat(self, self._hired)
        self._hired += 1
        self._seats[seat] = None
        return seat

    def _hire(self, seat: Seat) -> None:
        self._threads.spawn("worker", f"{self._name}-{seat.number}", partial(self._work, seat))
