from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.cache.meter import Health
from kcontroller.cache.scope import Holding
from kcontroller.client.discovery import RestMapper
from kcontroller.cluster.cached_kind import CachedKind
from kcontroller.cluster.kind_view import KindView
from kcontroller.errors import ApiError, ConnectFailed, KindNotServed, NotSynced, UnlistedNamespace
from tests.unit.api.kinds import Widget
from tests.unit.cache.feeds import FakeFeed, FakeStream
from tests.unit.cache.listeners import words
from tests.unit.cache.objects import bookmark, dump, line, pod, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kcontroller.cache.informer import Informer
    from kcontroller.cache.store import Change
    from kcontroller.cluster import KindSubscription

WIDGET = GVK("example.com", "v1", "Widget")


def resources(*, namespaced: bool = True, kind: str = "Widget") -> bytes:
    return dump(
        {
            "kind": "APIResourceList",
            "groupVersion": "example.com/v1",
            "resources": [
                {"name": "widgets/status", "kind": kind, "namespaced": namespaced},
                {"name": "widgets", "kind": kind, "namespaced": namespaced},
            ],
        }
    )


class Troubles:
    def __init__(self) -> None:
        self.told: list[Exception | None] = []

    def __call__(self, _kind: CachedKind, error: Exception | None) -> None:
        self.told.append(error)


class Subscriber:
    def __init__(self, kind: CachedKind) -> None:
        self.heard: list[str] = []
        self.subscription: KindSubscription = kind.subscribe(self.hear, lambda: self.heard.append("synced"))

    def hear(self, change: Change) -> None:
        self.heard.append(words(change))

    def take(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def feed() -> Iterator[FakeFeed]:
    feed = FakeFeed()
    yield feed
    assert [stream.swallowed for stream in feed.streams if stream.swallowed] == []


@pytest.fixture
def mapper() -> RestMapper:
    """A mapper that asks nobody: it knows what it is taught."""
    return RestMapper(None)  # type: ignore[arg-type]


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


@pytest.fixture
def make(feed: FakeFeed, mapper: RestMapper, troubles: Troubles) -> Callable[..., CachedKind]:
    def make(
        *,
        namespaces: tuple[str, ...] = (),
        known: ResourceMapping | None = None,
        holding: Holding | None = None,
    ) -> CachedKind:
        if known is not None:
            mapper.learn(known)
        return CachedKind(
            WIDGET,
            str(WIDGET),
            feed=feed,
            mapper=mapper,
            clock=feed.clock,
            namespaces=namespaces,
            holding=holding,
            on_trouble=troubles,
        )

    return make


def answering(kind: CachedKind, namespace: str) -> Sequence[Informer]:
    return KindView(kind.gvk, [kind], lambda _kind: None).informers(namespace)


NAMESPACED = ResourceMapping(WIDGET, "widgets", namespaced=True)
CLUSTERED = ResourceMapping(WIDGET, "widgets", namespaced=False)


def widget(name: str, version: int, namespace: str = "default", **more: Any) -> dict[str, Any]:
    return pod(name, version, namespace=namespace, **more) | {"apiVersion": "example.com/v1", "kind": "Widget"}


def sync(stream: FakeStream, *items: dict[str, Any], version: int = 10) -> FakeStream:
    return stream.respond().send(*(line("ADDED", item) for item in items), bookmark(version, mark="true"))


def test_a_kind_that_is_known_is_listed_without_discovery(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    make(known=NAMESPACED).start()

    assert feed.stream.target.startswith("/apis/example.com/v1/widgets?")


def test_a_class_that_states_how_its_kind_is_served_spares_discovery_also_for_those_who_name_it(
    feed: FakeFeed, mapper: RestMapper, troubles: Troubles
) -> None:
    stated = Widget.resource
    CachedKind(
        stated.gvk,
        Widget,
        feed=feed,
        mapper=mapper,
        clock=feed.clock,
        on_trouble=troubles,
    ).start()

    assert feed.stream.target.startswith("/apis/example.com/v1/widgets?")
    assert mapper.known("example.com/v1 Widget") == stated


def test_an_unknown_kind_is_discovered_and_then_listed(
    make: Callable[..., CachedKind], feed: FakeFeed, mapper: RestMapper, troubles: Troubles
) -> None:
    kind = make()
    kind.start()
    assert feed.stream.target == "/apis/example.com/v1"
    feed.stream.answer(resources())
    feed.run()

    assert mapper.known(str(WIDGET)) == NAMESPACED
    assert feed.stream.target.startswith("/apis/example.com/v1/widgets?")
    assert not kind.synced
    sync(feed.stream)
    assert kind.synced
    assert troubles.told == [None]


@pytest.mark.parametrize(
    "answer",
    [
        (404, b'{"message": "not found"}'),
        (200, resources(kind="Other")),
        (200, b'{"resources": null}'),
        (200, b"<html>"),
    ],
)
def test_a_kind_that_is_not_served_is_pending_until_it_appears(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles, answer: tuple[int, bytes]
) -> None:
    kind = make()
    subscriber = Subscriber(kind)
    feed.run()
    kind.start()
    for _ in range(20):
        feed.stream.refuse(answer[0], body=answer[1])
        feed.run()
        assert isinstance(troubles.told[-1], KindNotServed)
        assert feed.open_streams == []
        feed.advance(6.1)
    feed.stream.answer(resources())
    feed.run()
    sync(feed.stream, widget("a", 5))

    assert troubles.told[-1] is None
    assert subscriber.take() == ["initial a@5", "synced"]


@pytest.mark.parametrize(
    "body",
    [b'{"resources": "\xff"}', b"[" * 5000, b'{"resources": [{"name": 3}]}', b""],
    ids=["latin-1", "deep", "odd", "empty"],
)
def test_an_answer_that_nobody_can_read_is_asked_for_again(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles, body: bytes
) -> None:
    make().start()
    feed.stream.answer(body)
    feed.run()
    assert troubles.told[-1] is not None
    feed.advance(1)

    assert feed.stream.target == "/apis/example.com/v1"


def test_discovery_that_fails_is_tried_again_with_backoff(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles
) -> None:
    make().start()
    feed.stream.end(ConnectFailed("refused"))
    assert isinstance(troubles.told[-1], ConnectFailed)
    feed.advance(0.49)
    assert feed.open_streams == []
    feed.advance(0.2)
    feed.stream.refuse(503)
    assert isinstance(troubles.told[-1], ApiError)
    feed.advance(0.99)

    assert feed.open_streams == []


def test_each_namespace_has_an_informer_of_its_own(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(namespaces=("one", "two", "one"), known=NAMESPACED)
    subscriber = Subscriber(kind)
    feed.run()
    kind.start()
    first, second = feed.open_streams
    assert "/namespaces/one/widgets" in first.target
    assert "/namespaces/two/widgets" in second.target
    sync(first, widget("a", 5, "one"))
    assert not kind.synced
    assert subscriber.take() == ["initial a@5"]
    sync(second, widget("b", 6, "two"))

    assert kind.synced
    assert subscriber.take() == ["initial b@6", "synced"]
    assert [len(answering(kind, namespace)) for namespace in ("", "one", "two")] == [2, 1, 1]
    assert answering(kind, "one")[0].store.entries() != answering(kind, "two")[0].store.entries()


def test_an_unlisted_namespace_is_an_error_and_not_an_absence(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(namespaces=("one", "two"), known=NAMESPACED)
    kind.start()
    for stream in feed.open_streams:
        sync(stream)

    with pytest.raises(UnlistedNamespace, match=r"'three' is not watched.*one, two"):
        answering(kind, "three")


def test_a_cluster_scoped_kind_is_held_whole_whatever_the_namespaces(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make(namespaces=("one", "two"), known=CLUSTERED)
    kind.start()
    assert feed.stream.target.startswith("/apis/example.com/v1/widgets?")
    sync(feed.stream, widget("a", 5, ""))

    assert len(answering(kind, "")) == 1
    assert kind.covering("", {}) is answering(kind, "")[0]


def test_nothing_is_read_from_a_cache_that_is_not_synced(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(known=NAMESPACED)
    with pytest.raises(NotSynced):
        answering(kind, "")
    kind.start()
    feed.stream.respond().send(line("ADDED", widget("a", 5)))

    with pytest.raises(NotSynced, match="Widget is not synced"):
        answering(kind, "default")


def test_a_late_subscriber_hears_of_every_object_once(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(namespaces=("one", "two"), known=NAMESPACED)
    kind.start()
    first, second = feed.open_streams
    sync(first, widget("a", 5, "one"))
    sync(second, widget("b", 6, "two"))
    subscriber = Subscriber(kind)
    assert subscriber.take() == []
    feed.run()

    assert subscriber.take() == ["initial a@5", "initial b@6", "synced"]
    second.send(line("MODIFIED", widget("b", 11, "two")))
    assert subscriber.take() == ["update b@6->11"]


def test_a_subscriber_that_joins_half_way_is_synced_with_the_last_namespace(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make(namespaces=("one", "two"), known=NAMESPACED)
    kind.start()
    first, second = feed.open_streams
    sync(first, widget("a", 5, "one"))
    subscriber = Subscriber(kind)
    feed.run()
    assert subscriber.take() == ["initial a@5"]
    sync(second)

    assert subscriber.take() == ["synced"]


def test_a_subscription_closed_before_it_joined_hears_nothing(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(known=NAMESPACED)
    kind.start()
    sync(feed.stream, widget("a", 5))
    subscriber = Subscriber(kind)
    subscriber.subscription.close()
    feed.run()

    assert subscriber.take() == []
    assert len(answering(kind, "")[0]._subscribers) == 0


def test_a_subscription_closed_before_the_kind_is_served_hears_nothing(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make()
    subscriber, other = Subscriber(kind), Subscriber(kind)
    kind.start()
    feed.run()
    subscriber.subscription.close()
    feed.stream.answer(resources())
    feed.run()
    sync(feed.stream, widget("a", 5))

    assert subscriber.take() == []
    assert other.take() == ["initial a@5", "synced"]


def test_a_closed_subscription_hears_nothing_from_that_moment_on(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make(known=NAMESPACED)
    subscriber = Subscriber(kind)
    feed.run()
    kind.start()
    sync(feed.stream, widget("a", 5))
    subscriber.take()
    subscriber.subscription.close()
    feed.stream.send(line("MODIFIED", widget("a", 11)))
    assert subscriber.take() == []
    subscriber.subscription.close()
    feed.run()
    feed.stream.send(line("MODIFIED", widget("a", 12)))

    assert subscriber.take() == []
    assert len(answering(kind, "")[0]._subscribers) == 0


def test_a_subscription_closed_between_two_namespaces_is_not_synced(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make(namespaces=("one", "two"), known=NAMESPACED)
    subscriber = Subscriber(kind)
    feed.run()
    kind.start()
    first, second = feed.open_streams
    sync(first)
    subscriber.subscription.close()
    sync(second)

    assert subscriber.take() == []


def test_an_index_declared_before_the_kind_is_served_is_there_from_the_start(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make()
    kind.index(["spec.owner"])
    kind.index([])
    kind.start()
    feed.run()
    feed.stream.answer(resources())
    feed.run()
    sync(feed.stream, widget("a", 5, spec={"owner": "me"}))

    (informer,) = answering(kind, "")
    assert len(informer.store.entries(index=("spec.owner", "me"))) == 1


def test_an_index_declared_during_the_first_list_reaches_every_namespace(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make(namespaces=("one", "two"), known=NAMESPACED)
    kind.start()
    for stream in feed.open_streams:
        stream.respond().send(line("ADDED", widget("a", 5, spec={"owner": "me"})))
    kind.index(["spec.owner"])
    feed.run()
    for stream in feed.open_streams:
        stream.send(bookmark(10, mark="true"))

    assert [len(each.store.entries(index=("spec.owner", "me"))) for each in answering(kind, "")] == [1, 1]


def test_the_trouble_of_one_namespace_lasts_until_all_are_well(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles
) -> None:
    make(namespaces=("one", "two"), known=NAMESPACED).start()
    first, second = feed.open_streams
    first.refuse(403, body=dump(status(403, "no")))
    sync(second)
    assert isinstance(troubles.told[-1], ApiError)
    feed.advance(2)
    sync(feed.open_streams[-1])

    assert troubles.told[-1] is None


def test_stop_closes_every_watch(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(namespaces=("one", "two"), known=NAMESPACED)
    kind.start()
    kind.stop()
    feed.advance(1000)

    assert feed.open_streams == []
    assert len(feed.streams) == 2


@pytest.mark.parametrize("served", [True, False])
def test_an_answer_of_discovery_after_stop_starts_nothing(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles, *, served: bool
) -> None:
    kind = make()
    kind.start()
    kind.stop()
    if served:
        feed.stream.answer(resources())
    else:
        feed.stream.refuse(404)
    feed.run()
    feed.advance(1000)

    assert len(feed.streams) == 1
    assert troubles.told == []


def test_a_fault_of_ours_while_the_kind_begins_ends_the_loop(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(namespaces=("..",))
    kind.start()
    feed.stream.answer(resources())

    with pytest.raises(ValueError, match="cannot be part of a path"):
        feed.run()


def test_only_objects_of_the_namespaces_are_covered(make: Callable[..., CachedKind]) -> None:
    kind = make(namespaces=("one",), known=NAMESPACED)
    assert kind.covering("one", {}) is None
    kind.start()

    assert kind.covering("one", {}) is not None
    assert kind.covering("two", {}) is None


def absent(stream: FakeStream) -> None:
    """Answer as for a resource that the server does not know."""
    stream.refuse(404, body=b"404 page not found\n")


def vanish(kind: CachedKind, feed: FakeFeed) -> None:
    """Let the definition of a synced kind be deleted: its watch ends, and then its path is unknown."""
    feed.advance(60)
    feed.stream.end()
    absent(feed.stream)
    feed.run()


def answer_discovery(feed: FakeFeed, body: bytes | None) -> None:
    """Let time pass until discovery is asked, and answer it; lists meet 404."""
    for _ in range(20):
        for stream in feed.open_streams:
            if "?" in stream.target:
                absent(stream)
            else:
                stream.refuse(404, body=b"404 page not found\n") if body is None else stream.answer(body)
                feed.run()
                return
        feed.advance(1)
    raise AssertionError("discovery was not asked")


def test_a_kind_that_vanishes_and_returns_as_it_was_goes_on_with_what_it_knew(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles
) -> None:
    kind = make(known=NAMESPACED)
    subscriber = Subscriber(kind)
    feed.run()
    kind.start()
    sync(feed.stream.respond(), widget("a", 5))
    subscriber.take()
    vanish(kind, feed)
    answer_discovery(feed, None)
    assert isinstance(troubles.told[-1], ApiError)
    assert [entry.name for entry in answering(kind, "")[0].store.entries()] == ["a"]
    answer_discovery(feed, resources())
    feed.advance(6)
    lists = [stream for stream in feed.open_streams if "?" in stream.target]
    sync(lists[-1], version=20)

    assert subscriber.take() == ["unseen a@5"]
    assert troubles.told[-1] is None


def test_a_kind_that_returns_under_another_plural_or_scope_is_found_and_what_was_there_is_told_as_gone(
    make: Callable[..., CachedKind], feed: FakeFeed, mapper: RestMapper, troubles: Troubles
) -> None:
    kind = make(known=NAMESPACED, namespaces=("one", "two"))
    subscriber = Subscriber(kind)
    feed.run()
    kind.start()
    one, two = feed.open_streams
    sync(one, widget("a", 5, "one"))
    sync(two)
    subscriber.take()
    before = answering(kind, "one")[0]
    feed.advance(60)
    for stream in (one, two):
        stream.end()
        absent(feed.open_streams[-1])
    feed.run()
    answer_discovery(feed, resources(namespaced=False).replace(b'"widgets"', b'"gadgets"'))

    assert mapper.known(str(WIDGET)) == ResourceMapping(WIDGET, "gadgets", namespaced=False)
    assert subscriber.take() == ["unseen a@5"]
    assert before.store.closed
    assert kind.namespaces == ()
    (stream,) = (stream for stream in feed.open_streams if "?" in stream.target)
    assert stream.target.startswith("/apis/example.com/v1/gadgets?")
    sync(stream, widget("b", 21, ""), version=30)
    assert subscriber.take() == ["initial b@21"]
    assert troubles.told[-1] is None
    feed.advance(100)
    assert feed.open_streams == [stream]


def test_discovery_has_the_last_word_after_a_kind_has_returned(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    """Its list may answer again, at the same path, before discovery shows the new scope."""
    kind = make(known=NAMESPACED)
    kind.start()
    sync(feed.stream.respond())
    vanish(kind, feed)
    answer_discovery(feed, resources())
    feed.advance(2)
    (listed,) = (stream for stream in feed.open_streams if "?" in stream.target)
    sync(listed, version=20)
    feed.advance(6)
    (asked,) = (stream for stream in feed.open_streams if "?" not in stream.target)
    asked.answer(resources(namespaced=False))
    feed.run()

    assert kind.synced is False
    assert len([stream for stream in feed.open_streams if "?" in stream.target]) == 1


def test_a_class_that_states_how_it_is_served_is_believed_whatever_discovery_says(
    feed: FakeFeed, mapper: RestMapper, troubles: Troubles
) -> None:
    kind = CachedKind(Widget.resource.gvk, Widget, feed=feed, mapper=mapper, clock=feed.clock, on_trouble=troubles)
    kind.start()
    for _ in range(5):
        absent(feed.stream)
        feed.advance(12)

    assert all(stream.target.startswith("/apis/example.com/v1/widgets?") for stream in feed.streams)


def test_namespaces_of_its_own_for_a_cluster_scoped_kind_are_an_error_that_names_it(
    make: Callable[..., CachedKind], feed: FakeFeed, troubles: Troubles
) -> None:
    kind = make(holding=Holding(namespaces=("one",)))
    kind.start()
    feed.stream.answer(resources(namespaced=False))
    feed.run()

    assert "example.com/v1 Widget is cluster-scoped" in str(troubles.told[-1])
    assert kind.readings()[0].health is Health.FAILING
    answer_discovery(feed, resources())
    assert feed.stream.target.startswith("/apis/example.com/v1/namespaces/one/widgets?")


def test_selectors_and_namespaces_are_asked_of_the_server(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    make(known=NAMESPACED, holding=Holding.of(namespaces=["one"], labels="a=b", fields="metadata.name=x")).start()

    assert feed.stream.target.startswith("/apis/example.com/v1/namespaces/one/widgets?")
    assert "labelSelector=a%3Db" in feed.stream.target
    assert "fieldSelector=metadata.name%3Dx" in feed.stream.target


# ---- resync --------------------------------------------------------------------------------------------------------


def test_a_resync_reaches_those_who_asked_and_shows_objects_as_they_are_then(
    make: Callable[..., CachedKind], feed: FakeFeed
) -> None:
    kind = make(known=NAMESPACED)
    told: list[str] = []
    kind.subscribe(lambda change: told.append(f"{change.entry.name}@{change.entry.version}"), lambda: None, resync=100)
    other = Subscriber(kind)
    feed.run()
    kind.start()
    stream = sync(feed.stream, widget("a", 5), widget("b", 6))
    stream.send(line("MODIFIED", widget("a", 11)), line("DELETED", widget("b", 12)))
    told.clear()
    other.take()
    feed.clock.advance(0)
    asked = len(feed.streams)
    feed.advance(89)
    assert told == []
    feed.advance(22)
    assert told == ["a@11"]
    feed.advance(111)

    assert told == ["a@11"] * 2
    assert other.take() == []
    assert len(feed.streams) == asked


def test_a_resync_of_many_gives_way_to_the_loop(make: Callable[..., CachedKind], feed: FakeFeed) -> None:
    kind = make(known=NAMESPACED)
    heard: list[Change] = []
    subscription = kind.subscribe(heard.append, lambda: None, resync=10)
    feed.run()
    kind.start()
    sync(feed.stream, *(widget(f"w{number}", number + 1) for number in range(1000)), version=5000)
    heard.clear()
    (timer,) = (each for each in feed.timers if each.function == subscription._resync_all)
    assert timer.function is not None
    timer.function()
    assert 0 < len(heard) < 500
    slices = 1
    while feed.calls:
        feed.calls.pop(0)()
        slices += 1
    assert (len(heard), slices) == (1000, 4)
    assert all(change.resync and change.old is None for change in heard)
    subscription.close()
    feed.run()
    heard.clear()
    feed.advance(100)

    assert heard == []
