"""Rows 1 to 23, 43 and 44 of the conformance list on running servers: the embedded one, and the real kube-apiserver.

Lists, watches, events and reads are the servers' own. A proxy between shows what was asked, and plays what neither
server can be brought to do on command: 410 and 429, a watch that ends at once, a bookmark (the real server sends one a
minute), an end mark that says "false". `test_reflector.py` and `test_informer.py` hold the same rows in every detail
against a server that the test plays. Deviations: DEVIATIONS.md.
"""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from kcontroller import Key, Manager, ManagerOptions, Reconciler
from kcontroller.cache import targets
from kcontroller.cache.reflector import State
from kcontroller.errors import NotFound, UnlistedNamespace
from kcontroller.testing import Answer, Hang, HttpFaultProxy, Refuse, Truncate, eventually
from tests.faults.watched import (
    EXPIRED,
    LONGEST_BACKOFF,
    Hearing,
    Namespace,
    Watched,
    bookmark,
    config_for,
    event,
    questions,
)
from tests.integration.conftest import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Request, Result
    from kcontroller.cache.store import Change
    from kcontroller.cache.subscribers import Subscription
    from tests.faults.watched import Server

CONFIG_MAP = "v1 ConfigMap"
STREAMS = "sendInitialEvents=true"
GONE = event("ERROR", EXPIRED)
STEP = 0.1


@pytest.fixture
def namespace(server: Server) -> Namespace:
    return Namespace(server)


@pytest.fixture
def proxy(server: Server) -> Iterator[HttpFaultProxy]:
    with HttpFaultProxy(server.url, ca_pem=server.ca_pem, record=True) as made:
        yield made


@pytest.fixture
def watch(server: Server, namespace: Namespace, proxy: HttpFaultProxy) -> Iterator[Callable[..., Watched]]:
    """Start an informer of the namespace through the proxy."""
    made: list[Watched] = []

    def start(**options: Any) -> Watched:
        watched = Watched(server, namespace=namespace.name, proxy=proxy, **options)
        made.append(watched)
        return watched.__enter__()

    yield start
    for each in made:
        each.__exit__(None, None, None)


@pytest.fixture
def watched(watch: Callable[..., Watched]) -> Watched:
    """An informer that has synced with an empty namespace, a minute ago."""
    watched = watch().until_synced()
    watched.pass_time(60)
    return watched


def tell(proxy: HttpFaultProxy, lines: bytes, *, end: bool = False) -> None:
    """Put lines into the watch, as soon as it is open."""
    eventually(lambda: proxy.tell(lines, end=end), 10)


def waited(watched: Watched, proxy: HttpFaultProxy, first: list[str], then: str) -> float:
    """The seconds between the trouble that `first` ran into and the question that follows it, in steps of 0.1.

    In each step the question may come: the informer's thread has run all that is due before the next one begins.
    """
    watched.until(lambda: watched.reflector.state is State.WAITING)
    assert questions(proxy)[1:] == first
    began = watched.clock.monotonic()
    while watched.reflector.state is State.WAITING:
        assert watched.clock.monotonic() < began + LONGEST_BACKOFF
        watched.pass_time(STEP)
        watched.pass_time(0.0)  # The timer fires after the call that moved the clock.
    watched.until(lambda: questions(proxy)[1:] == [*first, then])
    return watched.clock.monotonic() - began


def relist(proxy: HttpFaultProxy, happen: Callable[[], object]) -> None:
    """Let something happen of which the informer learns by a list only: its watch is cut, and its version expired."""
    proxy.add(Answer(GONE), watch=True, times=1)  # For the next one.
    with proxy.add(Hang(), watch=True):
        happen()
        proxy.cut(watch=True)


def paged(proxy: HttpFaultProxy) -> None:
    """Refuse streaming lists, as a server that does not know them."""
    proxy.add(Refuse(422, "Invalid"), query=STREAMS)


# ---- Reflector -------------------------------------------------------------------------------------------------------


def test_01_the_first_list_is_streamed_and_names_no_version(watched: Watched, proxy: HttpFaultProxy) -> None:
    assert watched.hearing.synced
    assert questions(proxy) == ["watch initial at newest"]


def test_01_our_first_paged_list_is_consistent_too(watch: Callable[..., Watched], proxy: HttpFaultProxy) -> None:
    paged(proxy)
    watched = watch().until_synced()
    version = watched.informer.store.version

    expected = ["watch initial at newest", "list page at newest", f"watch from {version}"]
    watched.until(lambda: questions(proxy) == expected)


def test_01_by_option_the_first_paged_list_takes_any_version(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    paged(proxy)
    namespace.create("a")
    watched = watch(any_version=True).until_synced()

    assert questions(proxy)[:2] == ["watch initial at newest", "list page at 0"]
    watched.until(lambda: watched.names == ["a"])


def test_02_a_410_on_a_list_at_a_version_lists_at_once_without_a_version(
    watched: Watched, proxy: HttpFaultProxy
) -> None:
    version = watched.informer.store.version
    proxy.add(Refuse(410), query=STREAMS, times=1)
    tell(proxy, GONE)

    watched.until(lambda: questions(proxy)[1:] == [f"watch initial at {version}", "watch initial at newest"])


@pytest.mark.parametrize("as_event", [True, False])
def test_03_a_410_on_a_watch_lists_at_the_last_version_first(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace, *, as_event: bool
) -> None:
    namespace.create("a")
    watched.until(lambda: watched.names == ["a"])
    version = watched.informer.store.version
    if as_event:
        tell(proxy, GONE)
        expected = [f"watch initial at {version}"]
    else:
        proxy.add(Refuse(410), watch=True, times=1)
        tell(proxy, b"", end=True)
        expected = [f"watch from {version}", f"watch initial at {version}"]

    watched.until(lambda: questions(proxy)[1:] == expected)
    namespace.create("b")
    watched.until(lambda: watched.hearing.heard == ["add a", "add b"])


def test_04_a_429_on_a_watch_watches_again_after_its_time_without_a_list(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    version = watched.informer.store.version
    proxy.add(Refuse(429, retry_after=7), watch=True, times=1)
    tell(proxy, b"", end=True)

    assert waited(watched, proxy, [f"watch from {version}"], f"watch from {version}") == pytest.approx(7.0, abs=0.15)
    namespace.create("a")
    watched.until(lambda: watched.hearing.heard == ["add a"])


def test_05_a_clean_end_watches_again_from_the_last_version_without_a_list(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    made = namespace.create("a")
    watched.until(lambda: watched.names == ["a"])
    tell(proxy, b"", end=True)
    watched.until(lambda: questions(proxy)[1:] == [f"watch from {made['metadata']['resourceVersion']}"])
    namespace.create("b")

    watched.until(lambda: watched.hearing.heard == ["add a", "add b"])


def test_06_the_version_of_a_bookmark_is_used_for_the_next_watch(
    server: Server, watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    Namespace(server).create("elsewhere")
    version = namespace.version
    assert watched.informer.store.version < version
    tell(proxy, bookmark(version))
    watched.until(lambda: watched.informer.store.version == version)
    tell(proxy, b"", end=True)

    watched.until(lambda: questions(proxy)[1:] == [f"watch from {version}"])


def test_07_the_end_mark_syncs_and_its_stream_is_the_watch(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    namespace.create("a")
    watched = watch().until_synced()
    namespace.create("b")

    watched.until(lambda: watched.hearing.heard == ["initial a", "add b"])
    assert questions(proxy) == ["watch initial at newest"]


def test_07_an_end_mark_that_says_false_does_not_sync(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    proxy.add(Answer(bookmark(namespace.version, mark="false")), watch=True, times=1)
    watched = watch()
    watched.until(lambda: watched.informer.status.trouble)

    assert not watched.hearing.synced
    watched.until(lambda: watched.hearing.synced, resting=True)


@pytest.mark.parametrize("status", [400, 405, 422])
def test_08_a_streaming_list_that_is_refused_falls_back_to_a_list_for_this_cycle(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, status: int
) -> None:
    proxy.add(Refuse(status), query=STREAMS, times=1)
    watched = watch().until_synced()
    version = watched.informer.store.version
    watched.pass_time(60)
    tell(proxy, GONE)

    expected = [
        "watch initial at newest",
        "list page at newest",
        f"watch from {version}",
        f"watch initial at {version}",
    ]
    watched.until(lambda: questions(proxy) == expected)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_08_we_wait_where_a_list_would_meet_the_same_answer(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, status: int
) -> None:
    proxy.add(Refuse(status), query=STREAMS, times=1)
    watched = watch()
    watched.until(lambda: watched.informer.status.trouble)
    assert questions(proxy) == ["watch initial at newest"]

    watched.until(lambda: watched.hearing.synced, resting=True)
    assert questions(proxy) == ["watch initial at newest"] * 2


def test_09_a_watch_that_ends_at_once_without_an_event_lists_after_backoff(
    watched: Watched, proxy: HttpFaultProxy
) -> None:
    version = watched.informer.store.version
    proxy.add(Answer(), watch=True, times=1)
    tell(proxy, b"", end=True)

    assert waited(watched, proxy, [f"watch from {version}"], f"watch initial at {version}") == pytest.approx(
        0.8, abs=0.15
    )


def test_10_a_watch_asks_for_300_to_600_seconds(watch: Callable[..., Watched], proxy: HttpFaultProxy) -> None:
    watch(rng=random.Random()).until_synced()  # noqa: S311 - not a secret

    (exchange,) = proxy.exchanges
    assert 300 <= int(exchange.query["timeoutSeconds"]) <= 600


def test_11_a_list_at_a_version_is_not_paged(watch: Callable[..., Watched], proxy: HttpFaultProxy) -> None:
    paged(proxy)
    watched = watch().until_synced()
    version = watched.informer.store.version
    watched.pass_time(60)
    tell(proxy, GONE)

    watched.until(lambda: questions(proxy)[3:5] == [f"watch initial at {version}", f"list whole at {version}"])


def test_11_a_410_on_page_2_makes_one_full_list(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "PAGE_SIZE", 2)
    for name in "abc":
        namespace.create(name)
    paged(proxy)
    proxy.add(Refuse(410), query="continue=", times=1)
    watched = watch().until_synced()

    first, second, whole = questions(proxy)[1:4]
    assert (first, second.rpartition(" ")[0], whole) == (
        "list page at newest",
        "list page at newest",
        "list whole at newest",
    )
    assert watched.names == ["a", "b", "c"]


def test_11_pages_are_put_together(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "PAGE_SIZE", 2)
    for name in "abcde":
        namespace.create(name)
    paged(proxy)
    watched = watch().until_synced()

    assert sum(question.startswith("list page") for question in questions(proxy)) == 3
    assert watched.names == ["a", "b", "c", "d", "e"]


def test_12_initial_events_do_not_move_the_version(
    watch: Callable[..., Watched], proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    namespace.create("a")
    line = namespace.create("b")
    proxy.add(Truncate(len(event("ADDED", line))), watch=True, times=1)
    watched = watch()
    watched.until(lambda: watched.informer.status.trouble)
    whole = bytes(proxy.exchanges[0].body).splitlines(keepends=True)[0]
    assert whole.endswith(b"\n")
    assert json.loads(whole)["type"] == "ADDED"
    assert watched.reflector.version == 0

    watched.until(lambda: watched.hearing.synced, resting=True)
    assert "at newest" in questions(proxy)[1]
    assert watched.names == ["a", "b"]


# ---- Informer --------------------------------------------------------------------------------------------------------


def test_13_a_deletion_missed_during_a_cut_is_told_with_the_last_known_object(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    namespace.create("a", x="1")
    watched.until(lambda: watched.names == ["a"])
    relist(proxy, lambda: namespace.delete("a"))

    watched.until(lambda: watched.hearing.heard == ["add a", "unseen a"], resting=True)
    (_, change) = watched.hearing.changes
    assert change.old is not None
    assert msgspec.json.decode(change.old.raw)["data"] == {"x": "1"}


def test_14_a_relist_tells_deletions_before_additions_and_the_store_is_new_already(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    namespace.create("a")
    watched.until(lambda: watched.names == ["a"])
    seen: list[tuple[bool, list[str]]] = []
    hearing = Hearing()
    hearing.hear = lambda change: seen.append((change.new is None, watched.names))  # type: ignore[method-assign]
    watched.subscribe(hearing)
    watched.until(lambda: hearing.synced)
    seen.clear()
    relist(proxy, lambda: (namespace.create("b"), namespace.delete("a")))

    watched.until(lambda: seen == [(True, ["b"]), (False, ["b"])], resting=True)


def test_15_we_tell_a_deletion_and_a_creation_of_what_was_made_again_between_two_lists(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    first = namespace.create("a")
    watched.until(lambda: watched.names == ["a"])
    relist(proxy, lambda: (namespace.delete("a"), namespace.create("a")))

    watched.until(lambda: watched.hearing.heard == ["add a", "unseen a", "add a"], resting=True)
    gone, came = watched.hearing.changes[1:]
    assert gone.entry.uid == first["metadata"]["uid"] != came.entry.uid


def test_16_a_handler_is_synced_after_its_last_initial_object_has_returned(
    watch: Callable[..., Watched], namespace: Namespace
) -> None:
    for name in "ab":
        namespace.create(name)
    watched = watch()
    order: list[str] = []
    hearing = Hearing()

    def hear(change: Change) -> None:
        order.append(f"begin {change.entry.key.name}")
        assert not hearing.synced
        order.append(f"end {change.entry.key.name}")

    hearing.hear = hear  # type: ignore[method-assign]
    watched.subscribe(hearing)

    watched.until(lambda: hearing.synced)
    assert order == ["begin a", "end a", "begin b", "end b"]


def test_17_a_late_handler_gets_every_object_as_initial_without_gap_or_duplicate(
    watched: Watched, namespace: Namespace
) -> None:
    late = [Hearing() for _ in range(5)]
    names = [f"{number:02}" for number in range(20)]
    for number, name in enumerate(names):
        namespace.create(name)
        if number % 4 == 0:
            watched.subscribe(late[number // 4])

    for hearing in late:
        watched.until(lambda hearing=hearing: len(hearing.changes) == len(names))
        assert [words.split()[1] for words in hearing.heard] == names
        kinds = [words.split()[0] for words in hearing.heard]
        assert kinds == sorted(kinds, reverse=True)  # "initial" before "add".


class Slow(Reconciler):
    """Maps what it watches by a function that does not return."""

    name: ClassVar[str] = "slow"

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def setup(self, builder: Builder) -> None:
        builder.for_("v1 Secret").watches(CONFIG_MAP, self.map)

    def map(self, _cluster: object, _object: object) -> list[Key]:
        self.began.set()
        self.go_on.wait(30)
        return []

    def reconcile(self, _ctx: Context, _request: Request) -> Result | None:
        return None


class Quick(Reconciler):
    """Notes what it reads."""

    name: ClassVar[str] = "quick"

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.read: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        if request.namespace == self.namespace:
            self.read.append(ctx.client.get(CONFIG_MAP, request)["data"]["n"])
        return None


def test_18_a_slow_map_function_delays_neither_another_controller_nor_the_store(
    server: Server, namespace: Namespace
) -> None:
    slow, quick = Slow(), Quick(namespace.name)
    manager = Manager(config_for(server), options=ManagerOptions(**OPTIONS))
    manager.add(slow, quick)
    with manager:
        try:
            namespace.create("a", n="0")
            assert slow.began.wait(10)
            for number in range(1, 6):
                namespace.update("a", n=str(number))
                eventually(lambda number=number: quick.read[-1:] == [str(number)], 10)
            key = Key(namespace.name, "a")
            assert manager.cluster().client.get(CONFIG_MAP, key)["data"] == {"n": "5"}
        finally:
            slow.go_on.set()


def test_19_the_order_of_an_objects_changes_is_kept_for_every_handler(watched: Watched, namespace: Namespace) -> None:
    other = Hearing()
    watched.subscribe(other)
    namespace.create("a", n="0")
    for number in range(1, 20):
        namespace.update("a", n=str(number))
    namespace.delete("a")

    for hearing in (watched.hearing, other):
        watched.until(lambda hearing=hearing: hearing.heard[-1:] == ["delete a"])
        assert hearing.heard == ["add a", *["update a"] * 19, "delete a"]
        seen = [msgspec.json.decode(change.entry.raw)["data"]["n"] for change in hearing.changes]
        assert seen == [*map(str, range(20)), "19"]


def test_20_a_relist_tells_nothing_of_what_did_not_change(
    watched: Watched, proxy: HttpFaultProxy, namespace: Namespace
) -> None:
    for name in "abc":
        namespace.create(name)
    watched.until(lambda: watched.names == ["a", "b", "c"])
    relist(proxy, lambda: namespace.create("d"))

    watched.until(lambda: watched.names == ["a", "b", "c", "d"], resting=True)
    assert watched.hearing.heard == ["add a", "add b", "add c", "add d"]


class Resyncing(Quick):
    """Asks for a resync, as often as it may."""

    name: ClassVar[str] = "resyncing"

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP, resync=1.0)


def test_20_a_resync_reaches_only_who_asked_and_asks_the_server_for_nothing(
    server: Server, namespace: Namespace, proxy: HttpFaultProxy
) -> None:
    namespace.create("a", n="0")
    asking, other = Resyncing(namespace.name), Quick(namespace.name)
    manager = Manager(proxy.config(config_for(server)), options=ManagerOptions(**OPTIONS, namespaces=(namespace.name,)))
    manager.add(asking, other)
    with manager:
        assert manager.wait_ready(10)
        eventually(lambda: asking.read and other.read, 10)
        asked = len(proxy.exchanges)
        eventually(lambda: len(asking.read) >= 2, 10)

        assert other.read == ["0"]
        assert len(proxy.exchanges) == asked


def test_21_a_removed_handler_gets_nothing_more_and_removing_it_twice_is_fine(
    watched: Watched, namespace: Namespace
) -> None:
    removed = [Hearing(), Hearing()]
    subscriptions: list[Subscription] = []

    def come() -> None:
        subscriptions.extend(watched.informer.subscribe(each.hear, each.on_synced) for each in removed)
        leave(0)

    def leave(number: int) -> None:
        subscriptions[number].close()
        subscriptions[number].close()

    watched.call(come)
    namespace.create("a")
    watched.until(lambda: removed[1].heard == ["add a"])
    watched.call(lambda: leave(1))
    namespace.update("a", x="1")
    namespace.create("b")

    watched.until(lambda: watched.hearing.heard == ["add a", "update a", "add b"])
    assert [each.heard for each in removed] == [[], ["add a"]]


def test_22_the_canonical_form_is_what_store_and_handlers_see(watched: Watched, namespace: Namespace) -> None:
    made = namespace.create("a", x="1")
    watched.until(lambda: watched.names == ["a"])

    (change,) = watched.hearing.changes
    stored = watched.informer.store.get(Key(namespace.name, "a"))
    assert stored is not None
    assert change.entry.raw == stored.raw
    assert "managedFields" in made["metadata"]
    del made["metadata"]["managedFields"]
    assert msgspec.json.decode(stored.raw) == made


def test_23_there_is_nothing_mutable_to_be_had_from_the_cache(watched: Watched, namespace: Namespace) -> None:
    namespace.create("a", x="1")
    watched.until(lambda: watched.names == ["a"])
    store = watched.informer.store
    (entry,) = store.entries()
    for value in (entry, *watched.hearing.changes):
        assert_immutable(value)
    store.entries().clear()

    assert store.entries() == [entry]


# ---- Reads -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def manager(server: Server, namespace: Namespace) -> Iterator[Manager]:
    """One that holds the ConfigMaps of the namespace."""
    namespace.create("a", x="1")
    manager = Manager(config_for(server), options=ManagerOptions(**OPTIONS, namespaces=(namespace.name,)))
    manager.add(Quick(""))
    with manager:
        assert manager.wait_ready(10)
        yield manager


def test_43_an_unlisted_namespace_errors_and_an_absent_object_is_not_found(
    manager: Manager, namespace: Namespace
) -> None:
    client = manager.cluster().client

    with pytest.raises(UnlistedNamespace):
        client.get(CONFIG_MAP, Key("default", "a"))
    with pytest.raises(NotFound):
        client.get(CONFIG_MAP, Key(namespace.name, "absent"))
    assert client.get_or_none(CONFIG_MAP, Key(namespace.name, "absent")) is None


def test_44_changing_what_get_or_list_returned_does_not_alter_the_cache(manager: Manager, namespace: Namespace) -> None:
    client = manager.cluster().client
    key = Key(namespace.name, "a")
    for read in (lambda: client.get(CONFIG_MAP, key), lambda: client.list(CONFIG_MAP)[0]):
        found = read()
        found["data"]["x"] = "changed"
        found.metadata.labels["new"] = "label"
        found["kind"] = "Other"

        assert read()["data"] == {"x": "1"}
        assert read().metadata.labels == {}
        assert read()["kind"] == "ConfigMap"


def assert_immutable(value: object) -> None:
    """Assert that a value and all that it holds cannot be changed."""
    match value:
        case None | bool() | int() | str() | bytes():
            return
        case tuple():
            for each in value:
                assert_immutable(each)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                held = getattr(value, name)
                with pytest.raises(AttributeError):
                    setattr(value, name, held)
                assert_immutable(held)
        case _:
            pytest.fail(f"a {type(value).__name__} can be changed")
