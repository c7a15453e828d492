from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConnectFailed, NotLeader, OutcomeUnknown
from kcontroller.events import Broadcaster
from kcontroller.events.broadcaster import LANE_LIMIT, THREADS
from kcontroller.events.correlation import FINISH_SECONDS
from kcontroller.events.lane import BACKOFF, REQUEST_SECONDS, TRIES
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.polling import eventually
from tests.unit.events.fakes import MemoryCluster, pod, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.process.stop import StopToken
    from kcontroller.testing.clock import VirtualClock


class Bench:
    """A broadcaster that runs, on a clock that stands."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.metrics = Metrics()
        self.failures: list[Any] = []
        self.threads = ThreadGroup(on_failure=lambda *failure: self.failures.append(failure))
        self.broadcaster = Broadcaster(clock=clock, metrics=self.metrics)

    def cluster(self, name: str = "eu", **options: Any) -> MemoryCluster:
        return MemoryCluster(self.clock, name=name, **options)

    def record(self, cluster: MemoryCluster, *messages: str, obj: Any = None, **options: Any) -> None:
        recorder = self.broadcaster.recorder(cluster, "widget", **options)
        for message in messages:
            recorder.event(obj or pod(), "Normal", "Said", message)

    def count(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("kcontroller_events_total", {"result": result}) or 0.0

    def waiting(self, cluster: MemoryCluster) -> int:
        return len(self.broadcaster._lanes[cluster].waiting)

    def all_rest(self) -> None:
        """Wait until nothing is left to do now."""
        eventually(lambda: not any(lane.queued for lane in self.broadcaster._lanes.values()))

    def end(self) -> None:
        self.broadcaster.stop(0)
        assert self.threads.join(5) == ()
        assert self.failures == []


@pytest.fixture
def bench(clock: VirtualClock) -> Iterator[Bench]:
    made = Bench(clock)
    made.broadcaster.start(made.threads)
    yield made
    made.end()


def notes(cluster: MemoryCluster) -> list[str]:
    return [each["note"] for each in cluster.events()]


def hang(_request: Any, stop: StopToken | None) -> None:
    assert stop is not None
    stop.wait()
    stop.raise_if_stopped()


def test_events_are_sent_in_order_by_threads_of_its_own(bench: Bench) -> None:
    cluster = bench.cluster()
    assert bench.threads.alive() == ()
    bench.record(cluster, *"abcde")

    eventually(lambda: notes(cluster) == [*"abcde"])
    assert bench.threads.alive() == ("kc-events-0", "kc-events-1")
    assert cluster.threads <= {"kc-events-0", "kc-events-1"}
    bench.all_rest()
    assert bench.count("sent") == 5


def test_an_event_that_comes_when_a_turn_ends_is_not_left(bench: Bench) -> None:
    cluster = bench.cluster()
    take, late = bench.broadcaster._next_of, ["late"]

    def take_and_be_late(lane: Any) -> Any:
        occurrence = take(lane)
        if occurrence is None and late:
            bench.record(cluster, late.pop())
        return occurrence

    bench.broadcaster._next_of = take_and_be_late  # type: ignore[method-assign]
    bench.record(cluster, "early")

    eventually(lambda: notes(cluster) == ["early", "late"])


@pytest.mark.parametrize("given", [0, 1])
def test_a_system_without_threads_to_give_is_asked_again_at_the_next_event(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    cluster = bench.cluster()
    spawned: list[str] = []
    spawn = bench.threads.spawn

    def few(role: str, key: str, target: Any) -> threading.Thread:
        if len(spawned) == given:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        spawned.append(key)
        return spawn(role, key, target)

    monkeypatch.setattr(bench.threads, "spawn", few)
    bench.record(cluster, "a")
    if not given:
        monkeypatch.undo()
    bench.record(cluster, "b")
    eventually(lambda: notes(cluster) == ["a", "b"])

    assert len(bench.threads.alive()) == (given or THREADS)


def test_events_of_before_the_start_wait_for_it(clock: VirtualClock) -> None:
    bench = Bench(clock)
    cluster = bench.cluster()
    bench.record(cluster, "early")
    assert bench.threads.alive() == ()
    bench.broadcaster.start(bench.threads)

    eventually(lambda: notes(cluster) == ["early"])
    bench.end()


def test_each_event_is_counted_once_by_what_became_of_it(bench: Bench) -> None:
    cluster = bench.cluster()
    bench.record(cluster, *["same"] * 10)
    bench.all_rest()
    assert [bench.count(result) for result in ("sent", "aggregated")] == [2, 8]
    for number in range(60):
        bench.record(cluster, f"{number}", obj=pod(f"p{number % 2}"))
    bench.all_rest()

    names = ("sent", "aggregated", "filtered", "dropped", "failed")
    assert sum(bench.count(result) for result in names) == 70
    assert bench.count("aggregated") > 8


def test_a_running_series_tells_its_count_when_it_ends(bench: Bench) -> None:
    cluster = bench.cluster()
    bench.record(cluster, *["same"] * 10)
    bench.all_rest()
    (stored,) = cluster.events()
    assert stored["series"]["count"] == 2
    bench.clock.wait_for_waiters(2)
    bench.clock.advance(FINISH_SECONDS)

    eventually(lambda: cluster.events()[0]["series"]["count"] == 10)


def test_a_cluster_that_answers_again_gets_what_waited(bench: Bench) -> None:
    cluster = bench.cluster()
    answers = [status(503), status(500), status(429), None]
    cluster.answer = lambda _request, _stop: answers.pop(0) if answers else None
    bench.record(cluster, "first", "second")
    for number in range(3):
        eventually(lambda done=3 - number: len(answers) == done)  # type: ignore[misc]
        bench.clock.wait_for_waiters(2)
        bench.clock.advance(BACKOFF.cap * 2)

    eventually(lambda: notes(cluster) == ["first", "second"])
    bench.all_rest()
    assert (bench.count("sent"), bench.count("failed")) == (2, 0)


def test_an_event_is_given_up_after_a_few_tries_and_the_log_says_so_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "kcontroller.events")
    cluster = bench.cluster()

    def refuse(_request: Any, _stop: Any) -> None:
        raise ConnectFailed("refused")

    cluster.answer = refuse
    bench.record(cluster, "a", "b")
    for tries in range(1, 2 * TRIES + 1):
        eventually(lambda tries=tries: len(cluster.asked) == tries)  # type: ignore[misc]
        bench.clock.wait_for_waiters(2)
        bench.clock.advance(BACKOFF.cap * 2)
    bench.all_rest()

    assert bench.count("failed") == 2
    assert [each.getMessage() for each in caplog.records] == ["events are lost: refused"]


def test_a_cluster_that_failed_and_rests_is_asked_again_at_the_next_event(bench: Bench) -> None:
    cluster = bench.cluster()
    bench.record(cluster, "remembered")
    bench.all_rest()
    cluster.answer = lambda _request, _stop: status(503)
    bench.record(cluster, "lost")
    for tries in range(1, TRIES + 1):
        eventually(lambda tries=tries: len(cluster.asked) == 1 + tries)  # type: ignore[misc]
        bench.clock.wait_for_waiters(2)
        bench.clock.advance(BACKOFF.cap * 2)
    bench.all_rest()
    cluster.answer = lambda _request, _stop: None
    bench.record(cluster, "well again")

    eventually(lambda: notes(cluster) == ["remembered", "well again"])


def test_what_is_refused_for_good_is_not_tried_again(bench: Bench) -> None:
    cluster = bench.cluster()
    cluster.answer = lambda _request, _stop: status(422, "Invalid")
    bench.record(cluster, "a")
    bench.all_rest()

    assert len(cluster.asked) == 1
    assert bench.count("failed") == 1


def test_a_create_whose_answer_was_lost_makes_one_event(bench: Bench) -> None:
    cluster = bench.cluster()

    def lose(request: Any, stop: Any) -> None:
        cluster.answer = lambda _request, _stop: None
        cluster._server.send(request, stop=stop)
        raise OutcomeUnknown("lost")

    cluster.answer = lose
    bench.record(cluster, "a")
    eventually(lambda: len(cluster.asked) == 1)
    bench.clock.wait_for_waiters(2)
    bench.clock.advance(BACKOFF.cap)
    eventually(lambda: len(cluster.asked) == 2)
    bench.all_rest()

    assert notes(cluster) == ["a"]
    assert bench.count("sent") == 1


def test_without_the_lease_nothing_is_sent(bench: Bench) -> None:
    def refuse() -> None:
        raise NotLeader("the lease may have passed")

    cluster = bench.cluster()
    bench.record(cluster, "a", "b", guard=refuse)
    bench.all_rest()

    assert cluster.asked == []
    assert bench.count("dropped") == 2


def test_clusters_that_hang_do_not_hold_up_one_that_answers(bench: Bench) -> None:
    stuck = [bench.cluster(f"stuck-{number}") for number in range(5)]
    for each in stuck:
        each.answer = hang
        bench.record(each, *"abcde")

    def all_have_failed() -> bool:
        bench.clock.advance(REQUEST_SECONDS)  # Each may hold a thread for so long once; then they share one.
        return all(lane.failures for lane in bench.broadcaster._lanes.values())

    eventually(all_have_failed)
    well = bench.cluster("well")
    for number in range(50):
        bench.record(well, f"{number}", obj=pod(f"p{number}"))

    eventually(lambda: len(notes(well)) == 50, within=5)


@pytest.mark.parametrize("known", [False, True], ids=["their first events", "they answered before"])
def test_many_clusters_that_begin_to_hang_at_once_hold_up_the_others_for_seconds(bench: Bench, *, known: bool) -> None:
    stuck = [bench.cluster(f"stuck-{number}") for number in range(40)]
    well = [bench.cluster(f"well-{number}") for number in range(10)]
    if known:
        for each in (*stuck, *well):
            bench.record(each, "before")
        bench.all_rest()
    for each in stuck:
        each.answer = hang
    began = bench.clock.monotonic()
    for each in (*stuck, *well):
        bench.record(each, "during", obj=pod("b"))
    bench.clock.register(*(each for each in threading.enumerate() if each.name.startswith("kc-events")))

    while not all("during" in notes(each) for each in well):
        assert bench.clock.jump()
    assert bench.clock.monotonic() - began <= 6
    while not all(lane.failures for target, lane in bench.broadcaster._lanes.items() if target in stuck):
        assert bench.clock.jump()
    for each in well:
        bench.record(each, "after", obj=pod("c"))
    eventually(lambda: all("after" in notes(each) for each in well))  # The clock stands.
    assert bench.count("sent") == (70 if known else 20)


def test_a_cluster_that_is_known_to_be_slow_keeps_its_time_while_others_begin_to_hang(bench: Bench) -> None:
    slow = bench.cluster("slow")

    def in_half_a_second(_request: Any, stop: StopToken | None) -> None:
        assert stop is not None
        stop.wait(0.5)
        stop.raise_if_stopped()

    slow.answer = in_half_a_second
    bench.record(slow, "before")
    bench.clock.register(*(each for each in threading.enumerate() if each.name.startswith("kc-events")))
    while not notes(slow):
        assert bench.clock.jump()
    for number in range(10):
        stuck = bench.cluster(f"stuck-{number}")
        stuck.answer = hang
        bench.record(stuck, "lost")
    bench.record(slow, "during", obj=pod("b"))
    while len(notes(slow)) < 2:
        assert bench.clock.jump()

    assert len(slow.asked) == 2


def test_a_lane_that_is_full_keeps_the_newest(bench: Bench) -> None:
    cluster = bench.cluster()
    cluster.answer = hang
    bench.record(cluster, *map(str, range(LANE_LIMIT + 200)))

    assert bench.waiting(cluster) == LANE_LIMIT
    assert bench.count("dropped") in {199, 200}  # One may be under way.
    assert bench.broadcaster._lanes[cluster].waiting[-1].event.message == "1199"


def test_the_room_is_shared_by_all_clusters(clock: VirtualClock) -> None:
    bench = Bench(clock)  # Not started: everything waits.
    clusters = [bench.cluster() for _ in range(40)]
    for each in clusters:
        bench.record(each, *map(str, range(600)))

    assert bench.waiting(clusters[-1]) == 400
    bench.broadcaster.stop(0)


def test_a_stop_sends_what_waits_and_the_counts_of_series(bench: Bench) -> None:
    cluster = bench.cluster()
    gate = threading.Event()
    cluster.answer = lambda _request, _stop: gate.wait(10) and None  # type: ignore[func-returns-value]
    bench.record(cluster, *["same"] * 5, "other")
    eventually(lambda: len(cluster.asked) == 1)
    stopping = threading.Thread(target=bench.broadcaster.stop, args=(60,))
    stopping.start()
    bench.clock.wait_for_waiters(2)
    gate.set()
    stopping.join(10)

    assert not stopping.is_alive()
    assert sorted((each["note"], each.get("series", {}).get("count")) for each in cluster.events()) == [
        ("other", None),
        ("same", 5),
    ]


def test_a_stop_gives_a_cluster_in_backoff_one_more_try(bench: Bench) -> None:
    cluster = bench.cluster()
    cluster.answer = lambda _request, _stop: status(503)
    bench.record(cluster, "a")
    eventually(lambda: bench.broadcaster._lanes[cluster].failures == 1)
    bench.clock.wait_for_waiters(2)
    cluster.answer = lambda _request, _stop: None
    bench.broadcaster.stop(60)

    assert notes(cluster) == ["a"]


def test_a_stop_ends_in_its_time_while_a_cluster_hangs(bench: Bench) -> None:
    cluster = bench.cluster()
    cluster.answer = hang
    bench.record(cluster, *"abc")
    eventually(lambda: len(cluster.asked) == 1)
    stopping = threading.Thread(target=bench.broadcaster.stop, args=(1.0,))
    stopping.start()
    bench.clock.wait_for_waiters(3)
    bench.clock.advance(1.0)
    stopping.join(10)

    assert not stopping.is_alive()
    assert bench.threads.join(5) == ()
    eventually(lambda: bench.count("dropped") == 3)


def test_after_the_stop_events_are_dropped_and_counted(bench: Bench) -> None:
    cluster = bench.cluster()
    bench.broadcaster.stop(1)
    bench.record(cluster, "late")

    assert bench.count("dropped") == 1
    assert bench.threads.alive() == ()


def test_a_cluster_that_left_is_forgotten_with_what_waited(bench: Bench) -> None:
    cluster = bench.cluster()
    cluster.answer = hang
    bench.record(cluster, *"abc")
    eventually(lambda: len(cluster.asked) == 1)
    cluster.leaving.stop("it left")
    bench.broadcaster.forget(cluster)
    bench.record(cluster, "late")
    bench.clock.wait_for_waiters(2)
    bench.clock.advance(REQUEST_SECONDS)

    eventually(lambda: bench.count("dropped") == 4)
    assert bench.broadcaster._lanes == {}
    assert len(cluster.asked) == 1


def test_an_event_that_is_taken_while_its_cluster_leaves_keeps_nothing_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that a reconcile left behind; the fleet is faster by one lock."""
    cluster = bench.cluster()

    class Slow(threading.Condition):
        def __enter__(self) -> bool:
            if not cluster.leaving.stopped:
                cluster.leaving.stop("it left")
                bench.broadcaster.forget(cluster)
            return super().__enter__()

    monkeypatch.setattr(bench.broadcaster, "_changed", Slow())
    bench.record(cluster, "late")

    assert bench.broadcaster._lanes == {}
    assert bench.count("dropped") == 1


def test_a_cluster_that_comes_back_is_another_one(bench: Bench) -> None:
    first, second = bench.cluster("eu"), bench.cluster("eu")
    bench.record(first, "a")
    bench.all_rest()
    bench.broadcaster.forget(first)
    bench.record(second, "a")
    bench.all_rest()

    assert notes(first) == notes(second) == ["a"]
