"""A cluster without an API server: the test says what changes, and when it is synced."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.cache.projection import Entry, Projection
from kcontroller.cache.store import Change
from kcontroller.cache.subscribers import SLICE
from kcontroller.client.client import Client
from kcontroller.client.writes import Ports
from kcontroller.cluster.circuit import CLOSED, HALF_OPEN
from kcontroller.cluster.rails import RailedWriter
from kcontroller.controller import Reconciler
from kcontroller.controller.mapping import Mappers
from kcontroller.controller.pauses import Pauses
from kcontroller.controller.watchdog import Watchdog
from kcontroller.errors import ClusterNotFound, NotFound
from kcontroller.events import Broadcaster
from kcontroller.process.metrics import Metrics
from kcontroller.process.stop import StopToken
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Key
    from kcontroller.cache.scope import Holding
    from kcontroller.client.ports import Selection, Write
    from kcontroller.cluster.circuit import State
    from kcontroller.cluster.rails import Rail
    from kcontroller.controller import Builder, Context, Request, Result
    from kcontroller.controller.controller import Controller
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import Deadline

CONFIG_MAP = "v1 ConfigMap"
POD = "v1 Pod"

_versions = iter(range(1, 1 << 40))


def document(name: str, *, namespace: str = "default", kind: str = CONFIG_MAP, **metadata: Any) -> dict[str, Any]:
    gvk = gvk_of(kind)
    return {
        "apiVersion": gvk.api_version,
        "kind": gvk.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(next(_versions)),
            **metadata,
        },
    }


def entry(name: str, *, namespace: str = "default", kind: str = CONFIG_MAP, **metadata: Any) -> Entry:
    raw = json.dumps(document(name, namespace=namespace, kind=kind, **metadata)).encode()
    return Projection(gvk_of(kind)).entry(raw)


def added(new: Entry, *, initial: bool = False) -> Change:
    return Change(None, new, initial=initial)


def updated(old: Entry, new: Entry) -> Change:
    return Change(old, new)


def deleted(old: Entry) -> Change:
    return Change(old, None)


def owner(kind: str, name: str, *, controller: bool = True) -> dict[str, Any]:
    gvk = gvk_of(kind)
    return {
        "apiVersion": gvk.api_version,
        "kind": gvk.kind,
        "name": name,
        "uid": f"uid-{name}",
        "controller": controller,
    }


class FakeSubscription:
    def __init__(self, handler: Callable[[Change], None], on_synced: Callable[[], None]) -> None:
        self._handler = handler
        self._there: dict[Key, Entry] = {}
        self.synced = on_synced
        self.closed = False

    def tell(self, change: Change) -> None:
        if change.new is None:
            self._there.pop(change.entry.key, None)
        else:
            self._there[change.entry.key] = change.new
        self._handler(change)

    def call(self, function: Callable[[], None]) -> None:
        function()

    def known(self) -> list[tuple[str, Key]]:
        return [("", key) for key in self._there]

    def tell_slice(self, known: list[tuple[str, Key]], start: int) -> None:
        for _, key in known[start : start + SLICE]:
            there = self._there.get(key)
            if there is not None:
                self._handler(Change(there, there, resync=True))

    def close(self) -> None:
        self.closed = True


class FakeTimer:
    """A function that is called when the test says so."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self.seconds = seconds
        self.stopped = False
        self._function = function

    def stop(self) -> None:
        self.stopped = True

    def fire(self) -> None:
        assert not self.stopped
        self._function()


class FakeCachedKind:
    """What is kept of a kind, and every handle of it."""

    def __init__(self) -> None:
        self.subscriptions: list[FakeSubscription] = []
        self.paths: list[str] = []
        self.holdings: list[Holding | None] = []
        self.resyncs: list[float] = []
        self.timers: list[FakeTimer] = []
        self.users = 0

    def subscribe(
        self, handler: Callable[[Change], None], on_synced: Callable[[], None], *, resync: float = 0.0
    ) -> FakeSubscription:
        self.subscriptions.append(FakeSubscription(handler, on_synced))
        self.resyncs.append(resync)
        return self.subscriptions[-1]

    def close(self) -> None:
        self.users -= 1
        if not self.users:
            for subscription in self.subscriptions:
                subscription.close()

    def index(self, paths: Sequence[str]) -> None:
        self.paths += paths

    def call_later(self, seconds: float, function: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(seconds, function))
        return self.timers[-1]

    def tell(self, *changes: Change) -> None:
        for change in changes:
            for subscription in self.subscriptions:
                subscription.tell(change)

    def synced(self) -> None:
        for subscription in self.subscriptions:
            subscription.synced()


class FakeServer:
    """Reads and writes of a client, on a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[tuple[GVK, Key], bytes] = {}
        self.writes: list[Write] = []
        self.refuse: Exception | None = None

    def put(self, body: dict[str, Any]) -> None:
        gvk = GVK.of(body["apiVersion"], body["kind"])
        found = Projection(gvk).entry(json.dumps(body).encode())
        self.objects[gvk, found.key] = found.raw

    def get(self, kind: KindRef, key: Key, subresource: str = "") -> bytes:
        try:
            return self.objects[gvk_of(kind), key]
        except KeyError:
            raise NotFound("gone", status=404, reason="NotFound") from None

    def list(self, kind: KindRef, selection: Selection) -> Sequence[bytes]:
        raise NotImplementedError

    def write(self, write: Write) -> bytes:
        if self.refuse is not None:
            raise self.refuse
        self.writes.append(write)
        body = json.loads(self.get(write.kind, write.key))
        body["metadata"] |= json.loads(write.body).get("metadata", {})
        body["metadata"]["resourceVersion"] = str(next(_versions))
        self.put(body)
        return json.dumps(body).encode()


class FakeBreaker:
    def __init__(self) -> None:
        self.state = CLOSED
        self.in_doubt = self.doubts = False
        self.hearers: list[Callable[[], None]] = []

    def subscribe(self, hear: Callable[[], None], *, doubts: bool) -> Callable[[], None]:
        self.doubts = doubts
        self.hearers.append(hear)
        return lambda: self.hearers.remove(hear)

    def turn(self, state: State, *, in_doubt: bool = False) -> None:
        self.state, self.in_doubt = state, in_doubt or state is HALF_OPEN
        for hear in self.hearers:
            hear()


class FakeCluster:
    def __init__(
        self, name: str = "", *, cluster_scoped: Sequence[str] = (), labels: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.uid = f"uid-{name}"
        self.labels = labels or {}
        self.weight = 1
        self.itself = self
        self.kinds: dict[GVK, FakeCachedKind] = {}
        self.server = FakeServer()
        self.clients: list[tuple[str, StopToken | None, Deadline | None]] = []
        self.guards: list[Callable[[], None] | None] = []
        self.holdings: list[object] = []
        self.leaving = StopToken()
        self.breaker = FakeBreaker()
        self.troubled_since: float | None = None
        self.weight = 1
        self.client = self.api_reader = Client(Ports(self.server, self.server, self.server, self.name))
        self._cluster_scoped = {gvk_of(kind) for kind in cluster_scoped}
        self._mapper = self  # What a view of a cluster looks at.

    def known(self, kind: KindRef) -> ResourceMapping:
        return ResourceMapping(gvk_of(kind), "", namespaced=gvk_of(kind) not in self._cluster_scoped)

    def cache(self, kind: KindRef, holding: Holding | None = None) -> FakeCachedKind:
        found = self.kinds.setdefault(gvk_of(kind), FakeCachedKind())
        found.holdings.append(holding)
        found.users += 1
        return found

    def is_namespaced(self, kind: KindRef) -> bool | None:
        return gvk_of(kind) not in self._cluster_scoped

    def client_for(
        self,
        field_owner: str,
        *,
        cached: bool = True,
        stop: StopToken | None,
        deadline: Deadline | None,
        guard: Callable[[], None] | None = None,
        tracker: object = None,
        holdings: object = None,
        rails: tuple[Rail, ...] = (),
    ) -> Client:
        assert cached
        self.clients.append((field_owner, stop, deadline))
        self.guards.append(guard)
        self.holdings.append(holdings)
        writer = RailedWriter(self.server, self.server, rails, self.name) if rails else self.server
        return Client(Ports(self.server, self.server, writer, self.name))

    def tell(self, kind: KindRef, *changes: Change) -> None:
        self.kinds.setdefault(gvk_of(kind), FakeCachedKind()).tell(*changes)

    def synced(self) -> None:
        for kind in self.kinds.values():
            kind.synced()


class FakeHost:
    """Runs controllers of a test; `end` ends every thread it started."""

    def __init__(self, *clusters: FakeCluster, clock: Clock | None = None) -> None:
        self.clock: Any = clock or VirtualClock()
        self.metrics = Metrics()
        self.guard: Callable[[], None] | None = None
        self.events = Broadcaster(clock=self.clock, metrics=self.metrics)
        self.pauses = Pauses(clock=self.clock, metrics=self.metrics)
        self.mappers = Mappers(clock=self.clock)
        self.watchdog = Watchdog(self.clock)
        self.failures: list[tuple[str, BaseException]] = []
        self.threads = ThreadGroup(on_failure=lambda name, error: self.failures.append((name, error)))
        self.mappers.start(self.threads)
        self.known = {cluster.name: cluster for cluster in clusters or (FakeCluster(),)}
        self.controllers: list[Controller] = []

    @property
    def clusters(self) -> Any:
        return self

    def get(self, name: str) -> Any:
        if name not in self.known:
            raise ClusterNotFound(f"no cluster {name!r} is engaged")
        return self.known[name]

    def __iter__(self) -> Iterator[FakeCluster]:
        return iter(self.known.values())

    def run(self, controller: Controller, *, engage: bool = True) -> Controller:
        self.controllers.append(controller)
        if engage:
            for cluster in self.known.values():
                controller.engage(cluster)  # type: ignore[arg-type]
        controller.start(self.threads)
        return controller

    def metric(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None, f"no sample {name} {labels}"
        return value

    def end(self) -> None:
        for controller in self.controllers:
            controller.stop_queue()
            controller.interrupt()
        self.mappers.stop()
        self.watchdog.stop()
        left = self.threads.join(10)
        assert not left, left


class Scripted(Reconciler):
    """Reconciles config maps by a function of the test, and notes what it was asked."""

    name = "scripted"

    def __init__(
        self,
        act: Callable[[Context, Request], Result | None] = lambda _ctx, _request: None,
        *,
        setup: Callable[[Builder], object] = lambda builder: builder.for_(CONFIG_MAP),
    ) -> None:
        self._act = act
        self._setup = setup
        self._changed = threading.Condition()
        self.calls: list[Request] = []
        self.contexts: list[Context] = []

    def setup(self, builder: Builder) -> None:
        self._setup(builder)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        try:
            return self._act(ctx, request)
        finally:
            with self._changed:
                self.calls.append(request)
                self.contexts.append(ctx)
                self._changed.notify_all()

    def wait_for_calls(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, 10), self.calls

    @property
    def names(self) -> list[str]:
        return [request.name for request in self.calls]
