from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key, Request
from kcontroller.controller import Builder, Channel, Controller, predicates
from kcontroller.controller.raw import KEPT, Feed
from kcontroller.errors import NotSynced
from kcontroller.testing.polling import eventually
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, FakeHost, Scripted, added, entry

if TYPE_CHECKING:
    from kcontroller.controller.event import Event

A, B = Key("n", "a"), Key("n", "b")


def engaged(host: FakeHost, setup: Any) -> Controller:
    """A controller that nobody works for."""
    controller = Controller(Scripted(setup=setup), host)
    host.controllers.append(controller)
    for cluster in host.known.values():
        controller.engage(cluster)  # type: ignore[arg-type]
        cluster.synced()
    return controller


def queued(controller: Controller) -> list[tuple[Request, int, tuple[str, ...]]]:
    found = []
    while (item := controller.queue.get(timeout=0)) is not None:
        found.append((item.request, item.priority, item.reasons))
    return found


def names(controller: Controller) -> list[str]:
    return [request.name for request, _priority, _reasons in queued(controller)]


# ---- a channel -------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_reconciled(host: FakeHost, cluster: FakeCluster) -> None:
    channel, scripted = Channel(), Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).source(channel))
    host.run(Controller(scripted, host))
    cluster.synced()

    assert channel.send(A)
    assert channel.send(Request("", "n", "b"))
    scripted.wait_for_calls(2)
    assert scripted.calls == [Request("", "n", "a"), Request("", "n", "b")]


def test_a_request_says_why_and_how_urgent_it_is(host: FakeHost) -> None:
    channel = Channel("webhook")
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP).source(channel))
    channel.send(A)
    channel.send(B, priority=7, reason="paid")

    assert queued(controller) == [
        (Request("", "n", "b"), 7, ("paid",)),
        (Request("", "n", "a"), 0, ("webhook",)),
    ]


def test_a_channel_alone_is_enough(host: FakeHost) -> None:
    channel = Channel()
    controller = engaged(host, lambda builder: builder.source(channel))
    channel.send(A)

    assert controller.waiting_for() == ()
    assert names(controller) == ["a"]


def test_what_is_sent_again_before_it_is_reconciled_is_queued_once(host: FakeHost) -> None:
    """And so a thread that sends without end fills nothing, and waits for nothing."""
    channel = Channel()
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP).source(channel))
    for number in range(10_000):
        assert channel.send(Key("n", str(number % 10)))

    assert len(names(controller)) == 10


def test_what_is_sent_before_the_kinds_are_synced_comes_after(host: FakeHost, cluster: FakeCluster) -> None:
    channel = Channel()
    channel.send(A, reason="early")
    controller = Controller(Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).source(channel)), host)
    host.controllers.append(controller)
    channel.send(A, priority=3)
    controller.engage(cluster)  # type: ignore[arg-type]
    channel.send(B)
    assert queued(controller) == []
    cluster.synced()

    assert queued(controller) == [
        (Request("", "n", "a"), 3, ("early",)),
        (Request("", "n", "b"), 0, ("channel",)),
    ]


def test_what_is_kept_is_bounded_and_the_sender_is_told() -> None:
    channel = Channel()
    for number in range(KEPT):
        assert channel.send(Key("n", str(number)))

    assert channel.send(Key("n", "0"))  # It is there.
    assert not channel.send(A)


def test_each_cluster_gets_its_own(host: FakeHost) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    channel = Channel()
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP).source(channel))
    channel.send(Request("us", "n", "a"))
    channel.send(Request("asia", "n", "a"))
    assert [request for request, _, _ in queued(controller)] == [Request("us", "n", "a")]

    asia = FakeCluster("asia")
    controller.engage(asia)  # type: ignore[arg-type]
    asia.synced()
    assert [request for request, _, _ in queued(controller)] == [Request("asia", "n", "a")]


def test_what_is_sent_to_a_cluster_that_has_left_waits_for_it(host: FakeHost, cluster: FakeCluster) -> None:
    channel = Channel()
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP).source(channel))
    controller.disengage("")
    assert channel.send(A)
    assert queued(controller) == []
    controller.engage(cluster)  # type: ignore[arg-type]
    cluster.synced()

    assert names(controller) == ["a"]


@pytest.mark.parametrize("target", ["a", None, ("n", "a")])
def test_a_channel_refuses_what_is_no_request(target: Any) -> None:
    with pytest.raises(TypeError, match="a channel takes Key or Request objects, got"):
        Channel().send(target)


def test_what_waits_to_be_judged_when_its_cluster_leaves_waits_for_it_again(
    host: FakeHost, cluster: FakeCluster
) -> None:
    go_on, asked = threading.Event(), []

    def slow(event: Event) -> bool:
        asked.append(event.request)
        return go_on.wait(10)

    channel = Channel()
    controller = engaged(host, lambda builder: builder.source(channel, predicates=[predicates.function(slow)]))
    assert channel.send(A, priority=3, reason="early")  # Is being judged.
    eventually(lambda: len(asked) == 1)
    assert channel.send(B)  # Waits behind it.
    controller.disengage("")
    go_on.set()
    eventually(lambda: host.mappers.idle)
    assert queued(controller) == []
    controller.engage(cluster)  # type: ignore[arg-type]
    eventually(lambda: len(controller.queue) == 2)

    assert queued(controller) == [
        (Request("", "n", "a"), 3, ("early",)),
        (Request("", "n", "b"), 0, ("channel",)),
    ]


def test_what_is_sent_while_its_cluster_leaves_and_comes_back_is_not_lost(
    host: FakeHost, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender has found the cluster there, and hands over when it has left."""
    channel = Channel()
    controller = engaged(host, lambda builder: builder.source(channel))
    add = Feed.add

    def late(feed: Feed, *args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(Feed, "add", add)
        controller.disengage("")
        controller.engage(cluster)  # type: ignore[arg-type]
        return add(feed, *args, **kwargs)

    monkeypatch.setattr(Feed, "add", late)
    assert channel.send(A)

    assert names(controller) == ["a"]


# ---- predicates ------------------------------------------------------------------------------------------------------


def only(name: str) -> predicates.Predicate:
    return predicates.function(lambda event: event.request is not None and event.request.name == name)


def test_the_predicates_of_all_sources_hold_for_raw_ones_too(host: FakeHost, cluster: FakeCluster) -> None:
    """Trap of controller-runtime: its raw sources ignore WithEventFilter."""

    def setup(builder: Builder) -> None:
        builder.for_(CONFIG_MAP).source(channel).predicates(predicates.function(seen))

    def seen(event: Event) -> bool:
        return (event.request or event.new.metadata).name == "a"

    channel = Channel()
    controller = engaged(host, setup)
    for name in ("a", "b"):
        cluster.tell(CONFIG_MAP, added(entry(name, namespace="kinds")))
        channel.send(Key("raw", name))
    eventually(lambda: len(controller.queue) == 2)

    assert {request.key for request, _, _ in queued(controller)} == {Key("kinds", "a"), Key("raw", "a")}


def test_predicates_add_up(host: FakeHost, cluster: FakeCluster) -> None:
    """Trap of controller-runtime: the second call replaces the first."""

    def setup(builder: Builder) -> None:
        builder.predicates(predicates.selector("app=web")).for_(
            CONFIG_MAP, predicates=[predicates.selector("tier=top")]
        ).predicates(predicates.selector("team=x"), predicates.deletion_started())

    controller = engaged(host, setup)
    every = {"app": "web", "tier": "top", "team": "x"}
    for missing in ("", *every):
        labels = {key: value for key, value in every.items() if key != missing}
        cluster.tell(CONFIG_MAP, added(entry(f"without-{missing}" if missing else "whole", labels=labels)))

    assert names(controller) == ["whole"]


def test_those_of_one_raw_source_are_its_own(host: FakeHost) -> None:
    one, other = Channel("one"), Channel("other")
    controller = engaged(host, lambda builder: builder.source(one, predicates=[only("a")]).source(other))
    for channel in (one, other):
        channel.send(B)
    one.send(A)
    eventually(lambda: len(controller.queue) == 2)

    assert sorted((request.name, reasons) for request, _, reasons in queued(controller)) == [
        ("a", ("one",)),
        ("b", ("other",)),
    ]


def test_a_function_predicate_runs_on_a_mapper_thread_and_the_sender_does_not_wait(host: FakeHost) -> None:
    go_on, asked = threading.Event(), []

    def slow(event: Event) -> bool:
        asked.append((event.request, threading.current_thread().name[:10]))
        return go_on.wait(10)

    channel = Channel()
    controller = engaged(host, lambda builder: builder.source(channel, predicates=[predicates.function(slow)]))
    channel.send(A)
    eventually(lambda: len(asked) == 1)
    for _ in range(1000):
        channel.send(A)  # While one is judged, one more waits to be.
    channel.send(A, priority=5)
    go_on.set()
    eventually(lambda: len(asked) == 2)
    eventually(lambda: len(controller.queue) == 1)

    assert {thread for _, thread in asked} == {"kc-mapper-"}
    eventually(lambda: controller.queue.depth("") == 1)
    assert [(request.name, priority) for request, priority, _ in queued(controller)] == [("a", 5)]


def test_a_function_predicate_that_fails_for_a_while_loses_nothing(host: FakeHost) -> None:
    failures = [NotSynced("not yet")] * 3

    def judge(_event: Event) -> bool:
        if failures:
            raise failures.pop()
        return True

    channel = Channel()
    controller = engaged(host, lambda builder: builder.source(channel, predicates=[predicates.function(judge)]))
    channel.send(A)
    while len(controller.queue) == 0:
        host.clock.wait_for_waiters(1)
        host.clock.advance(60)

    assert names(controller) == ["a"]


def test_one_that_was_given_up_may_be_sent_again(host: FakeHost) -> None:
    broken = [True]
    channel = Channel()
    controller = engaged(
        host,
        lambda builder: builder.source(
            channel, predicates=[predicates.function(lambda _event: bool(1 // (not broken[0])))]
        ),
    )
    channel.send(A)
    while not host.metric("kcontroller_mapper_failures_total", controller="scripted"):
        host.clock.wait_for_waiters(1)
        host.clock.advance(60)
    broken.clear()
    broken.append(False)
    channel.send(A)
    eventually(lambda: len(controller.queue) == 1)


# ---- setup -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [Channel, "channel", lambda: None])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match="source takes a Channel, an Every or a Cron, got"):
        Builder().source(source)


def test_predicates_of_all_sources_are_predicates() -> None:
    with pytest.raises(TypeError, match="got version_changed"):
        Builder().predicates(predicates.version_changed)  # type: ignore[arg-type]
