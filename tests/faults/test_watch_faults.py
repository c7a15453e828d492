"""Watches that break: what the cache and its handlers make of it (A3 to A7 and A12 of the reliability table).

A1 is `tests/unit/cache/test_store_model.py`, A2 the golden traces. Time is virtual for the informer, so that backoff
costs nothing; servers, sockets and proxies are real.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.cache.reflector import HEALTHY_SECONDS, SILENT_SECONDS, State
from kcontroller.testing import Answer, EmbeddedServer, Hang, HttpFaultProxy, Refuse, Truncate
from tests.faults import watch_contract
from tests.faults.watch_contract import Told
from tests.faults.watched import EXPIRED, Hearing, Namespace, Watched, event, questions
from tests.faults.writing import Churn, InTheLoop, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kcontroller.cache.store import Change
    from kcontroller.embedded.store import Change as Written
    from kcontroller.testing import ControlPlane
    from kcontroller.testing.http_recording import Exchange
    from tests.faults.watched import Server

EVENTS_A_CUT = 200
LINE_BYTES = 500  # About what an event of `Churn` takes.
LONGEST_LAG = 2_000
SHORT = pytest.mark.timeout(
    180
)  # More than all its waits together, so that one of them fails and says what is missing.
LONG = (pytest.mark.long, pytest.mark.timeout(600))
GONE = event("ERROR", EXPIRED)


@pytest.fixture
def history(api_server: EmbeddedServer) -> list[Told]:
    """Every change of a ConfigMap on the embedded server, in order."""
    found: list[Told] = []

    def note(_plane: str, storage: str, change: Written) -> None:
        if storage == "configmaps":
            found.append(Told(change.type, change.after.key.name, change.after.uid, change.version))

    api_server.call(lambda: api_server.api.backend.store.observe(note))
    return found


@pytest.fixture
def proxy(api_server: EmbeddedServer) -> Iterator[HttpFaultProxy]:
    with HttpFaultProxy(api_server.url, ca_pem=api_server.ca_pem, record=True) as made:
        yield made


# ---- A3: lost events -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", [pytest.param(3_000, marks=SHORT), pytest.param(50_000, marks=LONG)])
def test_no_event_is_lost_between_cuts_of_the_watch(
    api_server: EmbeddedServer, history: list[Told], writes: int
) -> None:
    exchanges = written_through_cuts(api_server, writes)

    assert sum(len(hold_to_contract(exchange, history)) for exchange in exchanges) >= writes


@pytest.mark.parametrize("writes", [pytest.param(3_000, marks=SHORT), pytest.param(50_000, marks=LONG)])
def test_no_event_is_lost_between_cuts_of_a_watch_on_the_real_server(control_plane: ControlPlane, writes: int) -> None:
    exchanges = written_through_cuts(control_plane.servers[0], writes)

    assert sum(len(hold_to_contract(exchange)) for exchange in exchanges) > 0


def written_through_cuts(server: Server, writes: int) -> tuple[Exchange, ...]:
    """Write, with the watch cut anywhere, and compare the cache with the server; returns what was sent."""
    namespaces = [Namespace(server) for _ in range(3)]
    lengths = random.Random(1)  # noqa: S311 - to be repeated
    cuts = writes // EVENTS_A_CUT
    churn = Churn(server, [each.name for each in namespaces])
    with (
        churn,
        HttpFaultProxy(server.url, ca_pem=server.ca_pem, record=True) as proxy,
        Watched(server, proxy=proxy) as watched,
    ):
        for _ in range(cuts):
            size = 1 + int(lengths.expovariate(1 / (EVENTS_A_CUT * LINE_BYTES)))
            proxy.add(Truncate(size), path_prefix="/api/v1/configmaps", watch=True, times=1)

        def keep_up(behind: int = LONGEST_LAG) -> None:
            # A reader that falls behind by more than the server remembers would list, and hear of less.
            watched.rest()
            if watched.informer.store.version < churn.newest - behind:
                watched.until(lambda: watched.informer.store.version >= churn.newest, within=60, resting=True)

        watched.until(lambda: watched.hearing.synced, resting=True)
        first = lists(proxy)
        churn.write(writes, keep_up)
        keep_up(0)
        made = proxy.counts["cut"]
        proxy.clear()
        namespaces[0].create("the-last")
        last = Key(namespaces[0].name, "the-last")
        watched.until(lambda: watched.informer.store.get(last), within=60, resting=True)

        assert made >= cuts // 2
        assert cached(watched) == listed(server)
        told = Counter(change.entry.uid for change in watched.hearing.changes if change.new is None)
        known = {change.entry.uid for change in watched.hearing.changes if change.old is None}
        assert set(told.values()) == {1}
        assert set(told) == known - {entry.uid for entry in watched.informer.store.entries()}
        if isinstance(server, EmbeddedServer):  # The real one may forget what the watch was to go on from.
            assert lists(proxy) == first
        if lists(proxy) == first:  # Who was born and died between two lists is not heard of.
            assert sorted(told) == sorted(churn.deleted)
        return proxy.exchanges


def hold_to_contract(exchange: Exchange, history: Sequence[Told] = ()) -> list[Told]:
    """Check what a watch was sent, and return it; nothing if it is no watch."""
    if not exchange.is_watch or exchange.status != 200:
        return []
    told = watch_contract.events(bytes(exchange.body))
    assert watch_contract.violations(int(exchange.query.get("resourceVersion") or 0), told, history) == []
    return told


def cached(watched: Watched) -> dict[Key, Any]:
    return {entry.key: json.loads(entry.raw) for entry in watched.informer.store.entries()}


def listed(server: Server) -> dict[Key, Any]:
    """What the server has, as the cache should hold it."""
    found = {}
    for item in server.request("GET", "/api/v1/configmaps")[1]["items"]:
        item["metadata"].pop("managedFields", None)
        key = Key(item["metadata"]["namespace"], item["metadata"]["name"])
        found[key] = {"apiVersion": "v1", "kind": "ConfigMap", **item}
    return found


def lists(proxy: HttpFaultProxy) -> int:
    """How many lists, streamed or by pages, an informer asked for."""
    return sum("initial" in question or "list" in question for question in questions(proxy))


# ---- A4: time travel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switches", [50, pytest.param(500, marks=LONG)])
def test_a_server_that_lags_behind_never_takes_the_cache_back(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, switches: int
) -> None:
    chance = random.Random(4)  # noqa: S311 - to be repeated
    with (
        Churn(api_server, [Namespace(api_server).name]) as churn,
        api_server.front_end() as behind,
        Watched(api_server, proxy=proxy) as watched,
    ):
        backwards = Backwards(watched)
        watched.subscribe(backwards)
        watched.until_synced()
        lags = []
        for _ in range(switches):
            frozen = behind.freeze()
            churn.write(min(1_000, int(chance.expovariate(1 / 100))), watched.rest)
            watched.until(lambda: backwards.version >= newest(api_server), resting=True)
            lags.append(newest(api_server) - frozen)
            if chance.random() < 0.5:
                proxy.add(Answer(GONE), watch=True, times=1)  # For the next one, so that it lists there.
            lead(proxy, api_server, behind.url)
            watched.until(lambda: is_watching(watched, proxy), resting=True)
            churn.write(1, watched.rest)
            behind.thaw()
            watched.until(lambda: backwards.version >= newest(api_server), resting=True)
            lead(proxy, api_server, api_server.url)

        assert backwards.found == []
        assert watched.informer.store.resets == 0
        assert max(lags) > 200
        assert cached(watched) == listed(api_server)
        assert lists(proxy) > switches // 4


class Backwards(Hearing):
    """Notes where the store or what a handler hears goes back."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.found: list[str] = []
        self.version = 0
        self._watched = watched
        self._told: dict[Key, int] = {}

    def hear(self, change: Change) -> None:
        entry, store = change.entry, self._watched.informer.store
        if store.version < self.version:
            self.found.append(f"the store went from {self.version} to {store.version}")
        if entry.version < self._told.get(entry.key, 0):
            self.found.append(f"{entry.key} was told at {self._told[entry.key]}, then at {entry.version}")
        self.version = store.version
        self._told[entry.key] = entry.version


def lead(proxy: HttpFaultProxy, server: EmbeddedServer, url: str) -> None:
    """Switch to another front end."""
    proxy.lead_to(url, ca_pem=server.ca_pem)
    proxy.cut(watch=True)


def is_watching(watched: Watched, proxy: HttpFaultProxy) -> bool:
    """Whether a watch has been accepted; passes the time of a streaming list that does not come to its end mark."""
    if watched.reflector.state is State.STREAMING and proxy.exchanges[-1].status == 200:
        watched.pass_time(SILENT_SECONDS)
    return watched.reflector.state is State.WATCHING and proxy.exchanges[-1].status == 200


def newest(server: EmbeddedServer) -> int:
    """The version of the last ConfigMap that was written."""
    return server.call(lambda: server.api.backend.store.topic("", "configmaps").version)


# ---- A5: made again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_list", [False, True])
def test_each_of_1_000_objects_made_again_during_a_cut_is_told_as_a_deletion_and_a_creation(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, *, by_list: bool
) -> None:
    namespace = Namespace(api_server)
    names = [f"n{number:04}" for number in range(1_000)]
    first = in_the_loop(api_server, namespace, [("POST", name) for name in names])
    with Watched(api_server, namespace=namespace.name, proxy=proxy) as watched:
        watched.until_synced()
        if by_list:
            proxy.add(Answer(GONE), watch=True, times=1)  # For the next one.
        with proxy.add(Hang(), watch=True):
            in_the_loop(api_server, namespace, [("DELETE", name) for name in names])
            second = in_the_loop(api_server, namespace, [("POST", name) for name in names])
            proxy.cut(watch=True)
        watched.until(lambda: len(watched.hearing.changes) >= 3 * len(names), within=30, resting=True)

        heard: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
        for change, words in zip(watched.hearing.changes, watched.hearing.heard, strict=True):
            heard[change.entry.key.name].append((words.split()[0], change.entry.uid))
        gone = "unseen" if by_list else "delete"
        for name, old, new in zip(names, first, second, strict=True):
            assert heard[name] == [("initial", old), (gone, old), ("add", new)]


# ---- A6: a storm of 410 ----------------------------------------------------------------------------------------------


@pytest.mark.embedded(window=10)
def test_a_storm_of_410_costs_one_list_per_step_of_backoff_and_one_when_it_is_over(
    api_server: EmbeddedServer, proxy: HttpFaultProxy
) -> None:
    namespace = Namespace(api_server)
    names = [f"n{number}" for number in range(20)]
    in_the_loop(api_server, namespace, [("POST", name) for name in names])
    with Watched(api_server, namespace=namespace.name, proxy=proxy) as watched:
        watched.until_synced()
        began = watched.clock.monotonic()
        while watched.clock.monotonic() < began + 60:
            # More than the window at once, so that the watch falls out of it, and so does the version it had reached.
            in_the_loop(api_server, namespace, [("PUT", name) for name in names], data=str(watched.clock.now()))
            watched.until(lambda: settled(watched, proxy, newest(api_server)))
            watched.pass_time(0.5)
        during = lists(proxy) - 1
        namespace.create("the-last")
        watched.until(lambda: "the-last" in watched.names, resting=True)

        assert 2 <= during <= 8
        assert lists(proxy) - 1 - during <= 1
        assert cached(watched) == listed(api_server)


def settled(watched: Watched, proxy: HttpFaultProxy, version: int) -> bool:
    """Whether nothing more happens without time."""
    if watched.reflector.state is State.WAITING:
        return True
    accepted = watched.reflector.state is State.WATCHING and proxy.exchanges[-1].status == 200
    return accepted and watched.informer.store.version >= version


# ---- A7: nothing changed ---------------------------------------------------------------------------------------------


def test_a_relist_of_10_000_unchanged_objects_tells_nothing_and_takes_20_pages(
    api_server: EmbeddedServer, proxy: HttpFaultProxy
) -> None:
    namespace = Namespace(api_server)
    in_the_loop(api_server, namespace, [("POST", f"n{number:05}") for number in range(10_000)])
    with Watched(api_server, namespace=namespace.name, proxy=proxy, streaming=False) as watched:
        watched.until(lambda: watched.hearing.synced, within=30)
        assert len(watched.hearing.changes) == 10_000
        watched.pass_time(HEALTHY_SECONDS)
        before = len(questions(proxy))
        proxy.add(Refuse(410), query="resourceVersionMatch=", times=1)  # The list at the last version.
        watched.until(lambda: proxy.tell(GONE))
        watched.until(lambda: sum(" page" in question for question in questions(proxy)[before:]) == 20, within=30)
        namespace.create("the-last")
        watched.until(lambda: watched.hearing.heard[10_000:] == ["add the-last"], within=30, resting=True)

        assert sum(" page" in question for question in questions(proxy)[before:]) == 20


# ---- A12: the contract of watches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [100, pytest.param(1_000, marks=LONG)])
def test_1_000_watches_of_a_busy_server_hold_their_contract(
    api_server: EmbeddedServer, history: list[Told], runs: int
) -> None:
    chance = random.Random(12)  # noqa: S311 - to be repeated
    path = "/api/v1/configmaps?watch=1&allowWatchBookmarks=1&resourceVersion="
    tls = ssl.create_default_context(cadata=api_server.ca_pem)
    headers = {"Authorization": f"Bearer {api_server.token}"}
    events = 0
    with Churn(api_server, [Namespace(api_server).name]) as churn:
        churn.write(2_000, lambda: None)
        start = history[0].version
        for run in range(runs):
            if run % 2:  # Else it goes on where the last one ended.
                start = history[-chance.randrange(1, 2_000)].version
            connection = http.client.HTTPSConnection("127.0.0.1", api_server.port, timeout=10, context=tls)
            with closing(connection):
                connection.request("GET", f"{path}{start}", headers=headers)
                answer = connection.getresponse()
                churn.write(1, lambda: None)
                body, size = b"", chance.randrange(1, 40_000)
                while len(body) < size and not watch_contract.has_reached(body, history[-1].version):
                    body += answer.read1(size - len(body))
            told = watch_contract.events(body)
            assert watch_contract.violations(start, told, history) == []
            events += len(told)
            start = told[-1].version if told else start

    assert events >= 10 * runs


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([Told("ADDED", "a", "1", 11), Told("MODIFIED", "a", "1", 12)], 0),
        ([Told("MODIFIED", "a", "1", 12), Told("ADDED", "a", "1", 11)], 2),
        ([Told("ADDED", "a", "1", 11), Told("ADDED", "a", "1", 11)], 2),
        ([Told("MODIFIED", "a", "1", 12)], 1),
        ([Told("BOOKMARK", "", "", 12)], 1),
        ([Told("ADDED", "a", "1", 11), Told("BOOKMARK", "", "", 10)], 1),
    ],
)
def test_a_breach_of_the_contract_is_found(told: list[Told], found: int) -> None:
    history = [Told("ADDED", "a", "1", 11), Told("MODIFIED", "a", "1", 12), Told("DELETED", "a", "1", 13)]

    assert len(watch_contract.violations(10, told, history)) == found


def in_the_loop(
    server: EmbeddedServer, namespace: Namespace, steps: Sequence[tuple[str, str]], *, data: str = ""
) -> list[str]:
    """Write at once, as far as watches can tell; returns the uids."""
    writer = InTheLoop(server)
    return [
        answer["metadata"].get("uid", "")
        for _, _, answer in writer.do([Step.of(method, namespace.path, name, data) for method, name in steps])
    ]
