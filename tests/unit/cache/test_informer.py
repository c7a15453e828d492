from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.cache.delays import WAIT_JITTER
from kcontroller.cache.informer import Informer, Status
from kcontroller.cache.meter import Health
from kcontroller.cache.reflector import Reflector
from kcontroller.cache.scope import Holding, Scope
from kcontroller.errors import ConnectFailed, ServerSilent, TransportError
from tests.unit.cache.listeners import Listener
from tests.unit.cache.objects import PODS, bookmark, key, line, nested, page, pod, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cache.store import Change
    from kcontroller.process.metrics import Metrics
    from tests.unit.cache.feeds import FakeFeed, FakeStream


def value(metrics: Metrics, family: str) -> float:
    """Read one of the informer's series."""
    sample = metrics.registry.get_sample_value
    name, labels = f"kcontroller_informer_{family}", {"kind": "v1 Pod"}
    return sample(name, labels) or sample(name, {**labels, "cluster": ""}) or 0.0


def synced(informer: Informer, feed: FakeFeed, *items: dict[str, Any], version: int = 10) -> FakeStream:
    """Start the informer and stream its first list."""
    informer.start()
    lines = [line("ADDED", item) for item in items]
    return feed.stream.respond().send(*lines, bookmark(version, mark="true"))


def relist(feed: FakeFeed, *items: dict[str, Any], version: int) -> FakeStream:
    """Let the version expire and stream the next list."""
    feed.advance(40)
    feed.stream.send(line("ERROR", status(410)))
    lines = [line("ADDED", item) for item in items]
    return feed.stream.respond().send(*lines, bookmark(version, mark="true"))


def test_nothing_is_asked_before_the_start(informer: Informer, feed: FakeFeed) -> None:
    assert feed.streams == []
    assert informer.status == Status()


def test_a_streamed_list_fills_the_store_and_its_stream_stays(informer: Informer, feed: FakeFeed) -> None:
    stream = synced(informer, feed, pod("a", 5), pod("b", 6))

    assert [entry.key for entry in informer.store.entries()] == [key("a"), key("b")]
    assert informer.store.version == 10
    assert informer.status == Status(synced=True)
    assert feed.stream is stream


def test_a_listener_from_the_start_hears_the_list_as_initial_and_then_that_it_is_synced(
    informer: Informer, feed: FakeFeed
) -> None:
    listener = Listener(informer)
    synced(informer, feed, pod("a", 5), pod("b", 6))

    assert listener.take() == ["initial a@5", "initial b@6", "synced"]


def test_live_events_are_told_in_order(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5))
    listener.take()
    stream.send(
        line("MODIFIED", pod("a", 11)) + line("ADDED", pod("b", 12)),
        line("DELETED", pod("a", 13)),
        bookmark(20),
        line("ADDED", pod("a", 21, uid="again")),
    )

    assert listener.take() == ["update a@5->11", "add b@12", "delete a@13", "add a@21"]
    assert informer.store.version == 21


def test_a_late_listener_hears_of_every_object_once_and_is_synced_at_once(informer: Informer, feed: FakeFeed) -> None:
    stream = synced(informer, feed, pod("a", 5), pod("b", 6))
    stream.send(line("MODIFIED", pod("a", 11)), line("DELETED", pod("b", 12)), line("ADDED", pod("c", 13)))
    listener = Listener(informer)

    assert listener.take() == ["initial a@11", "initial c@13", "synced"]
    stream.send(line("MODIFIED", pod("c", 14)))
    assert listener.take() == ["update c@13->14"]


def test_a_listener_that_joins_while_the_first_list_is_told_hears_all_of_it_once(
    informer: Informer, feed: FakeFeed
) -> None:
    late: list[Listener] = []

    def join(_change: Change) -> None:
        if not late:
            late.append(Listener(informer))

    informer.subscribe(join)
    synced(informer, feed, pod("a", 5), pod("b", 6), pod("c", 7))

    assert late[0].take() == ["initial a@5", "initial b@6", "initial c@7", "synced"]


def test_a_listener_that_joins_while_a_relist_is_told_hears_every_object_once(
    informer: Informer, feed: FakeFeed
) -> None:
    synced(informer, feed, pod("a", 5))
    late: list[Listener] = []

    def join(change: Change) -> None:
        if not late and not change.initial:
            late.append(Listener(informer))

    informer.subscribe(join)
    relist(feed, pod("a", 11), pod("b", 12), version=20)

    assert late[0].take() == ["initial a@11", "initial b@12", "synced"]


def test_a_relist_tells_deletions_before_what_is_new_with_the_store_already_new(
    informer: Informer, feed: FakeFeed
) -> None:
    stored: list[list[str]] = []
    listener = Listener(informer)
    synced(informer, feed, pod("a", 5), pod("b", 6))
    listener.take()
    informer.subscribe(lambda _change: stored.append([entry.key.name for entry in informer.store.entries()]))
    stored.clear()
    relist(feed, pod("c", 15), pod("b", 16), version=20)

    assert listener.take() == ["unseen a@5", "add c@15", "update b@6->16"]
    assert stored == [["c", "b"]] * 3


def test_a_relist_of_unchanged_objects_tells_nothing(informer: Informer, feed: FakeFeed) -> None:
    items = [pod(f"p{number}", number + 1) for number in range(500)]
    listener = Listener(informer)
    synced(informer, feed, *items, version=1000)
    listener.take()
    relist(feed, *items, version=2000)

    assert listener.take() == []
    assert informer.store.version == 2000


def test_an_object_made_again_during_a_cut_is_told_as_deletion_and_creation(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    synced(informer, feed, pod("a", 5, uid="one"))
    listener.take()
    relist(feed, pod("a", 15, uid="two"), version=20)

    assert listener.take() == ["unseen a@5", "add a@15"]


def test_every_subscription_is_synced_once_even_after_relists(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    synced(informer, feed)
    relist(feed, version=20)
    relist(feed, version=30)

    assert listener.take() == ["synced"]


def test_a_closed_subscription_hears_nothing_more_and_closing_twice_is_fine(informer: Informer, feed: FakeFeed) -> None:
    listener, other = Listener(informer), Listener(informer)
    stream = synced(informer, feed, pod("a", 5))
    listener.take()
    listener.subscription.close()
    listener.subscription.close()
    stream.send(line("MODIFIED", pod("a", 11)))

    assert listener.take() == []
    assert other.take()[-1] == "update a@5->11"
    assert len(informer._subscribers) == 1


def test_a_subscription_closed_by_its_own_handler_hears_not_even_the_rest_of_the_list(
    informer: Informer, feed: FakeFeed
) -> None:
    listener = Listener(informer)
    informer.subscribe(lambda _change: listener.subscription.close())
    synced(informer, feed, pod("a", 5), pod("b", 6))

    assert listener.take() == ["initial a@5"]


def test_a_subscription_closed_before_the_list_is_not_synced(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    listener.subscription.close()
    synced(informer, feed, pod("a", 5))

    assert listener.take() == []


def test_a_subscription_closed_while_others_are_synced_is_not_synced(informer: Informer, feed: FakeFeed) -> None:
    others: list[Listener] = []

    def close_the_other() -> None:
        others[0].subscription.close()

    informer.subscribe(lambda _change: None, close_the_other)
    other = Listener(informer)
    others.append(other)
    synced(informer, feed)

    assert other.take() == []


def test_a_handler_that_raises_ends_the_loop_and_the_others_have_heard(informer: Informer, feed: FakeFeed) -> None:
    def handler(_change: Change) -> None:
        raise LookupError("broken")

    informer.subscribe(handler)
    listener = Listener(informer)
    synced(informer, feed, pod("a", 5))

    assert listener.take() == ["initial a@5", "synced"]
    with pytest.raises(LookupError, match="broken"):
        feed.run()


@pytest.mark.parametrize("streaming", [True, False])
def test_what_raises_inside_the_framework_ends_the_loop_rather_than_the_news(
    informer: Informer, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch, *, streaming: bool
) -> None:
    def broken(*_args: Any, **_keywords: Any) -> None:
        raise LookupError("a fault of ours")

    monkeypatch.setattr(informer.store, "replace", broken)
    informer.start()
    if streaming:
        feed.stream.respond().send(bookmark(10, mark="true"))
    else:
        feed.stream.refuse(400)
        feed.stream.answer(page([], 10))

    assert feed.open_streams == []
    with pytest.raises(LookupError, match="a fault of ours"):
        feed.run()


def test_the_fallback_lists_by_pages_and_then_watches(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    informer.start()
    feed.stream.refuse(422)
    assert "limit=500" in feed.stream.target
    feed.stream.answer(page([pod("a", 5)], 10, "more"))
    assert "continue=more" in feed.stream.target
    assert listener.take() == []
    feed.stream.answer(page([pod("b", 6)], 10))

    assert listener.take() == ["initial a@5", "initial b@6", "synced"]
    assert feed.stream.watch
    assert "resourceVersion=10" in feed.stream.target


def test_pages_and_streams_store_the_same_bytes(make: Callable[..., Informer], feed: FakeFeed) -> None:
    document = pod("a", 5, spec={"x": 1}, metadata={"managedFields": [{"manager": "m"}]})
    streamed = make()
    stream = synced(streamed, feed, document)
    streamed.stop()
    listed = make()
    listed.start()
    feed.stream.refuse(400)
    feed.stream.answer(page([document], 10))

    (one,), (two,) = streamed.store.entries(), listed.store.entries()
    assert stream.closed
    assert msgspec.json.decode(one.raw) == msgspec.json.decode(two.raw)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"{}",
        page([], ""),
        page([], "0"),
        page([], "1.5"),
        b'{"items": 3}',
        b'{"metadata": "\xff"}',
        b"[" * 9000,
    ],
    ids=["html", "empty", "bare", "no version", "zero", "float", "odd", "latin-1", "deep"],
)
def test_a_list_that_is_no_list_is_tried_again(informer: Informer, feed: FakeFeed, body: bytes) -> None:
    informer.start()
    feed.stream.refuse(400)
    feed.stream.answer(body)

    assert "not what a Kubernetes API server sends" in informer.status.trouble
    assert feed.waiting
    feed.advance(2)
    feed.stream.respond().send(bookmark(10, mark="true"))
    assert informer.status == Status(synced=True)


def test_paths_declared_while_the_first_list_is_under_way_are_indexed(informer: Informer, feed: FakeFeed) -> None:
    informer.start()
    stream = feed.stream.respond().send(line("ADDED", pod("a", 5, spec={"nodeName": "n1"})))
    informer.add_paths(["spec.nodeName"])
    stream.send(line("ADDED", pod("b", 6, spec={"nodeName": "n1"})), bookmark(10, mark="true"))

    found = informer.store.entries(index=("spec.nodeName", "n1"))
    assert sorted(entry.key.name for entry in found) == ["a", "b"]


def test_paths_declared_between_two_pages_are_indexed(informer: Informer, feed: FakeFeed) -> None:
    informer.start()
    feed.stream.refuse(400)
    feed.stream.answer(page([pod("a", 5, spec={"nodeName": "n1"})], 10, "more"))
    informer.add_paths(["spec.nodeName"])
    feed.stream.answer(page([pod("b", 6, spec={"nodeName": "n1"})], 10))

    assert len(informer.store.entries(index=("spec.nodeName", "n1"))) == 2


def test_paths_declared_later_are_indexed_and_declared_twice_change_nothing(informer: Informer, feed: FakeFeed) -> None:
    stream = synced(informer, feed, pod("a", 5, spec={"nodeName": "n1"}))
    informer.add_paths(["spec.nodeName"])
    informer.add_paths(["spec.nodeName", "spec.x"])
    before = informer.store.get(key("a"))
    informer.add_paths(["spec.x"])
    stream.send(line("ADDED", pod("b", 11, spec={"nodeName": "n1", "x": 1})))

    assert informer.store.get(key("a")) is before
    assert informer.store.index_names == ("spec.nodeName", "spec.x")
    assert len(informer.store.entries(index=("spec.nodeName", "n1"))) == 2
    assert len(informer.store.entries(index=("spec.x", "1"))) == 1


def test_stop_closes_the_stream_and_nothing_more_happens(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5))
    listener.take()
    informer.stop()
    informer.stop()
    feed.advance(10_000)

    assert stream.closed
    assert feed.streams == [stream]
    assert informer.store.get(key("a")) is not None
    assert listener.take() == []


def test_a_list_that_has_come_in_is_watched_over_no_more(informer: Informer, feed: FakeFeed) -> None:
    informer.start()
    assert feed.waiting
    feed.stream.respond().send(bookmark(10, mark="true"))
    assert not feed.waiting


def test_stop_while_waiting_stops_the_timer(informer: Informer, feed: FakeFeed) -> None:
    informer.start()
    feed.stream.end(ConnectFailed("refused"))
    informer.stop()
    assert not feed.waiting
    feed.advance(1000)

    assert len(feed.streams) == 1


def test_stop_by_a_handler_ends_the_chunk_that_is_being_read(informer: Informer, feed: FakeFeed) -> None:
    heard: list[str] = []

    def handler(change: Change) -> None:
        heard.append(change.entry.key.name)
        informer.stop()

    stream = synced(informer, feed)
    informer.subscribe(handler)
    stream.send(line("ADDED", pod("a", 11)) + line("ADDED", pod("b", 12)))

    assert heard == ["a"]


def test_lines_behind_an_error_event_are_not_read(informer: Informer, feed: FakeFeed) -> None:
    stream = synced(informer, feed)
    feed.advance(40)
    stream.send(line("ERROR", status(410)) + line("ADDED", pod("a", 11)))

    assert stream.closed
    assert "sendInitialEvents" in feed.stream.target
    feed.stream.respond().send(bookmark(20, mark="true"))
    assert informer.store.entries() == []


def test_trouble_comes_and_goes(make: Callable[..., Informer], feed: FakeFeed) -> None:
    told: list[Status] = []
    informer = make(on_status=lambda each: told.append(each.status))
    informer.start()
    feed.stream.end(ConnectFailed("cannot connect"))
    assert isinstance(informer.error, ConnectFailed)
    feed.advance(2)
    feed.stream.end(ConnectFailed("cannot connect"))
    feed.advance(4)
    feed.stream.respond().send(bookmark(10, mark="true"))
    assert informer.error is None
    feed.advance(5)
    feed.stream.end(TransportError("lost"))
    feed.advance(10)
    feed.stream.respond()

    assert told == [
        Status(trouble="cannot connect"),
        Status(synced=True),
        Status(synced=True, trouble="lost"),
        Status(synced=True),
    ]


def test_a_healthy_watch_that_is_cut_is_no_trouble(make: Callable[..., Informer], feed: FakeFeed) -> None:
    told: list[Status] = []
    informer = make(on_status=lambda each: told.append(each.status))
    stream = synced(informer, feed)
    feed.advance(60)
    stream.end(TransportError("lost"))

    assert told == [Status(synced=True)]
    assert feed.stream.watch


def test_a_watch_whose_server_fell_silent_is_in_trouble_until_a_stream_is_accepted(
    make: Callable[..., Informer], feed: FakeFeed
) -> None:
    told: list[Status] = []
    informer = make(on_status=lambda each: told.append(each.status))
    stream = synced(informer, feed)
    feed.advance(60)
    stream.end(ServerSilent("silent"))
    assert feed.stream.watch
    assert informer.status == Status(synced=True, trouble="silent")
    feed.stream.respond()

    assert told == [Status(synced=True), Status(synced=True, trouble="silent"), Status(synced=True)]


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
def test_an_error_of_the_server_is_the_trouble(informer: Informer, feed: FakeFeed, code: int) -> None:
    informer.start()
    feed.stream.refuse(code, body=b'{"message": "it is so"}')

    assert str(code) in informer.status.trouble
    assert "pods" in informer.status.trouble
    assert "it is so" in informer.status.trouble


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"message": "\xff"}', b"[" * 5000, b"\x00" * 100, b"null", b'{"details": 3}', b"x" * 10_000_000],
    ids=["empty", "html", "latin-1", "deep", "zeros", "null", "odd", "huge"],
)
def test_an_error_with_any_body_is_tried_again(informer: Informer, feed: FakeFeed, body: bytes) -> None:
    informer.start()
    feed.stream.refuse(500, body=body)

    assert informer.status.trouble
    assert feed.waiting


@pytest.mark.parametrize("text", ["\xb2", "-1", "1.5", "soon", "9" * 400, "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_retry_after_that_is_no_number_of_seconds_does_not_hold_it_up(
    informer: Informer, feed: FakeFeed, text: str
) -> None:
    informer.start()
    feed.stream.refuse(429, {"retry-after": text})
    feed.advance(2)

    assert feed.stream.watch


def test_a_retry_after_is_waited_for(informer: Informer, feed: FakeFeed) -> None:
    informer.start()
    feed.stream.refuse(429, {"retry-after": "9"})
    feed.advance(8.9)
    assert feed.open_streams == []
    feed.advance(0.1 + 9 * WAIT_JITTER)

    assert feed.stream.watch


def test_a_watch_has_a_time_of_its_own_beyond_the_servers(informer: Informer, feed: FakeFeed) -> None:
    informer.start()

    assert 330 <= feed.stream.timeout <= 630


def test_poison_is_skipped_counted_and_named_once(
    informer: Informer, feed: FakeFeed, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    bad = pod("bad", 11, metadata={"labels": {"a": 1}})
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5))
    listener.take()
    with caplog.at_level(logging.WARNING, "kcontroller.cache"):
        stream.send(line("ADDED", bad), line("ADDED", pod("b", 12)))
        bad["metadata"]["resourceVersion"] = "13"
        stream.send(line("MODIFIED", bad))

    assert listener.take() == ["add b@12"]
    assert informer.store.version == 13
    assert feed.stream is stream
    assert value(metrics, "undecodable_total") == 2
    (record,) = caplog.records
    assert "cannot be decoded and is skipped" in record.getMessage()
    assert record.kc_fields["object"] == "default/bad"  # type: ignore[attr-defined]


def test_only_so_many_poisoned_objects_are_named(
    informer: Informer, feed: FakeFeed, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    stream = synced(informer, feed)
    with caplog.at_level(logging.WARNING, "kcontroller.cache"):
        for number in range(300):
            stream.send(line("ADDED", pod(f"p{number}", 11 + number, metadata={"uid": 1})))

    assert len(caplog.records) == 100
    assert value(metrics, "undecodable_total") == 300


def test_an_object_that_becomes_poison_keeps_its_last_state_also_over_a_relist(
    informer: Informer, feed: FakeFeed
) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5), pod("b", 6))
    listener.take()
    bad = pod("a", 11, metadata={"finalizers": "text"})
    stream.send(line("MODIFIED", bad))
    relist(feed, bad, pod("b", 6), version=20)

    assert listener.take() == []
    kept = informer.store.get(key("a"))
    assert kept is not None
    assert kept.version == 5
    informer.store.check_invariants()


def test_poison_that_is_healed_or_deleted_is_told(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5), pod("b", 6))
    listener.take()
    for name, version in (("a", 11), ("b", 12)):
        stream.send(line("MODIFIED", pod(name, version, metadata={"labels": 3})))
    stream.send(line("MODIFIED", pod("a", 13)), line("DELETED", pod("b", 14, metadata={"labels": 3})))

    assert listener.take() == ["update a@5->13", "unseen b@6"]


def test_poison_in_the_first_list_does_not_keep_the_others_from_syncing(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    synced(informer, feed, pod("a", 5), pod("bad", 6, metadata={"labels": {"a": 1}}), {"metadata": None}, pod("c", 7))

    assert listener.take() == ["initial a@5", "initial c@7", "synced"]


def test_poison_in_a_page_does_not_keep_the_others_from_syncing(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    informer.start()
    feed.stream.refuse(400)
    without = pod("bad", 6)
    del without["metadata"]["resourceVersion"]
    feed.stream.answer(page([pod("a", 5), without, {}, pod("c", 7)], 10))

    assert listener.take() == ["initial a@5", "initial c@7", "synced"]


@pytest.mark.parametrize("depth", [300, 1000, 9000])
def test_an_object_nested_too_deep_is_only_its_own_loss(informer: Informer, feed: FakeFeed, depth: int) -> None:
    deep = line("ADDED", pod("deep", 11, spec="HERE")).replace(b'"HERE"', nested(depth).encode())
    listener = Listener(informer)
    stream = synced(informer, feed)
    stream.send(deep + line("ADDED", pod("b", 12)))

    assert listener.take()[-1] == "add b@12"
    assert feed.stream is stream
    assert informer.store.version == 12


def test_a_page_with_an_object_nested_too_deep_loses_only_that(informer: Informer, feed: FakeFeed) -> None:
    body = page([pod("a", 5), pod("deep", 6, spec="HERE"), pod("c", 7)], 10)
    informer.start()
    feed.stream.refuse(400)
    feed.stream.answer(body.replace(b'"HERE"', nested(50_000).encode()))

    assert sorted(entry.key.name for entry in informer.store.entries()) == ["a", "c"]


@pytest.mark.parametrize(
    "garbage",
    [b"<html>\n", b"{}\n", b'{"type":"ADDED"}\n', b'{"type":"WHAT","object":{}}\n', b"\x00\n", b"[" * 9000 + b"\n"],
)
def test_garbage_ends_the_stream_and_the_watch_goes_on_from_the_last_version(
    informer: Informer, feed: FakeFeed, garbage: bytes
) -> None:
    stream = synced(informer, feed, pod("a", 5))
    stream.send(line("MODIFIED", pod("a", 11)), garbage, line("MODIFIED", pod("a", 12)))

    assert stream.closed
    assert "not what a Kubernetes API server sends" in informer.status.trouble
    feed.advance(2)
    assert "resourceVersion=11" in feed.stream.target
    feed.stream.respond().send(line("MODIFIED", pod("a", 12)))
    assert informer.status == Status(synced=True)
    assert informer.store.version == 12


def test_garbage_that_does_not_stop_is_passed_by_a_list(informer: Informer, feed: FakeFeed) -> None:
    synced(informer, feed, pod("a", 5))
    for _ in range(4):
        feed.stream.respond().send(b"garbage\n")
        feed.advance(9 if feed.waiting else 0)
        feed.advance(5 if not feed.open_streams else 0)

    assert "sendInitialEvents" in feed.stream.target


def test_a_server_that_went_back_is_followed_with_a_warning(
    informer: Informer, feed: FakeFeed, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5), pod("b", 90), version=100)
    listener.take()
    feed.advance(40)
    stream.end(TransportError("restored"))
    feed.stream.refuse(504, body=b'{"message": "Too large resource version: 100, current: 7", "code": 504}')
    with caplog.at_level(logging.WARNING, "kcontroller.cache"):
        feed.stream.respond().send(line("ADDED", pod("a", 5)), bookmark(7, mark="true"))

    assert listener.take() == ["unseen b@90", "update a@5->5"]
    assert informer.store.version == 7
    assert value(metrics, "resets_total") == 1
    assert "went back in time" in caplog.text


def test_what_is_of_another_server_is_not_synced_until_that_one_has_listed(
    informer: Informer, feed: FakeFeed, metrics: Metrics
) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5), pod("b", 6), pod("bad", 7))
    listener.take()
    informer.renew(elsewhere=True)
    assert stream.closed
    assert informer.status == Status(synced=False)
    feed.stream.end(ConnectFailed("refused"))
    assert informer.status == Status(synced=False, trouble="refused")
    feed.advance(2)
    broken = pod("bad", 7, metadata={"finalizers": "text"})
    feed.stream.respond().send(line("ADDED", pod("a", 5)), line("ADDED", broken), bookmark(20, mark="true"))

    assert informer.status == Status(synced=True)
    assert listener.take() == ["unseen b@6", "unseen bad@7", "update a@5->5"], "what cannot be read is of another one"
    assert value(metrics, "resets_total") == 0


def test_what_is_older_than_the_store_is_counted_and_not_told(
    informer: Informer, feed: FakeFeed, metrics: Metrics
) -> None:
    listener = Listener(informer)
    stream = synced(informer, feed, pod("a", 5))
    listener.take()
    stream.send(line("MODIFIED", pod("a", 9)), line("DELETED", pod("a", 7)), bookmark(8))

    assert listener.take() == []
    assert value(metrics, "stale_answers_total") == 3


def test_a_reading_says_what_is_there(informer: Informer, feed: FakeFeed, metrics: Metrics) -> None:
    assert informer.reading().health is Health.LISTING
    synced(informer, feed, pod("a", 5), pod("b", 6))
    relist(feed, pod("a", 5), version=20)
    (entry,) = informer.store.entries()
    reading = informer.reading()

    assert (reading.health, reading.objects, reading.size) == (Health.LIVE, 1, len(entry.raw))
    assert value(metrics, "relists_total") == 1


def test_the_age_of_the_last_event_counts_bookmarks_and_the_list_is_timed_without_the_wait_before_it(
    informer: Informer, feed: FakeFeed
) -> None:
    informer.start()
    feed.stream.refuse(503)
    feed.advance(2)
    stream = feed.stream.respond()
    feed.clock.advance(3)
    stream.send(line("ADDED", pod("a", 5)), bookmark(10, mark="true"))
    assert informer.reading().list_seconds == pytest.approx(3, abs=1.3)
    feed.clock.advance(50)
    assert informer.reading().age == 50
    stream.send(bookmark(11))

    assert informer.reading().age == 0
    assert informer.reading().list_seconds < 5


@pytest.mark.parametrize(("code", "before", "after"), [(403, 5, 5), (401, 5, 5), (404, 4, 4), (503, 3, 2)])
def test_the_state_tells_missing_rights_and_kinds_from_passing_trouble(
    make: Callable[..., Informer], feed: FakeFeed, code: int, before: int, after: int
) -> None:
    unsynced = make()
    unsynced.start()
    feed.stream.refuse(code)
    assert unsynced.reading().health == before
    unsynced.stop()
    informer = make()
    synced(informer, feed, pod("a", 5)).send(line("ERROR", status(410)))
    feed.advance(2)
    feed.stream.refuse(code)

    assert informer.reading().health == after


def test_an_informer_without_a_meter_counts_nothing(make: Callable[..., Informer], feed: FakeFeed) -> None:
    informer = make(meter=None)
    stream = synced(informer, feed)
    stream.send(bookmark(3))

    assert informer.store.version == 10


def test_one_that_is_let_go_gives_its_memory_back_and_says_that_absence_means_nothing(
    informer: Informer, feed: FakeFeed
) -> None:
    synced(informer, feed, pod("a", 5))
    informer.let_go()

    assert informer.store.entries() == []
    assert informer.store.closed
    assert feed.open_streams == []


def test_the_metadata_alone_is_asked_for_and_kept_also_if_the_server_sends_more(
    make: Callable[..., Informer], feed: FakeFeed
) -> None:
    informer = make(holding=Holding(metadata_only=True))
    informer.start()
    assert feed.stream.accept.startswith("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,")
    partial = pod("a", 5) | {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
    whole = pod("b", 6, spec={"nodeName": "n"})
    feed.stream.respond().send(line("ADDED", partial), line("ADDED", whole), bookmark(10, mark="true"))

    bodies = [msgspec.json.decode(entry.raw) for entry in informer.store.entries()]
    assert [(body["kind"], sorted(body)) for body in bodies] == [("Pod", ["apiVersion", "kind", "metadata"])] * 2


def test_a_list_of_metadata_is_asked_for_by_its_own_name(make: Callable[..., Informer], feed: FakeFeed) -> None:
    reflector = Reflector("/api/v1/pods", streaming=False)
    make(holding=Holding(metadata_only=True), reflector=reflector).start()

    assert feed.stream.accept.startswith("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,")


def test_what_is_dropped_is_neither_kept_nor_shown(make: Callable[..., Informer], feed: FakeFeed) -> None:
    informer = make(holding=Holding(drop=("spec.secret",)))
    synced(informer, feed, pod("a", 5, spec={"secret": "x", "open": "y"}))

    (entry,) = informer.store.entries()
    assert msgspec.json.decode(entry.raw)["spec"] == {"open": "y"}


@pytest.mark.parametrize(
    ("scope", "namespace", "labels", "covered"),
    [
        (Scope(), "any", {}, True),
        (Scope("one"), "one", {}, True),
        (Scope("one"), "two", {}, False),
        (Scope(labels=LabelSelector.parse("a=b")), "any", {"a": "b"}, True),
        (Scope(labels=LabelSelector.parse("a=b")), "any", {}, False),
        (Scope(fields=FieldSelector.parse("metadata.name=x")), "any", {}, False),
    ],
)
def test_covers_says_whether_an_object_would_be_here(
    make: Callable[..., Informer],
    scope: Scope,
    namespace: str,
    labels: dict[str, str],
    covered: bool,  # noqa: FBT001
) -> None:
    assert make(scope=scope).covers(namespace, labels) is covered


def test_the_scope_goes_to_the_server(make: Callable[..., Informer], feed: FakeFeed) -> None:
    scope = Scope("one", LabelSelector.parse("a=b"), FieldSelector.parse("metadata.name=x"))
    make(scope=scope).start()

    assert feed.stream.target.startswith("/api/v1/namespaces/one/pods?")
    assert "labelSelector=a%3Db" in feed.stream.target
    assert "fieldSelector=metadata.name%3Dx" in feed.stream.target


def test_ten_thousand_unchanged_objects_come_in_twenty_pages_and_tell_nothing(
    informer: Informer, feed: FakeFeed
) -> None:
    pages = [[pod(f"p{number}-{index}", number * 500 + index + 1) for index in range(500)] for number in range(20)]
    listener = Listener(informer)

    def listed(version: int) -> None:
        for number, items in enumerate(pages):
            feed.stream.answer(page(items, version, f"more-{number}" if number < 19 else ""))

    informer.start()
    feed.stream.refuse(400)
    listed(20_000)
    assert len(listener.take()) == 10_001
    feed.stream.respond()
    feed.advance(40)
    feed.stream.send(line("ERROR", status(410)))
    feed.stream.refuse(400)
    feed.stream.refuse(410)
    before = len(feed.streams)
    listed(30_000)

    assert listener.take() == []
    assert len(feed.streams) - before == 20
    assert informer.mapping is PODS
