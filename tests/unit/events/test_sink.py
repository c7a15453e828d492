from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import Invalid, NotLeader, ServerError
from kcontroller.events.bodies import Names
from kcontroller.events.correlation import Record
from kcontroller.events.sink import LOOK_AGAIN_SECONDS, QUIET_SECONDS, Sink
from kcontroller.process.stop import Deadline, StopToken
from tests.unit.events.fakes import NAMESPACES, MemoryCluster, at, event, node, pod, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.testing.clock import VirtualClock

EVENTS, CORE = "/apis/events.k8s.io/v1/namespaces", "/api/v1/namespaces"


class Bench:
    """A sink and its cluster."""

    def __init__(self, clock: VirtualClock, **options: Any) -> None:
        self.clock = clock
        self.cluster = MemoryCluster(clock, **options)
        self.sink = Sink(self.cluster, Names(), hostname="host", clock=clock)

    def send(self, record: Record, *, guard: Callable[[], None] | None = None) -> str:
        deadline = Deadline.after(5, clock=self.clock)
        result = self.sink.send(record, stop=StopToken(clock=self.clock), deadline=deadline, guard=guard)
        if result == "sent":
            record.told = record.count
        return result


@pytest.fixture
def bench(clock: VirtualClock) -> Bench:
    return Bench(clock)


def record(obj: Any = None, **fields: Any) -> Record:
    return Record(event(obj=obj or pod()), "widget", (), "hello", at(0), at(0), 0, 0, **fields)


def repeat(one: Record) -> Record:
    one.count += 1
    return one


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level]


def test_an_event_is_made_once_and_its_series_patched(bench: Bench) -> None:
    one = record()
    assert bench.send(one) == "sent"
    assert bench.send(repeat(one)) == "sent"

    assert bench.cluster.asked == [f"POST {EVENTS}/team/events", f"PATCH {EVENTS}/team/events/{one.name}"]
    (stored,) = bench.cluster.events("team")
    assert stored["series"]["count"] == 2
    assert (stored["reportingController"], stored["reportingInstance"]) == ("widget", "widget-host")


def test_a_server_that_hascore_only_is_asked_for_the_other_api_once_an_hour(clock: VirtualClock) -> None:
    bench = Bench(clock, core_only=True)
    one = record()
    bench.send(one)
    bench.send(repeat(one))

    assert bench.cluster.asked == [f"POST {CORE}/team/events", f"PATCH {CORE}/team/events/{one.name}"]
    (stored,) = bench.cluster.events("team")
    assert (stored["count"], stored["source"]) == (2, {"component": "widget"})
    assert not bench.sink.series
    bench.cluster.core_only = False
    clock.advance(LOOK_AGAIN_SECONDS)
    assert bench.sink.series
    bench.send(record())
    assert bench.cluster.asked[-1] == f"POST {EVENTS}/team/events"


def test_an_api_that_goes_away_is_left(bench: Bench) -> None:
    bench.send(record())
    bench.cluster.core_only = True
    bench.send(record())

    assert bench.cluster.asked[-1] == f"POST {CORE}/team/events"


def test_an_event_that_is_there_already_is_sent(bench: Bench) -> None:
    one = record()
    bench.send(one)
    one.told = 0

    assert bench.send(one) == "sent"
    assert len(bench.cluster.events()) == 1


def test_an_event_that_expired_is_made_anew_with_its_count(bench: Bench) -> None:
    one = record()
    bench.send(one)
    bench.cluster.expire()
    one.count = 7

    assert bench.send(one) == "sent"
    (stored,) = bench.cluster.events()
    assert stored["series"]["count"] == 7


@pytest.mark.parametrize("core_only", [False, True])
def test_events_of_cluster_scoped_objects_live_in_default(clock: VirtualClock, *, core_only: bool) -> None:
    bench = Bench(clock, core_only=core_only)
    bench.send(record(node()))

    assert [each["metadata"]["namespace"] for each in bench.cluster.events()] == ["default"]


@pytest.mark.parametrize("core_only", [False, True])
def test_without_default_they_live_in_kube_system_until_it_is_there(clock: VirtualClock, *, core_only: bool) -> None:
    bench = Bench(clock, core_only=core_only, namespaces=("kube-system", "team"))
    for _ in range(3):
        assert bench.send(record(node())) == "sent"
    assert sum("/default/" in each for each in bench.cluster.asked) == 1
    assert len(bench.cluster.events("kube-system")) == 3

    bench.cluster.hidden = set()
    clock.advance(QUIET_SECONDS)
    bench.send(record(node()))
    assert len(bench.cluster.events("default")) == 1


def test_without_either_they_are_dropped_and_tried_again_later(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kcontroller.events")
    bench = Bench(clock, namespaces=("team",))
    for _ in range(2):
        assert [bench.send(record(node())) for _ in range(3)] == ["dropped"] * 3
        assert len(bench.cluster.asked) == 2
        bench.cluster.asked.clear()
        clock.advance(QUIET_SECONDS)

    assert lines(caplog, logging.INFO) == ["events are dropped: namespace kube-system is missing"]
    assert bench.send(record()) == "sent"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (status(404, "NotFound"), "is missing"),
        (status(403, "Forbidden", cause="NamespaceTerminating"), "is being deleted"),
    ],
)
def test_a_namespace_that_is_missing_or_goes_is_said_once_and_left_alone_for_minutes(
    bench: Bench, caplog: pytest.LogCaptureFixture, answer: Any, why: str
) -> None:
    caplog.set_level(logging.DEBUG, "kcontroller.events")
    bench.cluster.answer = lambda request, _stop: answer if "/team/" in request.target else None
    assert [bench.send(record()) for _ in range(5)] == ["dropped"] * 5
    assert bench.send(record(pod(namespace="default"))) == "sent"
    assert sum("/team/" in each for each in bench.cluster.asked) == 1
    bench.clock.advance(QUIET_SECONDS)
    assert bench.send(record()) == "dropped"
    assert lines(caplog, logging.INFO) == [f"events are dropped: namespace team {why}"]


def test_a_missing_right_is_named_and_not_tried_again_for_minutes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.cluster.answer = lambda _request, _stop: status(403, "Forbidden")
    for namespace in NAMESPACES:
        assert [bench.send(record(pod(namespace=namespace))) for _ in range(3)] == ["failed"] * 3
    assert len(bench.cluster.asked) == len(NAMESPACES)
    (line,) = lines(caplog, logging.WARNING)
    assert line.startswith(
        'events cannot be written; grant create and patch on "events" of API group "events.k8s.io": '
        "create events.events.k8s.io: 403 Forbidden"
    )
    bench.clock.advance(QUIET_SECONDS)
    bench.cluster.answer = lambda _request, _stop: None
    assert bench.send(record()) == "sent"


def test_a_right_to_create_is_used_where_that_to_patch_is_missing(bench: Bench) -> None:
    bench.cluster.answer = lambda request, _stop: status(403, "Forbidden") if request.method == "PATCH" else None
    one = record()
    bench.send(one)
    assert bench.send(repeat(one)) == "failed"

    assert bench.send(record()) == "sent"


@pytest.mark.parametrize(("code", "error"), [(500, ServerError), (422, Invalid)])
def test_other_answers_are_the_callers(bench: Bench, code: int, error: type[Exception]) -> None:
    bench.cluster.answer = lambda _request, _stop: status(code)

    with pytest.raises(error):
        bench.send(record())


def test_the_guard_is_asked_before_each_write(bench: Bench) -> None:
    def refuse() -> None:
        raise NotLeader("lost")

    with pytest.raises(NotLeader):
        bench.send(record(), guard=refuse)
    assert bench.cluster.asked == []


def test_a_hostile_namespace_leaves_no_path(bench: Bench) -> None:
    with pytest.raises(ValueError, match="cannot be part of a path"):
        bench.send(record(pod(namespace="../secrets")))
    assert bench.cluster.asked == []


def test_a_hostile_object_name_is_in_the_body_alone(bench: Bench) -> None:
    bodies: list[Any] = []
    bench.cluster.answer = lambda request, _stop: bodies.append(json.loads(request.body or b"")) or None
    bench.send(record(pod("../../x?dryRun=All")))

    assert bench.cluster.asked == [f"POST {EVENTS}/team/events"]
    assert bodies[0]["regarding"]["name"] == "../../x?dryRun=All"
    assert bodies[0]["metadata"]["name"].startswith("x-dryrun-all.")
