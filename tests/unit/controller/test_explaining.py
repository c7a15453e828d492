from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import GVK, Key, Request
from kcontroller.api.marks import PAUSED
from kcontroller.cache.store import Change
from kcontroller.cluster.budgets import Budget
from kcontroller.controller import Builder, Controller, Result, predicates
from kcontroller.controller.explaining import Explainer
from kcontroller.controller.names import NotKnown
from kcontroller.errors import Conflict, Forbidden, NotFound, TerminalError, Wait
from kcontroller.process.trace import STEPS, Trace
from kcontroller.testing.polling import eventually
from kcontroller.workqueue import Outcome
from tests.unit.controller.fakes import (
    CONFIG_MAP,
    POD,
    FakeCluster,
    FakeHost,
    Scripted,
    added,
    document,
    entry,
    owner,
    updated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.api.codec import KindRef
    from kcontroller.cache.entry import Entry
    from kcontroller.controller import Context
    from kcontroller.controller.event import Event
    from kcontroller.controller.explanation import Explanation, Waiting
    from kcontroller.testing.clock import VirtualClock

WEB = Key("default", "web")


class Cluster(FakeCluster):
    """A cluster whose caches show what it tells of."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.cached: dict[tuple[GVK, Key], Entry | None] = {}
        self.lacks: list[str] = []
        self.ill: dict[str, str] = {}

    def tell(self, kind: KindRef, *changes: Change) -> None:
        for change in changes:
            self.cached[gvk_of(kind), change.entry.key] = change.new
        super().tell(kind, *changes)

    def shown(self, gvk: GVK, key: Key) -> Entry | None:
        return self.cached.get((gvk, key))

    def plural(self, kind: KindRef) -> str:
        return f"{gvk_of(kind).kind.lower()}s"

    def pending(self) -> list[str]:
        return self.lacks

    def troubles(self) -> dict[str, str]:
        return self.ill


class State(msgspec.Struct):
    name: str
    why: str = ""


class Clusters(FakeHost):
    """The clusters of a process, as the registry has them."""

    def __init__(self, *clusters: Cluster) -> None:
        super().__init__(*clusters)
        self.gone: list[State] = []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.known.values())

    def states(self) -> list[State]:
        return self.gone


class Process:
    """One controller of config maps, and who explains it."""

    def __init__(self, *names: str, act: Callable[[Context, Request], Result | None] = lambda *_: None) -> None:
        self.clusters = [Cluster(name) for name in names or ("",)]
        self.host = Clusters(*self.clusters)
        self.clock: VirtualClock = self.host.clock
        self.act = act
        self.trace: Trace | None = Trace(100, clock=self.clock)
        self.setup: Callable[[Builder], object] = lambda builder: builder.for_(CONFIG_MAP).owns(POD)
        self.leads = True
        self.workers = 1
        self.timeout = 0.0
        self.deletes: Budget | None = None

    @property
    def cluster(self) -> Cluster:
        return self.clusters[0]

    def start(self, *, synced: bool = True, workers: bool = True) -> Controller:
        self.reconciler = Scripted(self._reconcile, setup=self.setup)
        controller = Controller(
            self.reconciler,
            self.host,
            trace=self.trace,
            max_concurrent_reconciles=self.workers,
            reconcile_timeout=self.timeout,
            delete_budget=self.deletes,
        )
        self.host.controllers.append(controller)
        for cluster in self.clusters:
            controller.engage(cluster)  # type: ignore[arg-type]
            if synced:
                cluster.synced()
        if workers:
            controller.start(self.host.threads)
        return controller

    def _reconcile(self, ctx: Context, request: Request) -> Result | None:
        return self.act(ctx, request)

    def add(self, name: str = "web", **metadata: Any) -> Entry:
        made = entry(name, **metadata)
        self.cluster.tell(CONFIG_MAP, added(made))
        return made

    def explain(self, cluster: str = "", kind: str = "ConfigMap", key: Key = WEB) -> Explanation:
        (found,) = self.all(cluster, kind, key)
        return found

    def all(self, cluster: str = "", kind: str = "ConfigMap", key: Key = WEB) -> tuple[Explanation, ...]:
        explainer = Explainer(
            self.host.controllers,
            self.host,  # type: ignore[arg-type]
            pauses=self.host.pauses,
            clock=self.clock,
            leads=lambda: self.leads,
            holder=lambda: "x-7f9c",
        )
        return explainer.explain(cluster, kind, key)

    def reconciled(self, count: int = 1) -> None:
        """Wait until so many reconciles have ended, and the queue has taken them back."""
        self.reconciler.wait_for_calls(count)
        eventually(lambda: not any(each.queue.in_flight for each in self.host.controllers))


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.host.end()
    assert made.host.failures == []


def fails(_ctx: Context, _request: Request) -> None:
    raise RuntimeError("no such zone")


def the_wait(explanation: Explanation) -> Waiting:
    assert explanation.verdict == explanation.waiting[0].why
    assert explanation.known
    return explanation.waiting[0]


# ---- what it waits for -----------------------------------------------------------------------------------------------


def test_what_is_done_waits_for_nothing(process: Process) -> None:
    process.start()
    made = process.add(generation=4)
    process.reconciled()

    found = process.explain()

    assert found.verdict == "waits for nothing: its last reconcile went well"
    assert (found.settled, found.waiting, found.queue, found.last_error) == (True, (), None, None)
    assert found.cached is not None
    assert (found.cached.version, found.cached.generation) == (made.version, 4)


def test_backoff_says_how_long_and_after_how_many_failures(process: Process) -> None:
    process.act = fails
    process.start()
    process.add()
    for failures in range(1, 14):
        process.reconciled(failures)
        if failures < 13:
            eventually(lambda: process.explain().waiting != ())
            process.clock.advance(100)
    eventually(lambda: process.explain().waiting != ())

    found = process.explain()

    assert found.verdict == "waits for its backoff, 20 s more (13 failures)"
    wait = the_wait(found)
    assert (wait.what, wait.remedy) == ("backoff", "any change that concerns it ends the wait")
    assert wait.until == process.clock.now() + timedelta(seconds=0.005 * 2**12)
    assert not found.settled
    assert found.last_error is not None
    assert found.last_error.error == "RuntimeError: no such zone"
    assert found.last_error.then == "retry 13 after its backoff"
    assert found.last_error.place.startswith("test_explaining.py:")


def test_a_time_that_the_reconciler_chose_is_no_trouble(process: Process) -> None:
    process.act = lambda *_: Result(requeue_after=90)
    process.start()
    process.add()
    process.reconciled()
    process.clock.advance(20)

    found = process.explain()

    assert found.verdict == "is done, and comes again in 1 min 10 s as its reconciler asked"
    assert the_wait(found).what == "requeue_after"
    assert found.settled


def test_a_wait_is_told_with_its_reason(process: Process) -> None:
    def waits(_ctx: Context, _request: Request) -> None:
        raise Wait(after=30, why="the disk is being made")

    process.act = waits
    process.start()
    process.add()
    process.reconciled()

    assert process.explain().steps[-1].text.endswith("again in 30 s, waiting: the disk is being made")


def test_a_failure_that_is_not_retried_is_told(process: Process) -> None:
    def gives_up(_ctx: Context, _request: Request) -> None:
        raise TerminalError("spec.size may not shrink")

    process.act = gives_up
    process.start()
    process.add()
    process.reconciled()

    found = process.explain()

    assert found.verdict == (
        "failed and is not tried again (no retry): it is called when it changes; "
        "TerminalError: spec.size may not shrink"
    )
    assert not found.settled


def test_a_reconcile_that_runs_is_told_with_its_age(process: Process) -> None:
    go = threading.Event()

    def hangs(_ctx: Context, _request: Request) -> None:
        assert go.wait(20)

    process.act = hangs
    controller = process.start()
    process.add()
    eventually(lambda: controller.queue.in_flight == 1)
    process.clock.advance(65)

    found = process.explain()
    go.set()

    assert found.verdict == "is being reconciled, for 1 min 5 s now"
    assert the_wait(found).what == "running"


@pytest.mark.parametrize(
    ("timeout", "told"),
    [
        (4.0, "for 6 min 40 s now, 6 min 36 s over its time-out"),
        (0.0, "for 6 min 40 s now, and it has no time-out"),
    ],
)
def test_a_reconcile_that_does_not_return_is_told_with_its_place(process: Process, timeout: float, told: str) -> None:
    begun, go = threading.Event(), threading.Event()

    def hangs(_ctx: Context, _request: Request) -> None:
        begun.set()
        assert go.wait(20)

    process.act, process.timeout = hangs, timeout
    process.host.watchdog.start(process.host.threads)
    process.start()
    process.add()
    try:
        assert begun.wait(10)
        process.clock.advance(400)
        eventually(lambda: the_wait(process.explain()).what == "stuck")
        wait = the_wait(process.explain())
    finally:
        go.set()

    place = f"test_explaining.py:{hangs.__code__.co_firstlineno + 2}"
    assert wait.why == f"is stuck: its reconcile does not return, {told}, at {place}"
    assert wait.remedy == (
        f"give the call at {place} a time-out of its own, or end it by ctx.stop; a restart frees the object"
    )


def test_who_waits_for_a_worker_is_told_how_many_are_busy_and_wait(process: Process) -> None:
    process.start(workers=False)
    process.add("one")
    process.add()

    wait = the_wait(process.explain())

    assert (wait.what, wait.why) == ("worker", "is ready and waits for a worker: 0 of 1 are busy, 2 requests wait")


def test_a_cluster_at_its_cap_is_told() -> None:
    process = Process("a", "b")
    process.workers = 4
    try:
        controller = process.start(workers=False)
        for cluster in process.clusters:
            for name in ("one", "web"):
                cluster.tell(CONFIG_MAP, added(entry(name)))
        item = controller.queue.get(timeout=0)
        assert item is not None
        assert item.request.cluster == "a"

        wait = the_wait(process.explain("a"))

        assert wait.what == "cap"
        assert wait.why == "is ready, but cluster a holds as many workers as it may while others have work"
        assert the_wait(process.explain("b")).what == "worker"
    finally:
        process.host.end()


def test_a_pause_by_command_is_told_with_its_reason_and_what_ends_it(process: Process) -> None:
    controller = process.start()
    process.host.pauses.pause("scripted", why="bad release")
    process.add()

    wait = the_wait(process.explain())

    assert (wait.what, wait.remedy) == ("paused", "kcontroller resume scripted")
    assert wait.why == "waits: scripted is paused (bad release)"
    assert controller.queue.holders("") == {"command"}


def test_the_command_that_is_named_ends_the_pause_also_one_of_every_controller(process: Process) -> None:
    process.start()
    process.host.pauses.pause("*", "")
    process.add()

    assert the_wait(process.explain()).remedy == "kcontroller resume --cluster local"


def test_a_pause_by_annotation_is_told(process: Process) -> None:
    process.start()
    process.add(annotations={PAUSED: "true"})
    eventually(lambda: any(step.what == "paused" for step in process.explain().steps))

    wait = the_wait(process.explain())

    assert (wait.what, wait.why) == ("paused", "is paused by its annotation kcontroller.dev/paused")
    assert wait.remedy == "remove the annotation kcontroller.dev/paused"


def test_a_spent_budget_is_told_with_the_word_that_it_needs(process: Process) -> None:
    process.deletes = Budget(1, 60.0)

    def deletes(ctx: Context, _request: Request) -> None:
        for name in ("a", "b"):
            ctx.client.delete(CONFIG_MAP, Key("default", name))

    process.act = deletes
    controller = process.start()
    for name in ("a", "b"):
        process.cluster.server.put(document(name))
    process.add()
    eventually(lambda: controller.safety.budgets.spent() != ())
    eventually(lambda: any(each.what == "budget" for each in process.explain().waiting))

    wait = next(each for each in process.explain().waiting if each.what == "budget")

    assert wait.why == "waits for a word: scripted has spent its 1 delete in 1m"
    assert wait.remedy == "kcontroller resume scripted"


def test_a_process_that_ends_does_not_say_that_it_gave_up(process: Process) -> None:
    process.act = fails
    controller = process.start()
    process.add()
    process.reconciled()
    controller.stop_queue()

    wait = the_wait(process.explain())

    assert (wait.what, wait.why) == ("stopping", "is left as it is: this process ends, and hands nothing out any more")
    assert wait.remedy == "ask the process that follows it"


def test_the_first_list_is_told_with_what_is_missing(process: Process) -> None:
    process.cluster.lacks = ["v1 Pod is not synced: pods is forbidden"]
    process.start(synced=False)
    process.add()

    wait = the_wait(process.explain())

    assert (wait.what, wait.why) == ("sync", "waits for the first list: v1 Pod is not synced: pods is forbidden")


def test_a_standby_says_who_leads(process: Process) -> None:
    process.leads = False
    process.start(workers=False)
    process.add()

    wait = the_wait(process.explain())

    assert (wait.what, wait.why) == ("leader", "this replica stands by; x-7f9c leads")
    assert wait.remedy == "ask the replica that leads"


def test_a_controller_that_needs_no_lease_does_not_wait_for_it(process: Process) -> None:
    process.leads = False
    process.setup = lambda builder: builder.for_(CONFIG_MAP).options(needs_leader_election=False)
    process.start()
    process.add()
    process.reconciled()

    assert process.explain().waiting == ()


def test_a_cluster_that_is_not_engaged_is_told_with_its_reason(process: Process) -> None:
    process.start()
    process.host.gone = [State("eu", "no route to host")]

    (wait,) = process.explain("eu").waiting

    assert (wait.what, wait.why) == ("cluster", "waits for cluster eu, which is not engaged: no route to host")


def test_of_a_cluster_that_is_not_there_it_is_said_why_also_of_what_is_not_known(process: Process) -> None:
    process.start()
    process.host.gone.append(State("west", "Secret fleet/west: not YAML"))

    found = process.explain("west")
    assert (found.known, found.settled) == (False, False)
    assert found.verdict == "waits for cluster west, which is not engaged: Secret fleet/west: not YAML"


def test_a_request_that_the_queue_has_no_room_for_is_told(process: Process) -> None:
    controller = process.start(workers=False)
    process.add()
    controller.queue.purge("")
    recording = controller._recording
    assert recording is not None
    recording.refused(Request("", *WEB))

    assert the_wait(process.explain()).what == "queue"


def test_an_own_write_that_the_cache_does_not_show_is_told(process: Process) -> None:
    controller = process.start(workers=False)
    process.add()
    item = controller.queue.get(timeout=0)
    assert item is not None
    controller.queue.done(item, Outcome.hold(0.04))

    wait = the_wait(process.explain())

    assert (wait.what, wait.why) == ("own-write", "waits until the cache shows what its last reconcile wrote")
    assert wait.until == process.clock.now() + timedelta(seconds=0.04)


def test_of_several_reasons_the_one_that_decides_is_first_and_the_others_follow(process: Process) -> None:
    process.leads = False
    process.host.pauses.pause("scripted")
    process.start(workers=False)
    process.add()

    assert [each.what for each in process.explain().waiting] == ["leader", "paused", "worker"]


# ---- what happened ---------------------------------------------------------------------------------------------------


def test_a_predicate_that_dropped_an_event_is_named(process: Process) -> None:
    process.setup = lambda builder: builder.for_(
        CONFIG_MAP, predicates=[predicates.generation_changed() | predicates.labels_changed()]
    )
    process.start()
    old = process.add(generation=1)
    process.reconciled()
    new = entry("web", generation=1)
    process.cluster.tell(CONFIG_MAP, updated(old, new))

    *_, last = process.explain().steps

    assert last.what == "dropped"
    by = "(generation_changed | labels_changed)"
    assert last.text == f"ConfigMap updated (default/web, resourceVersion {new.version}) dropped by {by}"


def test_a_predicate_that_cannot_say_its_name_spoils_nothing(process: Process) -> None:
    class Nameless(predicates.Predicate):
        user_code = False

        def admits(self, event: Event) -> bool:
            return False

        def __str__(self) -> str:
            raise RuntimeError("no name")

    process.setup = lambda builder: builder.for_(CONFIG_MAP, predicates=[Nameless()])
    process.start()
    process.add()

    (step,) = process.explain().steps
    assert step.text.endswith("dropped by (its text cannot be had: RuntimeError)")


def test_of_a_large_write_the_sizes_of_its_parts_are_told(process: Process) -> None:
    def writes(ctx: Context, request: Request) -> None:
        obj = ctx.client.get(CONFIG_MAP, request.key)
        obj["data"] = {"much": "x" * 5000}
        ctx.client.patch(obj)

    process.act = writes
    process.start()
    process.cluster.server.put(document("web"))
    process.add()
    process.reconciled()

    (write,) = process.explain().writes
    assert write.change == {"data": "(5,011 bytes)"}


def test_the_steps_of_a_reconcile_are_told_in_order(process: Process) -> None:
    process.start()
    made = process.add()
    process.reconciled()

    assert [(step.what, step.text) for step in process.explain().steps] == [
        ("queued", f"ConfigMap added (default/web, resourceVersion {made.version})"),
        ("began", "waited 0 ms, because of ConfigMap added"),
        ("ended", "after 0 ms: done"),
    ]


def test_why_an_owner_was_queued_names_the_child(process: Process) -> None:
    process.start()
    process.add()
    process.reconciled()
    child = entry("pod-1", kind=POD, ownerReferences=[owner(CONFIG_MAP, "web")])
    process.cluster.tell(POD, added(child))
    process.reconciled(2)

    assert f"Pod added (default/pod-1, resourceVersion {child.version})" in [
        step.text for step in process.explain().steps
    ]


def test_writes_are_told_as_differences_with_their_answers(process: Process) -> None:
    def writes(ctx: Context, request: Request) -> None:
        obj = ctx.client.get("v1 ConfigMap", request.key)
        obj["data"] = {"size": "3"}
        ctx.client.patch(obj)

    process.act = writes
    process.start()
    process.cluster.server.put(document("web"))
    process.add()
    process.reconciled()

    (write,) = process.explain().writes

    assert (write.verb, write.target, write.refused) == ("patch", "v1 ConfigMap default/web", False)
    assert write.change == {"data": {"size": "3"}}
    assert int(write.answer) > 0


def test_a_refused_write_is_told_with_the_refusal(process: Process) -> None:
    def writes(ctx: Context, request: Request) -> None:
        ctx.client.delete(CONFIG_MAP, request)

    process.act = writes
    process.start()
    process.cluster.server.refuse = Conflict("it has changed", status=409, reason="Conflict")
    process.add()
    process.reconciled()

    (write,) = process.explain().writes

    assert (write.verb, write.refused, write.answer) == ("delete", True, "409 Conflict: it has changed")


def fail_each_second(process: Process, times: int) -> None:
    """Let the reconcile of a request fail and be tried again, a second apart."""
    for failures in range(1, times):
        process.reconciled(failures)
        eventually(lambda: process.explain().waiting != ())
        process.clock.advance(1)
    process.reconciled(times)


def test_writes_and_failures_that_are_alike_are_told_once_with_their_number(process: Process) -> None:
    refusal = "pods is forbidden: no"

    def writes(ctx: Context, request: Request) -> None:
        ctx.client.delete(CONFIG_MAP, request)

    process.act = writes
    process.start()
    process.cluster.server.refuse = Forbidden(refusal, status=403, reason="Forbidden")
    process.add()
    fail_each_second(process, 7)

    found = process.explain()

    assert found.last_error is not None
    (write,) = found.writes
    assert (found.last_error.times, write.times) == (7, 7)
    assert write.first is not None
    assert write.at - write.first == timedelta(seconds=6)
    assert write.first == found.last_error.first
    assert [(step.what, step.times) for step in found.steps] == [
        ("queued", 1),
        ("began", 1),
        ("began", 6),
        ("wrote", 7),
        ("failed", 7),
    ]
    assert not [step for step in found.steps if refusal in step.text]
    assert found.steps[-1].text == "after 0 ms, retry 7 after its backoff: Forbidden"
    assert found.steps[-2].text == "delete v1 ConfigMap default/web refused: 403 Forbidden"


def test_failures_that_differ_are_told_each(process: Process) -> None:
    def fails(_ctx: Context, _request: Request) -> None:
        raise RuntimeError(("no such zone", "no such disk")[len(process.reconciler.calls) % 2])

    process.act = fails
    process.start()
    process.add()
    fail_each_second(process, 4)

    found = process.explain()

    told = [step.text.partition("backoff: ")[2].partition(" at ")[0] for step in found.steps if step.what == "failed"]
    assert told == ["RuntimeError", "RuntimeError", "RuntimeError: no such zone", "RuntimeError"]
    assert found.last_error is not None
    assert (found.last_error.error, found.last_error.times) == ("RuntimeError: no such disk", 1)


def test_changes_that_are_alike_are_told_with_the_newest_version(process: Process) -> None:
    process.start(workers=False)
    old = process.add()
    for _ in range(3):
        new = entry("web")
        process.cluster.tell(CONFIG_MAP, updated(old, new))
        old = new

    added, changed = process.explain().steps

    assert added.times == 1
    assert (changed.times, changed.text) == (3, f"ConfigMap updated (default/web, resourceVersion {old.version})")


def test_values_of_secrets_and_what_looks_like_one_are_nowhere(process: Process) -> None:
    canary = "Y2FuYXJ5LTQyNDI"

    def writes(ctx: Context, request: Request) -> None:
        secret = ctx.client.get("v1 Secret", request.key)
        secret["data"] = {"key": canary}
        secret["metadata"]["annotations"] = {"last-applied": canary}
        ctx.client.patch(secret)
        config = ctx.client.get(CONFIG_MAP, request.key)
        config["data"] = {"db-password": canary, "size": "3"}
        ctx.client.patch(config)
        raise RuntimeError(f"login failed: password={canary}")

    process.act = writes
    process.start()
    process.cluster.server.put(document("web", kind="v1 Secret"))
    process.cluster.server.put(document("web"))
    process.add()
    process.reconciled()

    found = process.explain()

    assert canary not in json.dumps(msgspec.to_builtins(found))
    assert [write.change for write in found.writes] == [
        {"data": {"key": "[left out]"}, "metadata": {"annotations": {"last-applied": "[left out]"}}},
        {"data": {"db-password": "[redacted]", "size": "3"}},
    ]


def test_a_full_ring_says_that_older_steps_are_gone(process: Process) -> None:
    process.start()
    old = process.add()
    for _ in range(STEPS):
        new = entry("web")
        process.cluster.tell(CONFIG_MAP, updated(old, new))
        old = new

    found = process.explain()

    assert (found.complete, sum(step.times for step in found.steps)) == (False, STEPS)
    assert "older steps were dropped" in found.notes


def test_without_a_trace_what_is_now_is_told_and_that_there_is_none(process: Process) -> None:
    process.trace = None
    process.start(workers=False)
    process.add()

    found = process.explain()

    assert the_wait(found).what == "worker"
    assert found.steps == ()
    assert found.notes == ("no trace: this process runs with --trace-keys 0",)


def test_troubles_of_the_kind_are_told(process: Process) -> None:
    process.cluster.ill = {"v1 ConfigMap": "connection refused", "v1 Node": "forbidden"}
    process.start()
    process.add()
    process.reconciled()

    assert process.explain().notes == ("v1 ConfigMap gets no news: connection refused",)


# ---- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ConfigMap", "configmap", "configmaps", "v1 ConfigMap"])
def test_a_kind_is_known_by_its_names(process: Process, kind: str) -> None:
    process.start()
    process.add()
    process.reconciled()

    assert process.explain(kind=kind).kind == "v1 ConfigMap"
    assert process.explain("local", kind).cluster == ""


def test_an_object_of_an_owned_kind_is_explained_by_its_owner(process: Process) -> None:
    process.start()
    process.add()
    process.cluster.tell(POD, added(entry("pod-1", kind=POD, ownerReferences=[owner(CONFIG_MAP, "web")])))
    process.reconciled()

    found = process.explain(kind="pods", key=Key("default", "pod-1"))

    assert (found.kind, found.key) == ("v1 ConfigMap", "default/web")


def test_an_object_of_a_mapped_kind_is_explained_by_what_its_events_queued(process: Process) -> None:
    asked: list[str] = []

    def to(_cluster: Any, obj: Any) -> list[Key]:
        asked.append(obj["metadata"]["name"])
        return [WEB]

    process.setup = lambda builder: builder.for_(CONFIG_MAP).watches(POD, to)
    process.start()
    process.cluster.tell(POD, added(entry("pod-1", kind=POD)))
    process.reconciled()

    found = process.explain(kind="Pod", key=Key("default", "pod-1"))

    assert (found.kind, found.key) == ("v1 ConfigMap", "default/web")
    assert asked == ["pod-1"]  # The function was not called again to find out.


def test_an_object_that_nothing_is_known_of_is_said_to_be_unknown(process: Process) -> None:
    process.start()

    found = process.explain(key=Key("default", "absent"))

    assert (found.known, found.settled) == (False, False)
    assert found.verdict == "is not known here: no cache shows it, and nothing has happened to it"


@pytest.mark.parametrize(
    ("cluster", "kind", "text"),
    [
        ("", "Secret", r"no controller here has to do with Secret; there are scripted \(v1 ConfigMap, v1 Pod\)"),
        ("", "Pod", "nothing was reconciled because of v1 Pod default/web, and nobody owns it"),
        ("eu", "ConfigMap", "no cluster 'eu' is here; there is local"),
    ],
)
def test_what_is_not_there_is_named_with_what_there_is(process: Process, cluster: str, kind: str, text: str) -> None:
    process.start()

    with pytest.raises(NotKnown, match=text):
        process.explain(cluster, kind)


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        (CONFIG_MAP, Key("", "web"), "v1 ConfigMap is namespaced; write NAMESPACE/web, such as default/web"),
        ("v1 Node", Key("default", "one"), "v1 Node is in no namespace; write one"),
    ],
)
def test_a_namespace_that_is_forgotten_or_too_much_is_told(kind: str, key: Key, text: str) -> None:
    process = Process()
    process.clusters[0]._cluster_scoped = {gvk_of("v1 Node")}
    process.setup = lambda builder: builder.for_(kind)
    try:
        process.start()

        with pytest.raises(NotKnown, match=text):
            process.explain(kind=kind, key=key)
    finally:
        process.host.end()


def test_a_request_without_the_namespace_that_its_kind_has_is_explained_if_somebody_queued_it(process: Process) -> None:
    process.start(workers=False).queue.add(Request("", "", "web"))

    assert process.explain(key=Key("", "web")).known


def test_a_cluster_that_is_misspelled_is_told_with_the_one_that_may_be_meant() -> None:
    process = Process("project-1", "project-22")
    try:
        process.start()
        names = Explainer(
            process.host.controllers,
            process.host,  # type: ignore[arg-type]
            pauses=process.host.pauses,
            clock=process.clock,
            fleet=True,
        ).names

        assert names.doubt("project-1") == ""
        assert names.doubt("projct-22") == "no cluster 'projct-22' is here, did you mean 'project-22'?"
        assert names.doubt("(hub)") == "no controller here works on the (hub)"
        assert names.doubt("local") == "no cluster 'local' is here; there are project-1, project-22"
        with pytest.raises(NotKnown, match=r"^name the cluster: .* \(project-1, project-22\)$"):
            names.cluster("")
        with pytest.raises(NotKnown, match=r"no cluster 'projct-22' is here, did you mean 'project-22'\?$"):
            names.cluster("projct-22")
    finally:
        process.host.end()


def test_of_many_clusters_ten_are_named() -> None:
    process = Process(*(f"cluster-of-many-{number:02}" for number in range(12)))
    try:
        process.start()
        with pytest.raises(NotKnown, match=r"there are cluster-of-many-00, .*, cluster-of-many-09 and 2 more$"):
            process.explain("x")
    finally:
        process.host.end()


def test_with_several_clusters_one_must_be_named() -> None:
    process = Process("eu", "us")
    try:
        process.start()

        with pytest.raises(NotKnown, match=r"name the cluster: .* \(eu, us\)"):
            process.explain()
    finally:
        process.host.end()


def test_a_gone_object_is_explained_by_what_happened_to_it(process: Process) -> None:
    def reads(ctx: Context, request: Request) -> None:
        with pytest.raises(NotFound):
            ctx.client.get(CONFIG_MAP, request.key)

    process.act = reads
    process.start()
    made = process.add()
    process.cluster.tell(CONFIG_MAP, Change(made, None))
    process.reconciled()

    found = process.explain()

    assert (found.cached, found.known, found.settled) == (None, True, True)
