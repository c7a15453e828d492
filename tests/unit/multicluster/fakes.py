"""A registry whose clusters have no server: the test says when they are synced, fail and end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from kcontroller.cluster import Pending
from kcontroller.errors import ClusterNotFound
from kcontroller.multicluster import ClusterSpec, Registry, State
from kcontroller.process.metrics import Metrics
from kcontroller.process.stop import StopToken
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

if TYPE_CHECKING:
    from collections.abc import Callable


def spec(name: str = "p1", uid: str = "1", *, server: str = "https://milo.test") -> ClusterSpec:
    return ClusterSpec(name, Config(f"{server}/{name}", StaticCredentials()), uid)


class FakeCluster:
    opens_connections = True

    def __init__(self, wanted: ClusterSpec) -> None:
        self.name = wanted.name
        self.spec = wanted
        self.config = wanted.config
        self.uid = wanted.uid
        self.labels = dict(wanted.labels)
        self.source = wanted.source
        self.weight = wanted.weight
        self.leaving = StopToken()
        self.stops = 0
        self.kinds: list[str] = []
        self.trouble: dict[str, str] = {}
        self.may_end = threading.Event()
        self.fails: Exception | None = None
        self.unfit: BaseException | None = None
        self.refuse: BaseException | None = None
        self.proving: threading.Event | None = None
        self.proved: list[str] = []
        self.same = True
        self.proof_stops: list[StopToken] = []
        self.heeds = True
        self._end = threading.Event()

    def start(self, threads: ThreadGroup) -> None:
        threads.spawn("cluster", self.name or "local", self._run)

    def stop(self) -> None:
        self.stops += 1
        self.leaving.stop("stopped")
        self._end.set()

    def die(self, error: Exception) -> None:
        self.fails = error
        self._end.set()

    def prove(self, config: Config, *, stop: StopToken) -> bool:
        self.proof_stops.append(stop)
        while self.proving is not None and not self.proving.wait(0.001):
            if self.heeds:
                stop.raise_if_stopped()
        self.proved.append(config.server)
        if self.unfit is not None:
            raise self.unfit
        return self.same

    def adopt(self, config: Config) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.config = config

    def pending(self) -> tuple[Pending, ...]:
        return tuple(Pending(self.name, kind, "the first list is under way") for kind in self.kinds)

    def troubles(self) -> dict[str, str]:
        return self.trouble

    def _run(self) -> None:
        self._end.wait(10)
        if self.fails is not None:
            raise self.fails
        if not self.may_end.is_set() and self.name.startswith("stuck"):
            self.may_end.wait(10)


class FakeMember:
    """Engages at once unless told otherwise, and notes the order of what it is asked."""

    def __init__(self, name: str = "member", *, syncs: bool = True, ends: bool = True) -> None:
        self.name = name
        self.syncs = syncs
        self.ends = ends
        self.refuse: BaseException | None = None
        self.unfit: BaseException | None = None
        self.wants_hub = False
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.on_synced: dict[str, Callable[[], None]] = {}
        self.on_idle: dict[str, Callable[[], None]] = {}

    def engage(self, cluster: Any, *, on_synced: Callable[[], None]) -> None:
        self.asked.append(f"engage {cluster.name}")
        self.threads.add(threading.current_thread().name)
        if self.refuse is not None:
            raise self.refuse
        self.on_synced[cluster.name] = on_synced
        if self.syncs:
            on_synced()

    def disengage(self, name: str, *, on_idle: Callable[[], None]) -> None:
        self.asked.append(f"disengage {name}")
        self.on_idle[name] = on_idle
        if self.ends:
            on_idle()

    def relabel(self, cluster: Any) -> None:
        self.asked.append(f"relabel {cluster.name} {dict(cluster.labels)}")
        if self.unfit is not None:
            raise self.unfit


class FakeListener:
    """Notes what it hears, by cluster."""

    def __init__(self) -> None:
        self.heard: dict[str, list[str]] = {}
        self.threads: set[str] = set()
        self.hold: dict[str, threading.Event] = {}
        self.fails: Exception | None = None

    def on_engaged(self, cluster: Any) -> None:
        self._note(cluster.name, f"engaged {cluster.uid}")

    def on_draining(self, cluster: Any, why: str) -> None:
        self._note(cluster.name, f"draining {cluster.uid}: {why}")

    def on_gone(self, name: str, uid: str) -> None:
        self._note(name, f"gone {uid}")

    def on_failed(self, state: Any) -> None:
        self._note(state.name, f"failed {state.state.value}: {state.last_error}")

    def _note(self, name: str, text: str) -> None:
        self.threads.add(threading.current_thread().name)
        if name in self.hold:
            self.hold[name].wait(10)
        self.heard.setdefault(name, []).append(text)
        if self.fails is not None:
            raise self.fails

    def of(self, name: str = "p1") -> list[str]:
        return self.heard.get(name, [])


class FakeFleet:
    """The registry, and all clusters that it ever made."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.metrics = Metrics()
        self.made: list[FakeCluster] = []
        self.gone: list[FakeCluster] = []
        self.refuse: BaseException | None = None
        self.hold: threading.Event | None = None
        self.tries = 0
        self.failures: list[tuple[str, BaseException]] = []
        self.threads = ThreadGroup(on_failure=lambda name, error: self.failures.append((name, error)))
        self.registry = Registry(
            connect=self._connect,  # type: ignore[arg-type]
            clock=self.clock,
            metrics=self.metrics,
            on_gone=self.gone.append,  # type: ignore[arg-type]
            **options,
        )
        self.registry.start(self.threads)

    def _connect(self, wanted: ClusterSpec) -> FakeCluster:
        self.tries += 1
        if self.hold is not None:
            self.hold.wait(10)
        if self.refuse is not None:
            raise self.refuse
        self.made.append(FakeCluster(wanted))
        return self.made[-1]

    def settle(self) -> None:
        """Wait until all that was posted, and what came of it, is done."""
        for _ in range(4):
            done = threading.Event()
            self.registry._fleet.post(done.set)
            assert done.wait(10)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def state(self, name: str = "p1") -> State | None:
        self.settle()
        return next((each.state for each in self.registry.states() if each.name == name), None)

    def has(self, name: str = "p1") -> bool:
        self.settle()
        try:
            self.registry.get(name)
        except ClusterNotFound:
            return False
        return True

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def end(self) -> None:
        for each in self.made:
            each.may_end.set()
        assert self.registry.stop(10) == ()
        assert self.threads.join(10) == ()
        assert self.failures == []
        assert all(each.stops for each in self.made)
        eventually(lambda: not [each.name for each in threading.enumerate() if each.name.startswith("kc-leave")])
