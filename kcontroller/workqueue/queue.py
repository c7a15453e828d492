"""The queue that threads share: a `Schedule` behind one lock, and the waiting for it."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from kcontroller.process.backoff import RECONCILE
from kcontroller.workqueue.bound import Bound
from kcontroller.workqueue.entry import NEVER, Item, R
from kcontroller.workqueue.meter import QueueMeter
from kcontroller.workqueue.paces import Paces
from kcontroller.workqueue.relay import Relay
from kcontroller.workqueue.retries import Retries
from kcontroller.workqueue.schedule import Schedule
from kcontroller.workqueue.view import QueueView
from kcontroller.workqueue.waiting import Waiters, Watchers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from kcontroller.process.backoff import Backoff
    from kcontroller.process.bucket import Bucket
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.workqueue.outcome import Outcome

LOW_PRIORITY: Final = -100
"""For objects of an initial list and updates that changed nothing, as in controller-runtime."""


class WorkQueue(QueueView[R]):
    """The requests one controller has to work on; the package's docstring says what it guarantees.

    Args:
        name: of the controller; it becomes the labels of the metrics.
        clock: the time by which delays and waits go.
        backoff: seconds between the retries of one request.
        bucket: keeps the failures of all requests together to a rate; None for none. All clusters share it: where one
            of many must not delay the retries of the others, leave it out.
        rng: where the backoff's jitter comes from; None for Python's own.
        workers: how many threads will call `get`; a quarter of them is a cluster's cap under contention.
        per_cluster: how many of them one cluster may have at most, also where it is alone with work; None for no limit
            but these.
        reserves: whether a cluster that is alone with work leaves one worker free: if it hangs, the others go on.
        compares: whether a cluster is degraded whose items take far longer than those of the others; see `paces`.
        relay: whether workers that only compute take turns; see `relay`. Each of them then has one item at a time.
        limit: requests of one cluster that may be ready; a new one beyond it is refused if it may be, see `add`.
        on_room: called with the name of a cluster that was full when half of what was ready is handed out: whoever was
            refused should tell again. On the thread of a worker; it must not block.
        metrics: where the ``workqueue_*`` families are; None for none.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        backoff: Backoff = RECONCILE,
        bucket: Bucket | None = None,
        rng: random.Random | None = None,
        workers: int = 1,
        per_cluster: int | None = None,
        reserves: bool = False,
        compares: bool = False,
        relay: bool = False,
        limit: int | None = None,
        on_room: Callable[[str], None] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Start empty and running."""
        if workers < 1:
            msg = f"queue {name!r} cannot have {workers} workers; give at least 1"
            raise ValueError(msg)
        if per_cluster is not None and per_cluster < 1:
            msg = f"queue {name!r} cannot have {per_cluster} workers for one cluster; give at least 1"
            raise ValueError(msg)
        if limit is not None and limit < 1:
            msg = f"queue {name!r} cannot be limited to {limit} requests; give at least 1"
            raise ValueError(msg)
        bound = Bound(limit)
        quarter = max(1, workers // 4)
        most = math.inf if per_cluster is None else per_cluster
        schedule: Schedule[R] = Schedule(
            cap=int(min(most, quarter)),
            alone=min(most, max(1, workers - 1) if reserves else math.inf),
            ill=quarter,
            retries=Retries(backoff, bucket, rng),
            bound=bound,
            paces=Paces() if compares else None,
        )
        super().__init__(schedule, threading.Lock(), clock)
        self.name = name
        self._meter = None if metrics is None else QueueMeter(metrics, name)
        self._waiters = Waiters(self._lock, clock)
        self._watchers = Watchers(self._lock, clock)
        self._idle_callbacks: list[tuple[str, Callable[[], object]]] = []
        self._room = bound.room
        self._on_room = on_room
        self._relay = Relay(workers) if relay and workers > 1 else None
        self._was_idle = False

    def add(
        self, request: R, *, priority: int = 0, after: float = 0.0, reason: str = "", may_refuse: bool = False
    ) -> bool:
        """Ask for a request to be worked on, in `after` seconds (0 or less: now); ignored once stopped.

        Returns False if it was refused: the request is new and as many of its cluster are ready as may be. `on_room`
        says when to ask again.

        Args:
            request: what to work on.
            priority: higher goes first; below that of an earlier add it changes nothing.
            after: seconds; a shorter delay replaces a longer one, never the other way round.
            reason: a short constant text for people, such as ``Deployment updated``.
            may_refuse: whether the queue's `limit` counts: for those who can ask again.

        Raises:
            ValueError: `after` is infinite.
        """
        now = self._clock.monotonic()
        with self._lock:
            if self._stopped:
                return True
            taken = self._schedule.add(request, now, priority, after, reason, may_refuse=may_refuse)
            if self._waiters.waiting:
                self._wake()
        return taken

    def get(self, *, timeout: float | None = None) -> Item[R] | None:
        """Wait for the next item and take it; whoever takes one must call `done` with it.

        Returns None once the queue is stopped, or when `timeout` seconds are over.
        """
        monotonic = self._clock.monotonic
        deadline = NEVER if timeout is None else monotonic() + timeout
        with self._lock:
            while not self._stopped:
                now = monotonic()
                item = self._take(now)
                if item is not None or deadline <= now:
                    break
                self._waiters.wait(now=now, deadline=deadline, due=self._next_look())
            else:
                return None
            if self._waiters.waiting:
                if self._waiters.keeping:
                    self._wake()
                else:
                    self._waiters.wake()
            if item is not None and self._meter is not None:
                self._meter.queued(item.waited)
        if self._room:
            self._tell_of_room()
        return item

    def done(self, item: Item[R], outcome: Outcome) -> None:
        """Give an item back: forget, backoff and re-add happen in one step.

        Raises:
            ValueError: the item is not in work: it was given back before, or comes from another queue.
        """
        self._give_back(item, outcome, follows=False)

    def exchange(self, item: Item[R], outcome: Outcome) -> Item[R] | None:
        """Give an item back and wait for the next one: `done` and `get` in one step, for a worker's loop.

        Raises:
            ValueError: as `done`.
        """
        following = self._give_back(item, outcome, follows=True)
        return self.get() if following is None else following

    def let_others(self, item: Item[R]) -> None:
        """Note that the worker of an item is about to wait: in a relay another one may start."""
        if self._relay is not None and self._relay.runs(item):
            with self._lock:
                if self._relay.pause(item) and self._waiters.waiting:
                    self._wake()

    def abandon(self, item: Item[R]) -> None:
        """Count an item against no cap any more, since its worker is stuck and another one takes its place.

        It stays in work, and is waited for, until the worker gives it back as ever. Nothing happens if it has already.
        """
        with self._lock:
            self._schedule.abandon(item)
            if self._waiters.waiting:
                self._wake()

    def set_aside(self, items: Iterable[Item[R]], *, room: int, replaced: Iterable[Item[R]] = ()) -> list[Item[R]]:
        """Say of which items other workers should take the place, since clusters that are slow hold these.

        First, if degraded clusters have more in work than their quarter, or some of them wait for one that hangs. Such
        items may have begun before anybody knew; they count no longer against that quarter. And, second, if no worker
        is free, others have something ready, and an item takes far longer than theirs (see `paces`): its cluster may
        be well and just far away. In both cases it still counts against the cap of its cluster.

        This finds out, too, which clusters are slow, if it is time to: where all workers hang nobody else would.

        Args:
            items: in work for a while, the eldest first.
            room: no more than so many of them.
            replaced: others whose workers are replaced already; they, too, may count no longer against the quarter.
        """
        now, schedule = self._clock.monotonic(), self._schedule
        chosen: list[Item[R]] = []
        with self._lock:
            schedule.promote(now)  # No worker does while all of them hang.
            schedule.look_if_due(now)
            if not schedule.ready:
                return []
            for item in replaced:
                schedule.set_aside(item, now)
            for item in items:
                if len(chosen) >= room:
                    break
                if schedule.set_aside(item, now) or (not self._waiters.waiting and schedule.lags(item, now)):
                    chosen.append(item)
            if self._waiters.waiting:
                self._wake()
        return chosen

    @property
    def has_idle_workers(self) -> bool:
        """Whether a worker waits for an item."""
        return self._waiters.waiting > 0

    def _give_back(self, item: Item[R], outcome: Outcome, *, follows: bool) -> Item[R] | None:
        now = self._clock.monotonic()
        following = None
        with self._lock:
            worked = self._schedule.give_back(item, outcome, now)
            if self._relay is not None:
                self._relay.end(item, now, more=bool(self._schedule.pickable))
            if follows and not self._stopped:
                following = self._take(now)
            if self._waiters.waiting:
                self._wake()
            if self._watchers.count:
                self._watchers.look_again()
            idle = self._take_idle_callbacks() if self._idle_callbacks else ()
            if self._meter is not None:
                self._meter.worked(worked)
                if following is not None:
                    self._meter.queued(following.waited)
        if self._room:
            self._tell_of_room()
        for callback in idle:
            callback()
        return following

    def purge(self, cluster: str) -> None:
        """Forget a cluster: ready, delayed, failures, and its pauses but that of ``command``.

        The outcome of its items in work will be ignored. Requests added later start anew, but not before a worker that
        still has the same request returns.
        """
        with self._lock:
            dropped = self._schedule.purge(cluster)
            self._watchers.look_again()
            if self._waiters.waiting:
                self._wake()  # Another cluster may be alone with work now, and no longer capped.
        del dropped  # Freeing a million entries takes a while; the lock need not wait for it.

    def pause(self, cluster: str, *, holder: str = "") -> None:
        """Hand out no more items of a cluster until `resume`; adds are kept and delays run on.

        Several may hold a cluster back, each for a reason of its own: its items are handed out when all have resumed
        it. A `purge` lets go for all holders but ``command``.
        """
        with self._lock:
            if not self._stopped:
                self._schedule.pause(cluster, holder)
                self._wake()

    def resume(self, cluster: str, *, holder: str = "") -> None:
        """Take back this holder's pause of a cluster; nothing happens if there is none."""
        with self._lock:
            self._schedule.resume(cluster, holder)
            self._wake()

    def weigh(self, cluster: str, weight: int) -> None:
        """Hand out so many of a cluster's items in each of its turns, against 1 of the others; outlasts a `purge`.

        Raises:
            ValueError: it is below 1.
        """
        if weight < 1:
            msg = f"cluster {cluster!r} cannot have weight {weight}; give at least 1"
            raise ValueError(msg)
        with self._lock:
            self._schedule.weigh(cluster, weight)

    def degrade(self, cluster: str, *, why: str) -> None:
        """Take a cluster for ill until `recover`: all that are get the turn and the workers of one cluster together.

        That is a quarter of the workers, also where nobody else has work. Several may say so of a cluster, each for a
        reason of its own. It outlasts a `purge`.
        """
        with self._lock:
            self._schedule.degrade(cluster, why)
            if self._waiters.waiting:
                self._wake()

    def recover(self, cluster: str, *, why: str) -> None:
        """Take back that a cluster is ill for this reason; nothing happens if it was not said."""
        with self._lock:
            self._schedule.recover(cluster, why)
            if self._waiters.waiting:
                self._wake()

    def stop(self) -> None:
        """Drop what is ready or delayed and wake every `get`; later calls do nothing.

        Items in work may still be done; `wait_in_flight` waits for them.
        """
        with self._lock:
            dropped = self._stop_locked()
        del dropped

    def drain(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the queue is idle, and stop it; False if work was dropped.

        Adds count until the last moment: an item may add others, also of other clusters. A queue that is drained again
        gives the same answer; one that somebody stops meanwhile ends the wait with False, unless it was idle then.
        """
        with self._lock:
            self._watchers.wait(self._is_idle, timeout)
            dropped = self._stop_locked()
        del dropped
        return self._was_idle

    def wait_idle(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until there is nothing to do now; False if the time ran out.

        That is: no item is ready (also of a paused cluster), none is in work or held, and no delay is over. Delays that
        are still running (backoff, requeue_after) don't count, or a controller that looks again each hour would never
        be idle. Of a stopped queue the answer is whether it was idle when it was stopped.
        """
        with self._lock:
            idle = self._watchers.wait(self._is_idle, timeout)
            return self._was_idle if self._stopped else idle

    def wait_in_flight(self, timeout: float, *, cluster: str | None = None) -> bool:
        """Wait at most `timeout` seconds until all items handed out (of one cluster, or of all) are done."""
        schedule = self._schedule

        def ended() -> bool:
            return not (schedule.in_flight if cluster is None else schedule.in_flight_of(cluster))

        with self._lock:
            return self._watchers.wait(ended, timeout)

    def when_idle(self, cluster: str, callback: Callable[[], object]) -> None:
        """Call `callback` once when no item of a cluster is in work: at once, or when the last one is given back.

        For who has purged the cluster; requests added since then may be handed out again. It must not block, since it
        runs on the thread that calls `done`.
        """
        with self._lock:
            if self._schedule.in_flight_of(cluster):
                self._idle_callbacks.append((cluster, callback))
                return
        callback()

    def observe(self) -> None:
        """Bring the gauges and counters up to date; call it before each scrape."""
        if self._meter is None:
            return
        now = self._clock.monotonic()
        with self._lock:
            self._schedule.promote(now)
            reading = self._schedule.read(now)
        self._meter.publish(reading)

    def _take_idle_callbacks(self) -> tuple[Callable[[], object], ...]:
        in_flight = self._schedule.in_flight_of
        idle = tuple(callback for cluster, callback in self._idle_callbacks if not in_flight(cluster))
        if idle:
            self._idle_callbacks = [each for each in self._idle_callbacks if in_flight(each[0])]
        return idle

    def _tell_of_room(self) -> None:
        with self._lock:
            clusters = self._room.copy()
            self._room.clear()
        if self._on_room is not None:
            for cluster in clusters:
                self._on_room(cluster)

    def _take(self, now: float) -> Item[R] | None:
        schedule, relay = self._schedule, self._relay
        if relay is None:
            return schedule.take(now)
        if not (schedule.pickable or schedule.next_due() <= now) or not relay.has_room(now):
            return None
        item = schedule.take(now)
        if item is not None:
            relay.start(item, now)
        return item

    def _next_look(self) -> float:
        """When a worker should look: something is ready, or due, and may be taken."""
        due = -NEVER if self._schedule.pickable else self._schedule.next_due()
        return due if self._relay is None else max(due, self._relay.next_room())

    def _wake(self) -> None:
        """Have a worker look unless the timekeeper will in time: where others run, it nearly always will."""
        due = self._next_look()
        if due < self._waiters.alarm:
            if self._schedule.pickable and due <= self._clock.monotonic():
                self._waiters.wake()
            else:
                self._waiters.expect(due)

    def _stop_locked(self) -> object:
        if self._stopped:
            return None
        self._was_idle = self._schedule.is_idle(self._clock.monotonic())
        self._stopped = True
        dropped = self._schedule.purge_all()
        self._waiters.wake_all()
        self._watchers.look_again()
        return dropped

    def _is_idle(self) -> bool:
        return self._stopped or self._schedule.is_idle(self._clock.monotonic())
