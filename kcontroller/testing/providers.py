"""What every provider of clusters must do, as tests that anybody can run on their own.

::

    class TestMine(ProviderConformance):
        @pytest.fixture
        def world(self) -> Iterator[ProviderWorld]:
            with MyBackend() as backend:
                yield MyWorld(backend)

A `ProviderWorld` is where clusters come from, as a test changes it. A test that means nothing for a provider, such as
one of clusters that change where they never do, is switched off in the class: ``test_another_uid_is_another_cluster =
None``. `MemoryProvider` is for any test that wants clusters to come and go by its own word.
"""

from __future__ import annotations

import abc
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kcontroller.multicluster.providers.names import name_problem
from kcontroller.testing.leaks import LeakCheck
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.cluster import Cluster, Source
    from kcontroller.multicluster.provider import ClusterSpec, Provider, Sink

_AT_ONCE: Final = 0.5


class MemoryProvider:
    """Tells of clusters when a test says so, on the test's own thread; what is said before the start is the first list.

    Args:
        specs: what there is at first.
    """

    name = "memory"
    patience: float | None = None
    needs_hub = False

    def __init__(self, *specs: ClusterSpec) -> None:
        self._lock = threading.Lock()
        self._specs = {spec.name: spec for spec in specs}
        self._sink: Sink | None = None

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:  # noqa: ARG002 - the protocol's
        """Tell what there is."""
        with self._lock:
            self._sink, specs = sink, tuple(self._specs.values())
        for spec in specs:
            sink.present(spec)
        sink.listed()

    def stop(self) -> None:
        """Tell nothing more."""
        with self._lock:
            self._sink = None

    def present(self, spec: ClusterSpec) -> None:
        """Let a cluster be there, or be another one."""
        with self._lock:
            self._specs[spec.name] = spec
            sink = self._sink
        if sink is not None:
            sink.present(spec)

    def absent(self, name: str, why: str = "the test says so") -> None:
        """Let a cluster go."""
        with self._lock:
            self._specs.pop(name, None)
            sink = self._sink
        if sink is not None:
            sink.absent(name, why)


class Told:
    """A sink that notes what it is told.

    Attributes:
        said: ``NAME``, ``NAME: why it is absent or refused`` and ``(listed)``, in order.
        specs: every spec, in order.
        clusters: what is there now, by name.
        refusals: what is there now and cannot be used: why, and the object that stands for it, by name.
    """

    def __init__(self) -> None:
        self.said: list[str] = []
        self.specs: list[ClusterSpec] = []
        self.clusters: dict[str, ClusterSpec] = {}
        self.refusals: dict[str, tuple[str, Source | None]] = {}

    def present(self, spec: ClusterSpec) -> None:
        """See `Sink`."""
        self.refusals.pop(spec.name, None)
        self.specs.append(spec)
        self.clusters[spec.name] = spec
        self.said.append(spec.name)

    def absent(self, name: str, why: str) -> None:
        """See `Sink`."""
        self.refusals.pop(name, None)
        self.clusters.pop(name, None)
        self.said.append(f"{name}: {why}")

    def refused(self, name: str, why: str, source: Source | None = None) -> None:
        """See `Sink`."""
        self.absent(name, why)
        self.refusals[name] = (why, source)

    def listed(self) -> None:
        """See `Sink`."""
        self.said.append(_LISTED)

    @property
    def is_listed(self) -> bool:
        """Whether the first list is complete."""
        return _LISTED in self.said


_LISTED: Final = "(listed)"


class ProviderWorld(abc.ABC):
    """Where a provider's clusters come from, as a test changes it.

    Methods that no test calls which is switched on need not be there.

    Attributes:
        hub: the cluster that the provider is given; started.
        secret: part of every credential in this world: it must be in no ``repr``.
    """

    hub: Cluster | None = None
    secret: str = "not-in-any-repr"  # noqa: S105 - a canary

    @abc.abstractmethod
    def provider(self) -> Provider:
        """Make a provider that looks at this world; several may, one after the other and at once."""

    @abc.abstractmethod
    def put(self, name: str) -> None:
        """Let a cluster be there; `name` is a DNS label."""

    def remove(self, name: str) -> None:
        """Take a cluster away."""
        raise NotImplementedError(name)

    def put_later(self, name: str) -> None:
        """Let a cluster come while a provider looks."""
        self.put(name)

    def change(self, name: str) -> None:
        """Give a cluster another configuration."""
        raise NotImplementedError(name)

    def touch(self, name: str) -> None:
        """Write a cluster's entry again, so that it says the same."""
        raise NotImplementedError(name)

    def recreate(self, name: str) -> None:
        """Put another cluster in the place of one, with another uid."""
        raise NotImplementedError(name)

    def spoil(self, name: str) -> None:
        """Put an entry there that cannot be a cluster."""
        raise NotImplementedError(name)

    def name_of(self, name: str) -> str:
        """How the provider names a cluster that was `put`."""
        return name

    def elapse(self) -> None:  # noqa: B027 - most worlds need no help
        """Let time pass that the provider waits for; called between two looks at what it told."""


class ProviderConformance:
    """The tests; a subclass gives the fixture ``world``, and its name begins with ``Test``."""

    def test_it_tells_the_first_list_and_then_once_that_this_was_all(self, world: ProviderWorld) -> None:
        """`Sink.listed` is what readiness waits for."""
        for name in ("a", "b", "c"):
            world.put(name)
        with _listed(world) as told:
            names = sorted(map(world.name_of, "abc"))
            expect(sorted(told.said[: told.said.index(_LISTED)]) == names, "the first list comes first", told)
            expect(told.said.count(_LISTED) == 1, "listed is told once", told)

    def test_start_returns_at_once(self, world: ProviderWorld) -> None:
        """It is called by the thread that starts the manager."""
        world.put("a")
        provider, told = world.provider(), Told()
        began = time.monotonic()
        provider.start(told, hub=world.hub)
        took = time.monotonic() - began
        _until(world, lambda: told.is_listed)
        provider.stop()
        expect(took < _AT_ONCE, f"start returns at once, and took {took:.1f} s", told)

    def test_names_can_be_used_and_no_repr_shows_a_credential(self, world: ProviderWorld) -> None:
        """Specs are logged and shown by debuggers."""
        world.put("a")
        with _listed(world) as told:
            for spec in told.specs:
                expect(not name_problem(spec.name), f"{spec.name!r} can be a name", told)
                expect(world.secret not in repr(spec), "no repr shows a credential", told)

    def test_what_comes_later_is_told(self, world: ProviderWorld) -> None:
        """A cluster that comes while the provider runs."""
        world.put("a")
        with _listed(world) as told:
            world.put_later("late")
            _until(world, lambda: world.name_of("late") in told.clusters)

    def test_what_goes_is_told_with_the_reason_in_one_line(self, world: ProviderWorld) -> None:
        """The reason stands in logs and in ``kcontroller clusters``."""
        world.put("a")
        world.put("b")
        with _listed(world) as told:
            world.remove("a")
            _until(world, lambda: world.name_of("a") not in told.clusters)
            name, _, why = told.said[-1].partition(": ")
            expect(name == world.name_of("a") and bool(why) and "\n" not in why, "there is a reason", told)
            expect(world.name_of("b") in told.clusters, "the other stays", told)

    def test_another_configuration_is_the_same_cluster(self, world: ProviderWorld) -> None:
        """The swap depends on it: the uid stays, and it is not absent in between."""
        world.put("a")
        with _listed(world) as told:
            before = told.clusters[world.name_of("a")]
            world.change("a")
            _until(world, lambda: told.clusters[world.name_of("a")].config != before.config)
            after = told.clusters[world.name_of("a")]
            expect(after.uid == before.uid, "the uid stays", told)
            expect(not any(": " in said for said in told.said), "it is never absent", told)

    def test_the_same_again_is_the_same_connection(self, world: ProviderWorld) -> None:
        """An entry that is written again, or carries news that concern no connection."""
        world.put("a")
        with _listed(world) as told:
            before = told.clusters[world.name_of("a")]
            world.touch("a")
            world.put_later("fence")
            _until(world, lambda: world.name_of("fence") in told.clusters)
            expect(told.clusters[world.name_of("a")].identity == before.identity, "it is the same", told)
            expect(not any(": " in said for said in told.said), "it is never absent", told)

    def test_another_uid_is_another_cluster(self, world: ProviderWorld) -> None:
        """What was made anew under a name has lost all that was in it."""
        world.put("a")
        with _listed(world) as told:
            before = told.clusters[world.name_of("a")]
            world.recreate("a")
            name = world.name_of("a")
            _until(world, lambda: name in told.clusters and told.clusters[name].uid != before.uid)

    def test_a_bad_entry_harms_no_good_one(self, world: ProviderWorld) -> None:
        """Neither in the first list nor later, and the first list ends."""
        world.put("a")
        world.spoil("bad")
        with _listed(world) as told:
            expect(world.name_of("a") in told.clusters, "the good one is told", told)
            world.spoil("worse")
            world.put_later("late")
            _until(world, lambda: world.name_of("late") in told.clusters)
            good = sorted(map(world.name_of, ("a", "late")))
            expect(sorted(told.clusters) == good, "the bad ones are not told", told)

    def test_after_its_stop_nothing_is_told(self, world: ProviderWorld) -> None:
        """A manager that has stopped engages nothing."""
        world.put("a")
        with _listed(world) as stopped:
            pass
        mark = len(stopped.said)
        with _listed(world) as told:  # A witness: what it has seen the other one would have seen too.
            world.put_later("late")
            _until(world, lambda: world.name_of("late") in told.clusters)
        expect(len(stopped.said) == mark, "nothing is told after stop", stopped)

    def test_nothing_is_left_of_it(self, world: ProviderWorld) -> None:
        """Threads and open files, over three lives."""
        world.put("a")
        with _listed(world):  # What is made once for the process, or by the hub, is there then.
            pass
        with LeakCheck(descriptors=world.hub is None):  # The connections of the hub are its own.
            for _ in range(3):
                with _listed(world):  # It begins anew.
                    pass

    def test_stopping_is_harmless_before_the_start_and_when_repeated(self, world: ProviderWorld) -> None:
        """A manager stops whatever it may have started."""
        world.put("a")
        world.provider().stop()
        provider, told = world.provider(), Told()
        provider.start(told, hub=world.hub)
        provider.stop()
        provider.stop()


def expect(holds: object, what: str, told: Told) -> None:
    """Fail with what was told, unless it holds.

    Raises:
        AssertionError: it does not.
    """
    if not holds:
        msg = f"{what}; told was: {told.said}"
        raise AssertionError(msg)


@contextmanager
def _listed(world: ProviderWorld) -> Iterator[Told]:
    """A provider that has told its first list, for the length of a block."""
    provider, told = world.provider(), Told()
    provider.start(told, hub=world.hub)
    try:
        _until(world, lambda: told.is_listed)
        yield told
    finally:
        provider.stop()


def _until(world: ProviderWorld, check: Callable[[], bool]) -> None:
    def look() -> bool:
        world.elapse()
        return check()

    eventually(look)
