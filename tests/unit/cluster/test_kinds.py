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
from tests.unit.cache.objects import PODS, bookmark, key, line, pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.cache.informer import Informer
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

    def names(self, namespace: str = "", *, by: Holding | None = None, metadata: bool = False) -> list[list[str]]:
        """What answers a read of somebody who keeps the kind so; [] if that is the server."""
        answering = self.kinds.answering(PODS.gvk, {PODS.gvk: by} if by is not None else {})
        assert answering is not None
        found = answering.informers(namespace, metadata=metadata)
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


@pytest.mark.parametrize("part", [WEB, Holding(drop=("spec",)), Holding(metadata_only=True)])
def test_what_one_controller_leaves_out_is_no_answer_to_another(memory: Memory, part: Holding) -> None:
    memory.kinds.acquire(POD, part)
    memory.sync("web")
    assert memory.names("default") == memory.names() == []
    memory.kinds.acquire(POD)
    memory.feed.run()

    with pytest.raises(NotSynced):
        memory.names("default")
    memory.sync("web", "other")
    assert memory.names("default") == memory.names() == [["other", "web"]]


def test_who_declared_a_part_reads_that_part_whatever_others_keep(memory: Memory) -> None:
    memory.kinds.acquire(POD)
    memory.sync("web", "db", "other")
    memory.kinds.acquire(POD, WEB)
    memory.feed.run()

    with pytest.raises(NotSynced):
        memory.names("default", by=WEB)
    memory.sync("web")
    assert memory.names("default", by=WEB) == memory.names(by=WEB) == [["web"]]


def test_who_has_let_its_part_go_reads_like_everybody(memory: Memory) -> None:
    memory.kinds.acquire(POD)
    memory.sync("web", "other")
    memory.kinds.acquire(POD, WEB).close()
    memory.feed.run()

    assert memory.names("default", by=WEB) == [["other", "web"]]


def test_who_declared_the_metadata_alone_reads_no_more(memory: Memory) -> None:
    partial = Holding(metadata_only=True)
    memory.kinds.acquire(POD, partial)
    memory.sync("a")

    with pytest.raises(NotCached, match=r"only the metadata of v1 Pod is cached; read it with client\.metadata"):
        memory.names("default", by=partial)
    assert memory.names("default", by=partial, metadata=True) == [["a"]]


def test_the_metadata_that_one_controller_keeps_answers_what_others_ask_of_it(memory: Memory) -> None:
    memory.kinds.acquire(POD, Holding(metadata_only=True))
    memory.sync("a")
    view = memory.kinds.get(PODS.gvk)
    assert view is not None

    assert memory.names("default", metadata=True) == [["a"]]
    assert view.informers("default", metadata=True, paths=["spec.nodeName"]) == ()
    assert view.holder("default") is None


def test_a_namespace_that_nobody_holds_is_no_absence(memory: Memory) -> None:
    memory.kinds.acquire(POD, Holding(namespaces=("one",)))
    memory.sync()
    memory.kinds.acquire(POD, Holding(namespaces=("two",)))
    memory.sync()

    with pytest.raises(UnlistedNamespace, match="'three' is not watched; this process holds v1 Pod of one, two only"):
        memory.names("three")
    with pytest.raises(UnlistedNamespace, match="this process holds v1 Pod of two only"):
        memory.names("one", by=Holding(namespaces=("two",)))
    assert memory.names("two") == [[]]


def test_the_namespaces_that_controllers_chose_are_not_all_there_are(memory: Memory) -> None:
    memory.kinds.acquire(POD, Holding(namespaces=("one",)))
    memory.sync()

    assert memory.names() == []
    assert memory.names(by=Holding(namespaces=("one",))) == [[]]


def test_those_of_the_manager_are() -> None:
    memory = Memory(namespaces=("a", "b"))
    memory.kinds.acquire(POD)
    memory.feed.run()
    for stream in memory.feed.open_streams:
        memory.sync(stream=stream)

    assert memory.names() == [[], []]


def test_a_write_is_owed_by_all_that_show_the_object_or_still_show_what_it_was(memory: Memory) -> None:
    web, db, whole = (memory.kinds.acquire(POD, holding).kind for holding in (WEB, DB, None))
    memory.feed.run()
    for stream in memory.feed.open_streams:
        memory.sync("web", stream=stream)
    view = memory.kinds.get(PODS.gvk)
    assert view is not None

    def informers(*kinds: CachedKind) -> set[Informer]:
        return {informer for kind in kinds for informer in kind.synced_informers("")}

    assert set(view.showing(key("new"), {"app": "db"})) == informers(db, whole)
    assert set(view.showing(key("web"), {"app": "moved"})) == informers(web, db, whole)


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

    assert len(memory.series()) == 4
    assert all('cluster="p1",kind=""' in each for each in memory.series())
    assert memory.metrics.registry.get_sample_value("kcontroller_informer_objects", {"cluster": "p1", "kind": ""}) == 2
    handles[0].close()
    memory.feed.run()
    memory.kinds.observe()
    assert memory.metrics.registry.get_sample_value("kcontroller_informer_objects", {"cluster": "p1", "kind": ""}) == 1
    handles[1].close()
    memory.feed.run()

    assert memory.series() == []
