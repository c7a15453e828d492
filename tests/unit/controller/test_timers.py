from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from kcontroller.api.keys import Key
from kcontroller.controller import Controller, Cron, Every, predicates
from kcontroller.controller.lanes import TRIES
from kcontroller.controller.timers import LONGEST_WAIT, next_time
from kcontroller.errors import BudgetSpent, NotLeader, NotSynced
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, FakeHost, Scripted, document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.controller import Builder
    from kcontroller.controller.raw import RawSource


class Asked:
    """A function for timers, that notes when it was called."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self._changed = threading.Condition()
        self.times: list[datetime] = []
        self.clusters: list[str] = []
        self.fails: list[Exception] = []

    def __call__(self, cluster: Any) -> list[Key]:
        with self._changed:
            self.times.append(self._host.clock.now())
            self.clusters.append(cluster.name)
            self._changed.notify_all()
        if self.fails:
            raise self.fails.pop()
        return [Key("n", "a")]

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.times) >= count, 10), self.times


@pytest.fixture
def asked(host: FakeHost) -> Asked:
    return Asked(host)


def engaged(host: FakeHost, source: RawSource) -> Controller:
    controller = Controller(Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).source(source)), host)
    host.controllers.append(controller)
    for cluster in host.known.values():
        controller.engage(cluster)  # type: ignore[arg-type]
        cluster.synced()
    return controller


def pass_time(host: FakeHost, seconds: float, *, step: float = LONGEST_WAIT / 4) -> None:
    """Let so much time pass, in steps that are shorter than a timer's."""
    while seconds > 0:
        host.clock.wait_for_waiters(max(1, len(host.threads.alive())))
        host.clock.advance(min(seconds, step))
        seconds -= step
    host.clock.wait_for_waiters(len(host.threads.alive()))


# ---- every -----------------------------------------------------------------------------------------------------------


def test_it_asks_when_the_kinds_are_synced_and_then_every_so_many_seconds(host: FakeHost, asked: Asked) -> None:
    controller = engaged(host, Every(300, asked, jitter=0))
    asked.wait_for(1)
    pass_time(host, 299)
    assert len(asked.times) == 1
    pass_time(host, 2)
    asked.wait_for(2)
    eventually(lambda: len(controller.queue) == 1)
    item = controller.queue.get(timeout=0)

    assert item is not None
    assert (item.request.name, item.reasons) == ("a", ("every 300 s",))


def test_it_does_not_ask_before_the_kinds_are_synced(host: FakeHost, cluster: FakeCluster, asked: Asked) -> None:
    controller = Controller(Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).source(Every(60, asked))), host)
    host.controllers.append(controller)
    controller.engage(cluster)  # type: ignore[arg-type]
    host.clock.advance(1000)
    assert asked.times == []
    cluster.synced()
    asked.wait_for(1)


def test_it_need_not_ask_at_the_start(host: FakeHost, asked: Asked) -> None:
    engaged(host, Every(timedelta(minutes=1), asked, at_start=False, jitter=0))
    pass_time(host, 59)
    assert asked.times == []
    pass_time(host, 2)
    asked.wait_for(1)


def test_each_cluster_has_its_own_rounds(host: FakeHost, asked: Asked) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    engaged(host, Every(60, asked))
    asked.wait_for(2)

    assert sorted(asked.clusters) == ["eu", "us"]


def test_calls_of_a_slow_function_do_not_pile_up(host: FakeHost) -> None:
    inside, go_on, calls = threading.Event(), threading.Event(), []

    def slow(_cluster: Any) -> list[Key]:
        calls.append(host.clock.monotonic())
        inside.set()
        go_on.wait(10)
        return []

    engaged(host, Every(60, slow, jitter=0))
    assert inside.wait(10)
    host.clock.advance(1000)
    go_on.set()
    host.clock.wait_for_waiters(1)
    assert len(calls) == 1
    pass_time(host, 61)
    eventually(lambda: len(calls) == 2)


def test_a_call_that_fails_is_made_again(host: FakeHost, asked: Asked) -> None:
    asked.fails = [NotSynced("not yet"), ValueError("odd")]
    controller = engaged(host, Every(3600, asked, jitter=0))
    pass_time(host, 1, step=0.1)
    eventually(lambda: len(controller.queue) == 1)

    assert len(asked.times) == 3


def test_one_that_fails_for_good_comes_again_at_its_next_time(host: FakeHost, asked: Asked) -> None:
    asked.fails = [ValueError("odd")] * TRIES
    controller = engaged(host, Every(300, asked, jitter=0))
    pass_time(host, 500, step=1.0)
    assert (len(asked.times), len(controller.queue)) == (TRIES, 0)
    pass_time(host, 300)
    eventually(lambda: len(controller.queue) == 1)


def test_the_rounds_of_a_cluster_that_has_left_end(host: FakeHost, asked: Asked) -> None:
    controller = engaged(host, Every(60, asked))
    asked.wait_for(1)
    host.clock.wait_for_waiters(1)
    controller.disengage("")
    pass_time(host, 120)

    assert len(asked.times) == 1
    assert controller._mappers._later == []


def test_what_a_timer_names_passes_its_predicates(host: FakeHost, asked: Asked) -> None:
    nobody = predicates.function(lambda event: event.type != "generic")
    setup = Scripted(setup=lambda builder: builder.source(Every(60, asked, jitter=0), predicates=[nobody]))
    controller = Controller(setup, host)
    host.controllers.append(controller)
    controller.engage(host.known[""])  # type: ignore[arg-type]
    asked.wait_for(1)
    pass_time(host, 61)
    asked.wait_for(2)

    assert len(controller.queue) == 0


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Every(0.5, list), "Every needs at least 1 second, got 0.5"),
        (lambda: Every(math.nan, list), "Every needs at least 1 second"),
        (lambda: Every(60, list, jitter=-1), "jitter is a share of the seconds, such as 0.1, got -1"),
        (lambda: Every(60, [Key("n", "a")]), "a timer needs a function that names what to reconcile, got list"),
        (lambda: Cron("* * * * *", None), "a timer needs a function that names what to reconcile, got NoneType"),
        (lambda: Cron("61 * * * *", list), "'61 .*' is not a cron expression .Bad minute.; write it like '0 3"),
        (lambda: Cron("daily", list), "'daily' is not a cron expression"),
        (lambda: Cron("0 0 31 2 *", list), "cron expression"),
        (lambda: Cron("* * */20 * 1L", list), "the time of cron expression '.*' never comes"),
        (lambda: Cron("0 0 * * *", list, zone="Mars/Base"), "'Mars/Base' is not a time zone here"),
        (lambda: Cron("0 0 * * *", list, zone="/etc/x"), "'/etc/x' is not a time zone here"),
    ],
)
def test_a_timer_that_cannot_be_is_refused_where_it_is_written(make: Any, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        make()


# ---- cron ------------------------------------------------------------------------------------------------------------


class SetClock(VirtualClock):
    """Its wall time can be set."""

    shift = timedelta()

    def now(self) -> datetime:
        return super().now() + self.shift


@pytest.fixture
def set_host() -> Iterator[FakeHost]:
    made = FakeHost(clock=SetClock(start=datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)))
    yield made
    made.end()


def test_it_asks_at_the_times_of_its_expression(host: FakeHost, asked: Asked) -> None:
    controller = engaged(host, Cron("*/5 * * * *", asked))
    pass_time(host, 900)
    asked.wait_for(3)

    # Late by less than a step of the test.
    assert [(time.minute, time.second < 15) for time in asked.times] == [(5, True), (10, True), (15, True)]
    item = controller.queue.get(timeout=0)
    assert item is not None
    assert item.reasons[0] == "cron */5 * * * *"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-03-28T12:00", "2026-03-29T03:00:00+02:00"),  # There is no 02:30 in this night.
        ("2026-03-29T03:00", "2026-03-30T02:30:00+02:00"),
        ("2026-10-24T12:00", "2026-10-25T02:30:00+02:00"),  # There are two of them.
        ("2026-10-25T02:30", "2026-10-26T02:30:00+01:00"),
    ],
)
def test_an_hour_that_summer_time_skips_or_repeats_counts_once(after: str, expected: str) -> None:
    zone = ZoneInfo("Europe/Paris")

    assert next_time("30 2 * * *", datetime.fromisoformat(after).replace(tzinfo=zone)).isoformat() == expected


def test_the_time_is_that_of_its_zone(set_host: FakeHost) -> None:
    asked = Asked(set_host)
    engaged(set_host, Cron("30 13 * * *", asked, zone="Europe/Paris"))  # Half an hour from now.
    pass_time(set_host, 1800)
    asked.wait_for(1)

    assert asked.times[0].replace(second=0) == datetime(2026, 3, 28, 12, 30, tzinfo=UTC)


def test_a_clock_that_is_set_forward_makes_up_once_for_what_was_due(set_host: FakeHost) -> None:
    asked = Asked(set_host)
    engaged(set_host, Cron("0 * * * *", asked))
    pass_time(set_host, 60)
    set_host.clock.shift = timedelta(hours=5)
    pass_time(set_host, 2 * LONGEST_WAIT)
    asked.wait_for(1)

    assert len(asked.times) == 1


def test_a_clock_that_is_set_back_is_believed(set_host: FakeHost) -> None:
    asked = Asked(set_host)
    set_host.clock.shift = timedelta(days=300)
    engaged(set_host, Cron("0 * * * *", asked))
    pass_time(set_host, 60)
    set_host.clock.shift = timedelta()
    pass_time(set_host, 3600)
    asked.wait_for(1)

    assert asked.times[0].replace(second=0) == datetime(2026, 3, 28, 13, tzinfo=UTC)


def test_it_may_ask_at_the_start(host: FakeHost, asked: Asked) -> None:
    engaged(host, Cron("0 0 1 1 *", asked, at_start=True))
    asked.wait_for(1)


# ---- leader election -------------------------------------------------------------------------------------------------


def no_leader() -> None:
    raise NotLeader("another process leads")


def test_a_timer_does_not_ask_before_the_process_leads(host: FakeHost, asked: Asked) -> None:
    host.guard = no_leader
    controller = engaged(host, Every(60, asked))
    host.clock.advance(1000)
    assert host.mappers.idle
    assert asked.times == []

    host.guard = lambda: None
    controller.start(host.threads)
    asked.wait_for(1)


def test_a_timer_of_a_cluster_that_left_before_the_process_led_never_asks(
    host: FakeHost, cluster: FakeCluster, asked: Asked
) -> None:
    host.guard = no_leader
    controller = engaged(host, Every(60, asked))
    controller.disengage("")
    host.guard = lambda: None
    controller.start(host.threads)
    controller.engage(cluster)  # type: ignore[arg-type]
    cluster.synced()
    asked.wait_for(1)
    host.clock.wait_for_waiters(1)

    assert len(asked.times) == 1


def test_where_all_processes_work_a_timer_asks_at_once(host: FakeHost, asked: Asked) -> None:
    host.guard = no_leader

    def setup(builder: Builder) -> None:
        builder.for_(CONFIG_MAP).source(Every(60, asked)).options(needs_leader_election=False)

    controller = Controller(Scripted(setup=setup), host)
    host.controllers.append(controller)
    controller.engage(host.known[""])  # type: ignore[arg-type]
    host.known[""].synced()
    asked.wait_for(1)


def test_what_a_timer_writes_keeps_to_the_terms_of_its_controller(host: FakeHost, cluster: FakeCluster) -> None:
    host.guard = lambda: None
    given: list[Any] = []

    def to(each: Any) -> list[Key]:
        _ = each.client
        given.append(each)
        return []

    controller = engaged(host, Every(60, to))
    controller.start(host.threads)
    eventually(lambda: len(given) == 1)
    (field_owner, stop, _), guard = cluster.clients[-1], cluster.guards[-1]
    assert field_owner == controller.name
    assert guard is not None
    assert guard() is None
    host.guard = no_leader
    with pytest.raises(NotLeader):
        guard()
    assert stop is not None
    controller.interrupt()
    assert stop.stopped


def test_a_timer_spends_the_budget_of_its_controller(host: FakeHost, cluster: FakeCluster) -> None:
    refused: list[BaseException] = []

    def to(each: Any) -> list[Key]:
        for name in ("a", "b"):
            try:
                each.client.delete(CONFIG_MAP, Key("default", name))
            except BudgetSpent as error:
                refused.append(error)
        return []

    for name in ("a", "b"):
        cluster.server.put(document(name))

    def setup(builder: Builder) -> None:
        builder.for_(CONFIG_MAP).source(Every(60, to)).options(delete_budget="1/10m")

    controller = Controller(Scripted(setup=setup), host)
    host.controllers.append(controller)
    controller.engage(cluster)  # type: ignore[arg-type]
    cluster.synced()
    eventually(lambda: len(refused) == 1)

    assert [write.key.name for write in cluster.server.writes] == ["a"]
