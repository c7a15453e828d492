from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import ResourceMapping
from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.scope import Holding
from kcontroller.client.discovery import RestMapper
from kcontroller.cluster.kinds import Kinds
from kcontroller.errors import NotCached, NotSynced, UnlistedNamespace
from kcontroller.process.metrics import Metrics
from tests.unit.cache.feeds import FakeFeed, FakeStream
from tests.unit.cache.objects import PODS, bookmark, line, pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.cluster.cached_kind import CachedKind

POD = "v1 Pod"
WEB = Holding(labels=LabelSelector.parse("app=web"))
DB = Holding(labels=LabelSelector.parse("app=db"))


class Memory:
    """The kinds of one cluster on a loop that the test turns."""

    def __init__(self, *, cluster: str = "", namespaces: tuple[str, ...] = ()) -> None:
        self.feed = FakeFeed()
        self.metrics = Metrics()
        self.ended: list[CachedKind] = []
        self.mapper = RestMapper(None)  # type: ignore[arg-type]
        self.mapper.learn(PODS)
        self.kinds = Kinds(
            feed=self.feed,
            mapper=self.mapper,
            clock=self.feed.clock,
            cluster=cluster,
            namespaces=namespaces,
            on_trouble=lambda _kind, _error: None,
            on_end=self.ended.append,
            metrics=self.metrics,
        )

    def series(self) -> list[str]:
        lines = self.metrics.render().decode().splitlines()
        return [each for each in lines if each.startswith("kcontroller_informer_")]

    def sync(self, *names: str, stream: FakeStream | None = None, version: int = 10) -> None:
        self.feed.run()
        lines = [line("ADDED", pod(name, 5, labels={"app": name})) for name in names]
        (stream or self.feed.open_streams[-1]).respond().send(*lines, bookmark(version, mark="true"))

    def names(self, namespace: str = "") -> list[list[str]]:
        view = self.kinds.get(PODS.gvk)
        assert view is not None
        found = view.informers(namespace)
        return [sorted(entry.name for entry in informer.store.entries()) for informer in found]


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    assert [stream.swallowed for stream in made.feed.streams if stream.swallowed] == []


def test_those_who_want_the_same_share_one_informer_and_others_have_their_own(memory: Memory) -> None:
    first, second = memory.kinds.acquire(POD), memory.kinds.acquire(PODS.gvk, Holding())
    web = memory.kinds.acquire(POD, WEB)
    memory.feed.run()

    assert first.kind is second.kind
    assert web.kind is not first.kind
    assert len(memory.feed.open_streams) == 2


@pytest.mark.parametrize("named", [("a", "b"), ("b", "a")])
def test_to_name_the_managers_namespaces_is_to_name_none(named: tuple[str, ...]) -> None:
    memory = Memory(namespaces=("b", "a"))

    assert memory.kinds.acquire(POD).kind is memory.kinds.acquire(POD, Holding(namespaces=named)).kind
    assert memory.kinds.acquire(POD, Holding(namespaces=())).kind is not memory.kinds.acquire(POD).kind


def test_the_last_one_who_leaves_ends_the_watch_the_memory_the_metrics_and_the_reads(memory: Memory) -> None:
    first, second = memory.kinds.acquire(POD), memory.kinds.acquire(POD)
    memory.sync("a")
    store = first.covering("default", {}).store  # type: ignore[union-attr]
    memory.kinds.observe()
    assert memory.series()
    first.close()
    first.close()
    memory.feed.run()
    assert memory.feed.stream
    assert memory.names() == [["a"]]
    second.close()
    memory.feed.run()

    assert memory.feed.open_streams == []
    assert memory.kinds.get(PODS.gvk) is None
    assert store.entries() == []
    assert memory.series() == []
    assert memory.ended == [first.kind]
    memory.kinds.observe()
    assert memory.series() == []


def test_who_comes_after_the_last_has_left_starts_anew(memory: Memory) -> None:
    handle = memory.kinds.acquire(POD)
    memory.sync("a")
    handle.close()
    again = memory.kinds.acquire(POD)
    memory.sync("b")

    assert again.kind is not handle.kind
    assert memory.names() == [["b"]]
    assert len(memory.feed.open_streams) == 1


def test_a_closed_handle_hears_nothing_more_while_others_do(memory: Memory) -> None:
    heard: list[str] = []
    handle, other = memory.kinds.acquire(POD), memory.kinds.acquire(POD)
    handle.subscribe(lambda change: heard.append(f"one {change.entry.name}"), lambda: None)
    other.subscribe(lambda change: heard.append(f"other {change.entry.name}"), lambda: None)
    memory.sync("a")
    with handle:
        pass
    memory.feed.stream.send(line("ADDED", pod("b", 11)))

    assert sorted(heard) == ["one a", "other a", "other b"]


def test_what_is_shared_lives_as_long_as_the_one_who_shares_it(memory: Memory) -> None:
    handle = memory.kinds.acquire(POD)
    memory.sync("a")
    tracked = memory.kinds.share(handle.kind)
    assert tracked is not None
    handle.close()
    memory.feed.run()
    assert memory.names() == [["a"]]
    tracked.close()

    assert memory.kinds.share(handle.kind) is None


def test_an_index_is_of_every_holding_of_the_kind_that_keeps_its_path_also_of_later_ones(memory: Memory) -> None:
    whole = memory.kinds.acquire(POD)
    partial = memory.kinds.acquire(POD, Holding(metadata_only=True))
    whole.index(["spec.nodeName"])
    web = memory.kinds.acquire(POD, WEB)
    memory.feed.run()

    def names(kind: CachedKind) -> tuple[str, ...]:
        informer = kind.covering("default", {"app": "web"})
        assert informer is not None
        return informer.store.index_names

    assert [names(each.kind) for each in (whole, web, partial)] == [("spec.nodeName",), ("spec.nodeName",), ()]


def test_a_read_is_answered_by_what_holds_everything_before_what_holds_a_part(memory: Memory) -> None:
    memory.kinds.acquire(POD, WEB)
    memory.sync("web")
    assert memory.names("default") == [["web"]]
    memory.kinds.acquire(POD, DB)
    memory.sync("db")
    assert sorted(memory.names("default")) == [["db"], ["web"]]
    memory.kinds.acquire(POD)
    memory.sync("web", "db", "other")

    assert memory.names("default") == [["db", "other", "web"]]
    assert memory.names() == [["db", "other", "web"]]


def test_what_is_not_synced_yet_does_not_hide_what_is(memory: Memory) -> None:
    memory.kinds.acquire(POD, WEB)
    memory.sync("web")
    memory.kinds.acquire(POD)
    memory.feed.run()

    assert memory.names("default") == [["web"]]


def test_the_metadata_alone_never_answers_a_full_read(memory: Memory) -> None:
    memory.kinds.acquire(POD, Holding(metadata_only=True))
    memory.sync("a")
    view = memory.kinds.get(PODS.gvk)
    assert view is not None

    with pytest.raises(NotCached, match=r"only the metadata of v1 Pod is cached; read it with client\.metadata"):
        view.informers("default")
    assert len(view.informers("default", metadata=True)) == 1
    assert view.holder("default") is None
    memory.kinds.acquire(POD)
    with pytest.raises(NotSynced):
        memory.names("default")


def test_a_namespace_that_nobody_holds_is_no_absence(memory: Memory) -> None:
    memory.kinds.acquire(POD, Holding(namespaces=("one",)))
    memory.sync()
    memory.kinds.acquire(POD, Holding(namespaces=("two",)))
    memory.sync()

    with pytest.raises(UnlistedNamespace, match="'three' is not watched; this process holds v1 Pod of one, two only"):
        memory.names("three")
    assert memory.names("two") == [[]]
    assert len(memory.names()) == 2


def test_the_series_of_a_kind_sum_up_its_informers_and_show_the_worst_state(memory: Memory) -> None:
    memory.kinds.acquire(POD, Holding(namespaces=("one", "two")))
    memory.feed.run()
    one, two = memory.feed.open_streams
    memory.sync("a", "b", stream=one)
    two.refuse(403)
    memory.kinds.observe()

    value = memory.metrics.registry.get_sample_value
    labels = {"cluster": "", "kind": POD}
    assert value("kcontroller_informer_objects", labels) == 2
    assert value("kcontroller_informer_state", labels) == 5


def test_a_cluster_of_a_fleet_has_one_set_of_series_for_all_of_its_kinds() -> None:
    memory = Memory(cluster="p1")
    memory.mapper.learn(ResourceMapping(PODS.gvk.parse("v1 Secret"), "secrets", namespaced=True))
    handles = [memory.kinds.acquire(POD), memory.kinds.acquire("v1 Secret")]
    for stream in (memory.feed.run(), *memory.feed.open_streams)[1:]:
        memory.sync("a", stream=stream)
    memory.kinds.observe()

    assert len(memory.series()) == 5
    assert all('cluster="p1",kind=""' in each for each in memory.series())
    assert memory.metrics.registry.get_sample_value("kcontroller_informer_objects", {"cluster": "p1", "kind": ""}) == 2
    handles[0].close()
    memory.feed.run()
    memory.kinds.observe()
    assert memory.metrics.registry.get_sample_value("kcontroller_informer_objects", {"cluster": "p1", "kind": ""}) == 1
    handles[1].close()
    memory.feed.run()

    assert memory.series() == []
