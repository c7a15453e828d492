from __future__ import annotations

import gc
import itertools
import logging
import re
import threading
import weakref
from typing import Any, NamedTuple

import pytest

from kcontroller.api.keys import Request
from kcontroller.controller import Builder, Context, Controller, Result
from kcontroller.controller.tally import Tally
from kcontroller.errors import (
    ClusterNotFound,
    ClusterSuspended,
    ClusterUnavailable,
    NotLeader,
    NotSynced,
    StaleRead,
    Stopped,
    TerminalError,
    Wait,
)
from kcontroller.process.backoff import RECONCILE
from kcontroller.testing.polling import eventually
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, FakeHost, Scripted, added, entry

LABELS = ("success", "error", "requeue", "requeue_after")
A = Request("", "default", "a")


class Boom(Exception):
    pass


def wrapped_terminal(_ctx: Context, _request: Request) -> None:
    try:
        raise TerminalError("no use")  # noqa: TRY301 - for its cause
    except TerminalError as error:
        raise Boom("wrapped") from error


def raising(error: BaseException) -> Any:
    def act(_ctx: Context, _request: Request) -> None:
        raise error

    return act


def giving(value: Any) -> Any:
    return lambda _ctx, _request: value


def started(host: FakeHost, scripted: Scripted, **options: Any) -> Controller:
    controller = host.run(Controller(scripted, host, **options))
    for cluster in host.known.values():
        cluster.synced()
    return controller


def settle(controller: Controller, host: FakeHost) -> None:
    """Wait until no reconcile runs and the worker waits for the next item, so that all has been counted and logged."""
    assert controller.queue.wait_idle(10)
    host.clock.wait_for_waiters(1)


def totals(host: FakeHost) -> dict[str, float]:
    found = {
        label: host.metric("controller_runtime_reconcile_total", controller="scripted", result=label)
        for label in LABELS
    }
    return {label: value for label, value in found.items() if value}


def counted(host: FakeHost, what: str) -> float:
    return host.metric(f"controller_runtime_{what}_total", controller="scripted")


# ---- the table, row by row -------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """What a reconcile does, and what follows.

    `again` is in so many seconds, None for not at all; `counts` are the counters besides `reconcile_total` that say
    one; `lines` are what the log says from INFO on, as "level: message (then)".
    """

    act: Any
    label: str
    again: float | None = None
    failures: int = 0
    counts: frozenset[str] = frozenset()
    lines: tuple[str, ...] = ()


def error_of(act: Any, text: str, *others: str) -> Row:
    counts = frozenset(("reconcile_errors", *others))
    return Row(act, "error", 0.005, 1, counts, (f"error: Reconciler error: {text} (retry 1)",))


def terminal(act: Any, text: str) -> Row:
    counts = frozenset(("reconcile_errors", "terminal_reconcile_errors"))
    return Row(act, "error", counts=counts, lines=(f"error: Reconciler error: {text} (no retry)",))


def overdue(ctx: Context, _request: Request) -> None:
    ctx.stop.clock.advance(TIMEOUT)  # type: ignore[attr-defined]
    ctx.check()


def overdue_and_fine(ctx: Context, _request: Request) -> None:
    ctx.stop.clock.advance(TIMEOUT)  # type: ignore[attr-defined]


class Unsayable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)  # Not even an Exception.


class UnsayableStaleRead(StaleRead, Unsayable):
    pass


class Unaskable(Wait):
    @property
    def why(self) -> str:
        raise LookupError("no reason")

    @why.setter
    def why(self, _value: str) -> None: ...


TIMEOUT = 5.0
NO_TEXT = "(its text cannot be had: SystemExit)"

ROWS: dict[str, Row] = {
    "None": Row(giving(None), "success"),
    "Result()": Row(giving(Result()), "success"),
    "requeue_after=0": Row(giving(Result(requeue_after=0)), "success"),
    "requeue_after": Row(giving(Result(requeue_after=30)), "requeue_after", 30.0),
    "requeue": Row(giving(Result(requeue=True)), "requeue", 0.005, 1),
    "Wait": Row(
        raising(Wait(after=10, why="no database")), "requeue_after", 10.0, lines=("info: waiting: no database",)
    ),
    "Wait without a time": Row(raising(Wait(after=0)), "requeue", 0.005, 1),
    "Wait that cannot be said": Row(
        raising(Wait(after=10, why=Unsayable())),  # type: ignore[arg-type]
        "requeue_after",
        10.0,
        lines=(f"info: waiting: {NO_TEXT}",),
    ),
    "Wait that cannot be asked": error_of(raising(Unaskable(after=10)), "Unaskable: "),
    "StaleRead": Row(raising(StaleRead("behind")), "requeue", 0.005, 1, lines=("info: waiting: behind",)),
    "StaleRead that cannot be said": Row(
        raising(UnsayableStaleRead()), "requeue", 0.005, 1, lines=(f"info: waiting: {NO_TEXT}",)
    ),
    "NotSynced": Row(raising(NotSynced("not yet")), "requeue", 0.005, 1, lines=("info: waiting: not yet",)),
    "TerminalError": terminal(raising(TerminalError("no use")), "TerminalError: no use"),
    "caused by TerminalError": terminal(wrapped_terminal, "Boom: wrapped"),
    "error": error_of(raising(Boom("x")), "Boom: x"),
    "error that cannot be said": error_of(raising(Unsayable()), f"Unsayable: {NO_TEXT}"),
    "time-out": error_of(overdue, "Stopped: its time is over", "reconcile_timeouts"),
    "late, but fine": Row(overdue_and_fine, "success", counts=frozenset(("reconcile_timeouts",))),
    "SystemExit": error_of(raising(SystemExit(2)), "SystemExit: 2", "reconcile_panics"),
    "KeyboardInterrupt": error_of(raising(KeyboardInterrupt()), "KeyboardInterrupt: ", "reconcile_panics"),
    "GeneratorExit": error_of(raising(GeneratorExit()), "GeneratorExit: ", "reconcile_panics"),
    "wrong type": error_of(giving("done"), "TypeError: reconcile must return a Result or None, got str"),
    "endless wait": error_of(raising(Wait(after=float("inf"))), "Wait: "),
    "another cluster that is gone": Row(
        raising(ClusterNotFound("gone")), "requeue", 0.005, 1, lines=("info: waiting: gone",)
    ),
    "cluster that is away": Row(
        raising(ClusterUnavailable("p2 is away", retry_after=7.0)),
        "requeue_after",
        7.0,
        lines=("info: waiting: p2 is away",),
    ),
    "suspended cluster": Row(
        raising(ClusterSuspended("p2 is suspended", status=403, retry_after=30.0)),
        "requeue_after",
        30.0,
        lines=("info: waiting: 403: p2 is suspended",),
    ),
}


def line_of(record: Any) -> str:
    return f"{record['level']}: {record['msg']}" + (f" ({record['then']})" if "then" in record else "")


COUNTERS = ("reconcile_errors", "terminal_reconcile_errors", "reconcile_panics", "reconcile_timeouts")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_follows_from_a_reconcile_for_the_queue_the_metrics_and_the_log(
    host: FakeHost, records: Any, row: Row
) -> None:
    scripted = Scripted(row.act)
    controller = started(host, scripted, reconcile_timeout=TIMEOUT)
    controller.queue.add(A, reason="ConfigMap added", priority=7)
    settle(controller, host)

    assert scripted.calls == [A]
    standing = controller.queue.standing(A)
    if row.again is None:
        assert standing is None
    else:
        assert standing is not None
        assert (standing.state, standing.priority, standing.failures) == ("delayed", 7, row.failures)
        assert standing.due - host.clock.monotonic() == pytest.approx(row.again)
    assert controller.queue.failures(A) == row.failures

    assert totals(host) == {row.label: 1.0}
    result = "error" if row.label == "error" else "success"
    assert host.metric("kcontroller_cluster_reconciles_total", cluster="", result=result) == 1
    assert host.metric("controller_runtime_reconcile_time_seconds_count", controller="scripted") == 1
    assert {name for name in COUNTERS if counted(host, name)} == row.counts
    assert all(counted(host, name) in {0, 1} for name in COUNTERS)

    said = [each for each in records() if "reconcileID" in each and each["level"] != "debug"]
    assert tuple(map(line_of, said)) == row.lines
    assert host.failures == []


def test_a_worker_that_dies_names_its_request_and_gives_it_up(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last row: the process ends by it (`tests/unit/manager`), and does not wait for the item before."""
    host = FakeHost(FakeCluster("eu"))
    scripted = Scripted()
    controller = started(host, scripted)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Tally, "ended", fail)
    controller.queue.add(Request("eu", "default", "a"))
    eventually(lambda: host.failures)
    ((thread, error),) = host.failures

    assert (thread, type(error)) == ("kc-worker-scripted-0", MemoryError)
    assert controller.drained(0)
    assert controller.queue.standing(Request("eu", "default", "a")) is None
    assert totals(host) == {}
    (line,) = (each for each in records() if each["level"] == "error")
    assert line["msg"] == "kc-worker-scripted-0 dies of this request: MemoryError: no room"
    assert (line["controller"], line["cluster"], line["namespace"], line["name"]) == ("scripted", "eu", "default", "a")
    host.end()


def test_what_was_asked_for_is_still_a_reason_when_it_is_tried_again(host: FakeHost) -> None:
    errors = [Boom(), Boom(), None]

    def act(_ctx: Context, _request: Request) -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    scripted = Scripted(act)
    controller = started(host, scripted)
    controller.queue.add(A, reason="ConfigMap added")
    for _ in range(3):
        settle(controller, host)
        host.clock.advance(1)

    assert [ctx.reasons for ctx in scripted.contexts] == [
        ("ConfigMap added",),
        ("retry", "ConfigMap added"),
        ("retry", "ConfigMap added"),
    ]


@pytest.mark.parametrize(("priority", "expected"), [(None, 7), (40, 40), (-5, -5)])
@pytest.mark.parametrize("kind", ["requeue", "requeue_after"])
def test_a_requeue_keeps_its_priority_unless_the_result_says_another(
    host: FakeHost, kind: str, priority: int | None, expected: int
) -> None:
    again = {"requeue": {"requeue": True}, "requeue_after": {"requeue_after": 5}}[kind]
    controller = started(host, Scripted(giving(Result(priority=priority, **again))))  # type: ignore[arg-type]
    controller.queue.add(A, priority=7)
    settle(controller, host)
    controller.queue.pause("")
    host.clock.advance(5)

    assert controller.queue._schedule._entry(A).priority == expected


def test_an_error_keeps_the_priority(host: FakeHost) -> None:
    controller = started(host, Scripted(raising(Boom())))
    controller.queue.add(A, priority=7)
    settle(controller, host)

    assert controller.queue._schedule._entry(A).priority == 7


def test_every_series_is_there_from_the_start(host: FakeHost) -> None:
    Controller(Scripted(), host, max_concurrent_reconciles=3)

    for label in LABELS:
        assert host.metric("controller_runtime_reconcile_total", controller="scripted", result=label) == 0
    for name in ("reconcile_errors", "terminal_reconcile_errors", "reconcile_panics", "reconcile_timeouts"):
        assert counted(host, name) == 0
    assert host.metric("kcontroller_dropped_requests_total", controller="scripted") == 0
    assert host.metric("kcontroller_stuck_reconciles", controller="scripted") == 0
    assert host.metric("controller_runtime_active_workers", controller="scripted") == 0
    assert host.metric("controller_runtime_max_concurrent_reconciles", controller="scripted") == 3


def test_a_busy_worker_is_counted_and_its_time_is_taken(host: FakeHost) -> None:
    seen = []

    def act(_ctx: Context, _request: Request) -> None:
        seen.append(host.metric("controller_runtime_active_workers", controller="scripted"))
        host.clock.advance(0.25)

    controller = started(host, Scripted(act))
    controller.queue.add(A)
    settle(controller, host)

    assert seen == [1]
    assert host.metric("controller_runtime_active_workers", controller="scripted") == 0
    assert host.metric("controller_runtime_reconcile_time_seconds_sum", controller="scripted") == pytest.approx(0.25)


# ---- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("took", "timeouts"), [(0.9, 0), (1.0, 1), (5.0, 1)])
def test_a_deadline_that_has_passed_on_return_is_counted(host: FakeHost, took: float, timeouts: int) -> None:
    scripted = Scripted(lambda _ctx, _request: host.clock.advance(took))
    controller = started(host, scripted, reconcile_timeout=1.0)
    controller.queue.add(A)
    settle(controller, host)

    assert counted(host, "reconcile_timeouts") == timeouts
    assert totals(host) == {"success": 1.0}


def test_a_deadline_that_has_passed_is_counted_also_for_an_error(host: FakeHost) -> None:
    def act(ctx: Context, _request: Request) -> None:
        host.clock.advance(2)
        ctx.check()

    controller = started(host, Scripted(act), reconcile_timeout=1.0)
    controller.queue.add(A)
    settle(controller, host)

    assert counted(host, "reconcile_timeouts") == 1
    assert totals(host) == {"error": 1.0}


def test_check_stops_the_work_of_this_reconcile_only(host: FakeHost, records: Any) -> None:
    def act(ctx: Context, request: Request) -> None:
        if request.name == "slow":
            host.clock.advance(2)
        ctx.check()

    scripted = Scripted(act)
    controller = started(host, scripted, reconcile_timeout=1.0)
    controller.queue.add(Request("", "n", "slow"))
    settle(controller, host)
    controller.queue.add(Request("", "n", "quick"))
    settle(controller, host)

    assert totals(host) == {"error": 1.0, "success": 1.0}
    (line,) = (each for each in records() if each["level"] == "error")
    assert line["msg"] == "Reconciler error: Stopped: its time is over"


@pytest.mark.parametrize(
    ("own", "given", "expected"), [(None, 0.0, None), (None, 5.0, 5.0), (3.0, 5.0, 3.0), (0.0, 5.0, None)]
)
def test_the_time_of_the_reconciler_goes_before_that_of_the_manager(
    host: FakeHost, own: float | None, given: float, expected: float | None
) -> None:
    scripted = Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).options(reconcile_timeout=own))
    controller = started(host, scripted, reconcile_timeout=given)
    controller.queue.add(A)
    settle(controller, host)
    (ctx,) = scripted.contexts

    assert (ctx.deadline and ctx.deadline.remaining()) == expected


# ---- isolation (B4) --------------------------------------------------------------------------------------------------


def test_a_raising_reconcile_is_retried_after_5_ms_doubling_to_1000_s_and_delays_nobody(host: FakeHost) -> None:
    began: list[float] = []

    def act(_ctx: Context, request: Request) -> None:
        if request.name == "poison":
            began.append(host.clock.monotonic())
            raise Boom("poison")

    scripted = Scripted(act)
    controller = started(host, scripted)
    poison = Request("", "default", "poison")
    controller.queue.add(poison)
    for number in range(1, 21):
        settle(controller, host)
        assert len(began) == number
        delay = RECONCILE.delay(number)
        host.clock.advance(delay * 0.999)
        controller.queue.add(Request("", "default", f"healthy-{number}"))
        settle(controller, host)
        assert len(began) == number
        host.clock.advance(delay * 0.001 + 1e-9)
        scripted.wait_for_calls(2 * number + 1)

    gaps = [after - before for before, after in itertools.pairwise(began)]
    assert gaps == pytest.approx([min(1000.0, 0.005 * 2**n) for n in range(20)], rel=1e-3)
    assert scripted.names == [name for n in range(1, 21) for name in ("poison", f"healthy-{n}")] + ["poison"]


def test_a_success_begins_the_series_anew(host: FakeHost) -> None:
    outcomes = [Boom(), Boom(), None, Boom()]

    def act(_ctx: Context, _request: Request) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    controller = started(host, Scripted(act))
    controller.queue.add(A)
    for _ in range(2):
        settle(controller, host)
        host.clock.advance(1)
    settle(controller, host)
    assert controller.queue.failures(A) == 0
    controller.queue.add(A)
    settle(controller, host)

    assert controller.queue.failures(A) == 1


def test_two_workers_never_have_the_same_request(host: FakeHost) -> None:
    running: set[Request] = set()
    both = []

    def act(_ctx: Context, request: Request) -> None:
        if request in running:
            both.append(request)
        running.add(request)
        for _ in range(50):
            pass
        running.discard(request)

    scripted = Scripted(act)
    controller = started(host, scripted, max_concurrent_reconciles=4)
    for number in range(400):
        controller.queue.add(Request("", "n", str(number % 3)))
    assert controller.queue.wait_idle(10)

    assert both == []


# ---- what the log says -----------------------------------------------------------------------------------------------


def test_an_error_is_one_line_with_the_fields_of_controller_runtime(host: FakeHost, records: Any) -> None:
    controller = started(host, Scripted(raising(Boom("no\nluck"))))
    controller.queue.add(A)
    settle(controller, host)
    (line,) = (each for each in records() if each["level"] == "error")

    assert len(line.pop("reconcileID")) == 36
    del line["ts"]
    assert line == {
        "level": "error",
        "logger": "kcontroller.controller",
        "msg": "Reconciler error: Boom: no\nluck",
        "at": line["at"] if re.fullmatch(r"test_worker\.py:\d+", line["at"]) else "the place in user code",
        "then": "retry 1",
        "controller": "scripted",
        "controllerKind": "ConfigMap",
        "namespace": "default",
        "name": "a",
    }


def test_the_log_counts_the_retries_and_says_where_there_are_none(host: FakeHost, records: Any) -> None:
    errors = [Boom(), Boom(), TerminalError("no use")]

    def act(_ctx: Context, _request: Request) -> None:
        raise errors.pop(0)

    controller = started(host, Scripted(act))
    controller.queue.add(A)
    for _ in range(3):
        settle(controller, host)
        host.clock.advance(1)

    assert [each["then"] for each in records() if each["level"] == "error"] == ["retry 1", "retry 2", "no retry"]


def test_plain_logging_in_user_code_carries_the_fields_of_the_reconcile(host: FakeHost, records: Any) -> None:
    host.known = {"eu": FakeCluster("eu")}

    def act(ctx: Context, _request: Request) -> None:
        logging.getLogger("somebody.elses").warning("plain")
        ctx.log.info("ours", extra_field=1)

    controller = started(host, Scripted(act))
    controller.queue.add(Request("eu", "team", "web"))
    settle(controller, host)
    plain, ours = (next(each for each in records() if each["msg"] == text) for text in ("plain", "ours"))

    for line in (plain, ours):
        assert (line["controller"], line["cluster"], line["namespace"], line["name"]) == (
            "scripted",
            "eu",
            "team",
            "web",
        )
    assert plain["reconcileID"] == ours["reconcileID"]
    assert (ours["extra_field"], ours["logger"]) == (1, "kcontroller.reconciler.scripted")


def test_each_reconcile_has_its_own_id_and_none_outlives_it(host: FakeHost, records: Any) -> None:
    controller = started(host, Scripted(lambda ctx, _request: ctx.log.info("here")))
    for name in "ab":
        controller.queue.add(Request("", "n", name))
    settle(controller, host)
    ids = {each["reconcileID"] for each in records() if each["msg"] == "here"}

    assert len(ids) == 2
    controller.interrupt()
    assert not [each for each in records() if each["msg"] != "here" and "reconcileID" in each]


# ---- the context -----------------------------------------------------------------------------------------------------


def test_the_context_is_that_of_the_requests_cluster(host: FakeHost) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    scripted = Scripted(lambda ctx, _request: ctx.clusters.get("us") and None)
    controller = started(host, scripted)
    controller.queue.add(Request("eu", "n", "a"), reason="ConfigMap added")
    controller.queue.add(Request("eu", "n", "a"), reason="ConfigMap updated")
    settle(controller, host)
    ctx = scripted.contexts[0]

    assert ctx.cluster.itself is host.known["eu"]
    assert ctx.clusters.get("us").itself is host.known["us"]
    assert ctx.request == scripted.calls[0]
    assert ctx.reasons in {("ConfigMap added",), ("ConfigMap added", "ConfigMap updated")}
    assert host.known["eu"].clients == []  # Who needs no client pays for none.
    assert ctx.client is ctx.client
    assert host.known["eu"].clients == [("scripted", ctx.stop, ctx.deadline)]


def test_a_request_of_a_cluster_that_has_left_is_dropped(host: FakeHost) -> None:
    scripted = Scripted()
    controller = started(host, scripted)
    controller.queue.add(Request("gone", "n", "a"))
    settle(controller, host)

    assert scripted.calls == []
    assert totals(host) == {}
    assert host.metric("kcontroller_dropped_requests_total", controller="scripted") == 1
    # Its series went with it, and a name that never was one would stay for good.
    assert 'cluster="gone"' not in host.metrics.render().decode()


def test_a_cluster_that_leaves_cuts_its_reconciles_short_and_that_is_no_error(host: FakeHost, records: Any) -> None:
    def act(ctx: Context, _request: Request) -> None:
        host.known[""].leaving.stop("project p is gone")
        assert ctx.stop.reason == "project p is gone"
        ctx.check()

    controller = started(host, Scripted(act))
    controller.queue.add(A)
    settle(controller, host)

    assert totals(host) == {}
    assert controller.queue.failures(A) == 0
    assert [each["msg"] for each in records() if each["level"] == "error"] == []


def test_a_write_without_the_lease_is_no_error_of_the_reconcile(host: FakeHost, records: Any) -> None:
    controller = started(host, Scripted(raising(NotLeader("the lease may have passed"))))
    controller.queue.add(A)
    settle(controller, host)

    assert totals(host) == {}
    assert [each["msg"] for each in records() if each["level"] == "error"] == []


@pytest.mark.parametrize(("needs", "guarded"), [(True, True), (False, False)])
def test_the_guard_is_before_the_writes_of_controllers_that_need_the_lease(
    host: FakeHost, *, needs: bool, guarded: bool
) -> None:
    def guard() -> None:
        """Let every write pass."""

    class Which(Scripted):
        def setup(self, builder: Builder) -> None:
            super().setup(builder)
            builder.options(needs_leader_election=needs)

    host.guard = guard
    controller = started(host, Which(lambda ctx, _request: ctx.client and None))
    controller.queue.add(A)
    settle(controller, host)

    assert host.known[""].guards == [guard if guarded else None]


@pytest.mark.parametrize(("needs", "calls"), [(True, 0), (False, 1)])
def test_without_the_lease_no_reconcile_begins_that_needs_it(host: FakeHost, *, needs: bool, calls: int) -> None:
    """The elector may hear of the loss late; what a reconcile does elsewhere than at the API server has no guard."""

    def guard() -> None:
        raise NotLeader("the lease may have passed")

    class Which(Scripted):
        def setup(self, builder: Builder) -> None:
            super().setup(builder)
            builder.options(needs_leader_election=needs)

    host.guard = guard
    reconciler = Which(giving(None))
    controller = started(host, reconciler)
    controller.queue.add(A)
    settle(controller, host)

    assert len(reconciler.calls) == calls


def test_tokens_of_finished_reconciles_are_not_kept(host: FakeHost) -> None:
    controller = started(host, Scripted())
    for number in range(100):
        controller.queue.add(Request("", "n", str(number)))
    settle(controller, host)

    assert not controller._stop._callbacks


def test_a_worker_that_waits_keeps_nothing_of_the_last_reconcile(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("kcontroller"), "disabled", True)
    monkeypatch.setattr(logging.getLogger("kcontroller.controller"), "disabled", True)  # pytest keeps every record.

    class Big:
        pass

    alive: list[Any] = []

    def act(_ctx: Context, _request: Request) -> None:
        big = Big()
        alive.append(weakref.ref(big))
        error = Boom("with a frame that holds it")
        error.big = big  # type: ignore[attr-defined]
        raise error

    scripted = Scripted(act)
    controller = started(host, scripted)
    controller.queue.add(A)
    settle(controller, host)
    gc.collect()

    assert alive[0]() is None


# ---- stopping (B7) ---------------------------------------------------------------------------------------------------


def test_an_interrupt_ends_a_wait_and_is_no_error(host: FakeHost, records: Any) -> None:
    waiting = threading.Event()

    def act(ctx: Context, _request: Request) -> None:
        waiting.set()
        ctx.stop.wait(1000)
        ctx.check()

    controller = started(host, Scripted(act))
    controller.queue.add(A)
    assert waiting.wait(10)
    controller.stop_queue()
    assert controller.drained(0) is False
    controller.interrupt()
    assert controller.drained(10) is True
    assert host.threads.join(10) == ()

    assert totals(host) == {}
    assert not [each for each in records() if each["level"] in {"error", "warning"}]


def test_a_stop_that_somebody_else_asked_for_is_an_error(host: FakeHost) -> None:
    controller = started(host, Scripted(raising(Stopped("a user's own"))))
    controller.queue.add(A)
    settle(controller, host)

    assert totals(host) == {"error": 1.0}


def test_no_reconcile_begins_after_the_queue_was_stopped(host: FakeHost) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(_ctx: Context, _request: Request) -> None:
        inside.set()
        go_on.wait(10)

    scripted = Scripted(act)
    controller = started(host, scripted)
    for number in range(50):
        controller.queue.add(Request("", "n", str(number)))
    assert inside.wait(10)
    controller.stop_queue()
    go_on.set()
    assert controller.drained(10)
    assert host.threads.join(10) == ()

    assert len(scripted.calls) == 1


def test_events_still_reach_a_stopped_controller_without_harm(host: FakeHost, cluster: FakeCluster) -> None:
    controller = started(host, Scripted())
    controller.stop_queue()
    cluster.tell(CONFIG_MAP, added(entry("a")))

    assert len(controller.queue) == 0


def test_the_text_of_an_error_is_bounded(host: FakeHost, records: Any) -> None:
    controller = started(host, Scripted(raising(Boom("z" * 100_000))))
    controller.queue.add(A)
    settle(controller, host)
    (long,) = (each["msg"] for each in records() if each["level"] == "error")

    assert len(long) < 1100
    assert long.endswith("... (100,000 characters)")
