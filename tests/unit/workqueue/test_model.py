"""The queue against a slow and obvious model of it, step by step with a clock moved by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kcontroller.api.keys import Request
from kcontroller.process.backoff import Backoff
from kcontroller.process.bucket import Bucket
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import Item, Outcome
from tests.unit.workqueue.steps import Queue

STEPS = 10_000
CLUSTERS = ("", "east", "west", "far")
WARD = "the ward"
WHYS = ("breaker", "slow")
REQUESTS = [Request(cluster, "", name) for cluster in CLUSTERS for name in "abcd"]
BACKOFF = Backoff(initial=0.5, cap=4.0)
HOLDERS = ("sync", "budget", "command")
QPS, BURST = 0.5, 2  # Powers of two, so that no figure is rounded.

requests = st.sampled_from(REQUESTS)
clusters = st.sampled_from(CLUSTERS)
holders = st.sampled_from(HOLDERS)
priorities = st.sampled_from([0, 0, 0, -100, 5, 10])
seconds = st.sampled_from([0.25, 0.5, 1.0, 5.0, 30.0])
outcomes = st.one_of(
    st.just(Outcome.forget()),
    st.builds(Outcome.hold, st.just(0.0) | seconds),
    st.builds(Outcome.retry, priority=st.none() | priorities),
    st.builds(Outcome.after, st.just(0.0) | seconds, priority=st.none() | priorities),
)


@dataclass
class Wish:
    """That a request be worked on: when and how."""

    at: float
    priority: int
    reasons: list[str] = field(default_factory=list)
    adds: int = 0


@dataclass
class Tokens:
    """A bucket that counts its tokens, also those that were taken before they were there."""

    tokens: float = BURST
    looked: float = -math.inf

    def wait(self, now: float) -> float:
        self.tokens = min(BURST, self.tokens + (now - self.looked) * QPS)
        self.looked = now
        self.tokens -= 1
        return max(0.0, -self.tokens / QPS)


@dataclass
class Model:
    """What is wanted, what is in work, whose turn it is. Every step recomputes whatever it can."""

    cap: int
    alone: float
    quarter: int
    limit: float = math.inf
    tokens: Tokens | None = None
    ready: dict[Request, Wish] = field(default_factory=dict)  # In order of arrival; a raised one moves to the end.
    delayed: dict[Request, Wish] = field(default_factory=dict)  # In order of arrival.
    again: dict[Request, Wish] = field(default_factory=dict)  # Wanted while in work.
    in_work: dict[Request, bool] = field(default_factory=dict)  # Whether it was purged meanwhile.
    abandoned: set[Request] = field(default_factory=set)
    held: set[Request] = field(default_factory=set)  # Of the delayed ones.
    failures: dict[Request, int] = field(default_factory=dict)
    pauses: set[tuple[str, str]] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    turns: dict[int, list[str]] = field(default_factory=dict)
    ward_turns: dict[int, list[str]] = field(default_factory=dict)
    ills: set[tuple[str, str]] = field(default_factory=set)
    weights: dict[str, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)  # Of the turn of a cluster, beyond the next one.
    picks: int = 0

    @property
    def paused(self) -> set[str]:
        return {cluster for cluster, _ in self.pauses}

    @property
    def idle(self) -> bool:
        return not (self.ready or self.in_work or self.held)

    def depth(self, cluster: str) -> int:
        return sum(request.cluster == cluster for request in self.ready)

    def side(self, cluster: str) -> str:
        """What a cluster counts as: itself, or one of the ward."""
        return WARD if cluster in {name for name, _ in self.ills} else cluster

    def below(self, group: str, working: list[str], busy: set[str], cap: int) -> bool:
        return working.count(group) < (cap if len(busy) > 1 else self.alone)

    def open(self, cluster: str) -> bool:
        return self.open_within(cluster) and (self.side(cluster) is not WARD or self.open_within(WARD))

    def open_within(self, each: str) -> bool:
        """Whether a cluster, or the ward, is open as far as those are concerned among which it stands."""
        working = [one.cluster for one, purged in self.in_work.items() if not purged and one not in self.abandoned]
        busy = {*(request.cluster for request in self.ready), *working} - self.paused
        if self.side(each) is WARD and each is not WARD:
            busy = {one for one in busy if self.side(one) is WARD}
            return each not in self.paused and self.below(each, working, busy, min(self.cap, max(1, self.quarter // 4)))
        groups = [*map(self.side, working)]
        if each is WARD:
            return groups.count(WARD) < self.quarter
        return each not in self.paused and self.below(each, groups, {*map(self.side, busy)}, self.cap)

    def capped(self, cluster: str) -> bool:
        return self.depth(cluster) > 0 and cluster not in self.paused and not self.open(cluster)

    def amid_its_turn(self, each: str) -> bool:
        bonus = self.weights.get(each, 1) - 1
        return self.extra.get(each, bonus) < bonus

    def line_up(self) -> None:
        """Keep the turns of clusters that can still be served; others that now can, come last."""
        for priority in {wish.priority for wish in self.ready.values()} | set(self.turns):
            can = {
                request.cluster
                for request, wish in self.ready.items()
                if wish.priority == priority and self.open_within(request.cluster)
            }
            ill = {cluster for cluster in can if self.side(cluster) is WARD}
            here = {self.side(cluster) for cluster in can if self.open(cluster)}
            for turns, there in ((self.ward_turns, ill), (self.turns, here)):
                kept = [each for each in turns.get(priority, []) if each in there]
                new = [each for each in (WARD, *CLUSTERS) if each in there and each not in kept]
                first = [each for each in reversed(new) if self.amid_its_turn(each)]
                turns[priority] = first + kept + [each for each in new if each not in first]

    def place(self, request: Request, wish: Wish, now: float) -> None:
        if wish.at <= now:
            self.ready[request] = wish
            self.held.discard(request)
            self.line_up()
        else:
            self.delayed[request] = wish

    def add(self, request: Request, at: float, priority: int, reason: str, now: float, *, may_refuse: bool) -> bool:
        known = any(request in part for part in (self.ready, self.delayed, self.in_work))
        if may_refuse and not known and self.depth(request.cluster) >= self.limit:
            self.full.add(request.cluster)
            return False
        self.want(request, at, priority, reason, now)
        return True

    def want(self, request: Request, at: float, priority: int, reason: str, now: float) -> None:
        known = self.ready.get(request) or self.delayed.get(request) or self.again.get(request)
        wish = known or Wish(at, priority)
        wish.adds += 1
        if reason and reason not in wish.reasons:
            wish.reasons.append(reason)
        raised, sooner = priority > wish.priority, at < wish.at
        wish.priority = max(wish.priority, priority)
        if request in self.ready:
            if raised:
                self.ready[request] = self.ready.pop(request)
                self.line_up()
            return
        wish.at = min(wish.at, at)
        if request in self.in_work:
            self.again[request] = wish
        elif not known or sooner:
            self.delayed.pop(request, None)
            self.place(request, wish, now)

    def promote(self, now: float) -> None:
        due = [(request, wish) for request, wish in self.delayed.items() if wish.at <= now]
        for request, wish in sorted(due, key=lambda pair: pair[1].at):
            del self.delayed[request]
            self.place(request, wish, now)

    def take(self, now: float) -> tuple[Request, Wish] | None:
        self.promote(now)
        levels = sorted((priority for priority, turns in self.turns.items() if turns), reverse=True)
        if not levels:
            return None
        self.picks += 1
        down = max(step for step in range(4) if self.picks % 16**step == 0)
        priority = levels[min(down, len(levels) - 1)]
        cluster = turn = self.turns[priority].pop(0)
        turns = self.turns[priority]
        if turn is WARD:
            turns.append(WARD)
            turns = self.ward_turns[priority]
            cluster = turns.pop(0)
        request = next(
            request for request, wish in self.ready.items() if wish.priority == priority and request.cluster == cluster
        )
        wish = self.ready.pop(request)
        more = any(wish.priority == priority and one.cluster == cluster for one, wish in self.ready.items())
        bonus = self.weights.get(cluster, 1) - 1
        extra = self.extra.get(cluster, bonus)
        if more and extra:
            turns.insert(0, cluster)
        elif more:
            turns.append(cluster)
        self.extra[cluster] = extra - 1 if more and extra else bonus
        self.in_work[request] = False
        if cluster in self.full and self.depth(cluster) <= self.limit // 2:
            self.full.discard(cluster)
            self.told.append(cluster)
        self.line_up()
        return request, wish

    def done(self, item: Item[Request], outcome: Outcome, now: float) -> None:
        request = item.request
        purged = self.in_work[request]
        if not purged:
            delay = outcome.delay
            if outcome.forgets:
                self.failures.pop(request, None)
            if outcome.fails:
                self.failures[request] = self.failures.get(request, 0) + 1
                delay = BACKOFF.delay(self.failures[request])
                if self.tokens is not None:
                    delay = max(delay, self.tokens.wait(now))
            if delay is not None:
                priority = item.priority if outcome.priority is None else outcome.priority
                self.want(request, now + delay, priority, "", now)
                wish = self.again[request]
                if outcome.holds:
                    wish.reasons = list(dict.fromkeys([*item.reasons, *wish.reasons]))
                    wish.adds += item.adds - 1
                    self.held.add(request)
                elif outcome.fails:
                    wish.reasons = list(dict.fromkeys([*wish.reasons, "retry", *item.reasons]))
                else:
                    wish.reasons = list(dict.fromkeys([*wish.reasons, "requeue"]))
        # It is wanted again before its worker is free: its cluster has work without interruption.
        if request in self.again:
            self.place(request, self.again.pop(request), now)
        del self.in_work[request]
        self.abandoned.discard(request)
        self.line_up()

    def purge(self, cluster: str) -> None:
        for wishes in (self.ready, self.delayed, self.again, self.failures):
            for request in [request for request in wishes if request.cluster == cluster]:
                del wishes[request]
        for request in self.in_work:
            if request.cluster == cluster:
                self.in_work[request] = True
        self.held = {request for request in self.held if request.cluster != cluster}
        self.pauses = {pause for pause in self.pauses if pause[0] != cluster or pause[1] == "command"}
        self.full.discard(cluster)
        self.extra[cluster] = self.weights.get(cluster, 1) - 1
        self.line_up()

    def state(self, request: Request) -> str | None:
        if request in self.in_work:
            return "processing"
        if request in self.delayed:
            return "held" if request in self.held else "delayed"
        return "ready" if request in self.ready else None


class QueueAgainstModel(RuleBasedStateMachine):
    steps = 0

    @initialize(
        workers=st.sampled_from([1, 2, 4, 8, 16]),
        reserves=st.booleans(),
        rate=st.booleans(),
        limit=st.sampled_from([None, 1, 2, 3]),
        most=st.sampled_from([None, 1, 2, 3, 6]),
    )
    def start(self, *, workers: int, reserves: bool, rate: bool, limit: int | None, most: int | None) -> None:
        self.clock = VirtualClock()
        self.told: list[str] = []
        self.queue = Queue(
            "test",
            clock=self.clock,
            backoff=BACKOFF,
            bucket=Bucket(QPS, BURST) if rate else None,
            workers=workers,
            per_cluster=most,
            reserves=reserves,
            limit=limit,
            on_room=self.told.append,
        )
        self.model = Model(
            cap=min(most or workers, max(1, workers // 4)),
            alone=min(most or math.inf, max(1, workers - 1) if reserves else math.inf),
            quarter=max(1, workers // 4),
            limit=math.inf if limit is None else limit,
            tokens=Tokens() if rate else None,
        )
        self.items: list[Item[Request]] = []

    @rule(
        request=requests,
        priority=priorities,
        after=st.just(0.0) | seconds,
        reason=st.sampled_from(["", "x", "y"]),
        may_refuse=st.booleans(),
    )
    def add(self, request: Request, priority: int, after: float, reason: str, *, may_refuse: bool) -> None:
        taken = self.queue.add(request, priority=priority, after=after, reason=reason, may_refuse=may_refuse)
        now = self.clock.monotonic()
        assert taken == self.model.add(request, now + after, priority, reason, now, may_refuse=may_refuse)

    @rule(priority=priorities, may_refuse=st.booleans())
    def add_all(self, priority: int, *, may_refuse: bool) -> None:
        for request in REQUESTS:
            self.add(request, priority, 0.0, "", may_refuse=may_refuse)

    @rule()
    def get(self) -> None:
        self.compare(self.queue.get(timeout=0))

    def compare(self, item: Item[Request] | None) -> None:
        """Take from the model, too: it must be the same."""
        expected = self.model.take(self.clock.monotonic())
        assert (item is None) == (expected is None)
        if item is None or expected is None:
            return
        request, wish = expected
        failures = self.model.failures.get(request, 0)
        assert item == Item(request, wish.priority, failures, tuple(wish.reasons), wish.adds, item.waited)
        assert item.waited == self.clock.monotonic() - wish.at
        assert request not in [other.request for other in self.items]
        self.items.append(item)

    @precondition(lambda self: self.items)
    @rule(place=st.integers(0, 99), outcome=outcomes)
    def done(self, place: int, outcome: Outcome) -> None:
        item = self.items.pop(place % len(self.items))
        self.queue.done(item, outcome)
        self.model.done(item, outcome, self.clock.monotonic())

    @precondition(lambda self: self.items)
    @rule(place=st.integers(0, 99), outcome=outcomes)
    def exchange(self, place: int, outcome: Outcome) -> None:
        item = self.items.pop(place % len(self.items))
        # What `exchange` does before it waits.
        following = self.queue._give_back(item, outcome, follows=True)
        self.model.done(item, outcome, self.clock.monotonic())
        self.compare(following)

    @precondition(lambda self: self.items)
    @rule(place=st.integers(0, 99))
    def abandon(self, place: int) -> None:
        item = self.items[place % len(self.items)]
        self.queue.abandon(item)
        self.model.abandoned.add(item.request)
        self.model.line_up()

    @rule(count=st.integers(1, 12), outcome=outcomes)
    def work(self, count: int, outcome: Outcome) -> None:
        for _ in range(count):
            before = len(self.items)
            self.get()
            if len(self.items) > before:
                self.done(before, outcome)

    @rule(after=seconds)
    def advance(self, after: float) -> None:
        self.clock.advance(after)

    @rule(cluster=clusters)
    def purge(self, cluster: str) -> None:
        self.queue.purge(cluster)
        self.model.purge(cluster)

    @rule(cluster=clusters, holder=holders)
    def pause(self, cluster: str, holder: str) -> None:
        self.queue.pause(cluster, holder=holder)
        self.model.pauses.add((cluster, holder))
        self.model.line_up()

    @rule(cluster=clusters, holder=holders)
    def resume(self, cluster: str, holder: str) -> None:
        self.queue.resume(cluster, holder=holder)
        self.model.pauses.discard((cluster, holder))
        self.model.line_up()

    @rule(cluster=clusters, why=st.sampled_from(WHYS))
    def degrade(self, cluster: str, why: str) -> None:
        self.queue.degrade(cluster, why=why)
        self.model.ills.add((cluster, why))
        self.model.line_up()

    @rule(cluster=clusters, why=st.sampled_from(WHYS))
    def recover(self, cluster: str, why: str) -> None:
        self.queue.recover(cluster, why=why)
        self.model.ills.discard((cluster, why))
        self.model.line_up()

    @rule(cluster=clusters, weight=st.integers(1, 3))
    def weigh(self, cluster: str, weight: int) -> None:
        self.queue.weigh(cluster, weight)
        self.model.weights[cluster] = weight
        self.model.extra[cluster] = weight - 1

    @rule(cluster=clusters)
    def resume_all(self, cluster: str) -> None:
        for holder in HOLDERS:
            self.resume(cluster, holder)

    @invariant()
    def agrees(self) -> None:
        type(self).steps += 1
        self.model.promote(self.clock.monotonic())
        assert len(self.queue) == len(self.model.ready)
        assert self.queue.in_flight == len(self.items) == len(self.model.in_work)
        assert {request: self.queue.failures(request) for request in REQUESTS} == {
            request: self.model.failures.get(request, 0) for request in REQUESTS
        }
        for cluster in CLUSTERS:
            assert self.queue.depth(cluster) == self.model.depth(cluster)
            assert self.queue.capped(cluster) == self.model.capped(cluster)
            assert self.queue.holders(cluster) == {holder for name, holder in self.model.pauses if name == cluster}
        standing = {request: self.queue.standing(request) for request in REQUESTS}
        assert {request: None if each is None else each.state for request, each in standing.items()} == {
            request: self.model.state(request) for request in REQUESTS
        }
        assert self.told == self.model.told
        assert self.queue.wait_idle(0) == self.model.idle
        self.queue.check_invariants()

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        self.model.promote(self.clock.monotonic())
        assert self.queue.drain(0) == self.model.idle
        assert self.queue.drain(0) == self.queue.wait_idle(0) == self.model.idle
        self.queue.add(REQUESTS[0])
        assert self.queue.get() is None
        for item in reversed(self.items):
            self.queue.done(item, Outcome.retry())
            self.queue.check_invariants()
        self.clock.advance(100)
        assert (len(self.queue), self.queue.in_flight, self.queue._schedule._shares) == (0, 0, {})
        assert self.queue.wait_in_flight(0)


def test_the_queue_agrees_with_the_model_over_10_000_steps() -> None:
    QueueAgainstModel.steps = 0
    run_state_machine_as_test(
        QueueAgainstModel, settings=settings(max_examples=260, stateful_step_count=50, deadline=None)
    )

    assert QueueAgainstModel.steps >= STEPS
