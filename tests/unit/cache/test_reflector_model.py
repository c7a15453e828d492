"""The reflector against a server with a history and every fault there is, in an in-memory shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kcontroller.api.keys import Key
from kcontroller.cache.actions import (
    Advance,
    Apply,
    Close,
    Dropped,
    Forget,
    OpenList,
    OpenWatch,
    Outdate,
    Recovered,
    Replace,
    Skipped,
    Timer,
    Troubled,
)
from kcontroller.cache.events import Bookmark, Deleted, Failure, Page, Upserted
from kcontroller.cache.poison import Undecodable
from kcontroller.cache.reflector import Reflector, State
from kcontroller.cache.store import Store
from kcontroller.errors import error_type
from tests.unit.cache.objects import PLAIN
from tests.unit.cache.traces import WORDS, Still, entry

if TYPE_CHECKING:
    from kcontroller.cache.actions import Action
    from kcontroller.cache.events import WatchEvent
    from kcontroller.cache.projection import Entry

NAMES = "abcde"
EXPIRED = error_type(410, "Expired")("", status=410)

names = st.sampled_from(NAMES)


@dataclass
class Object:
    version: int
    uid: str
    poisoned: bool = False

    def read(self, name: str, *, deleted: bool = False) -> Entry | Undecodable:
        if self.poisoned:
            return Undecodable(Key("", name), self.version, "poison", deleted)
        return entry(f"{name}:{self.uid}@{self.version}")


@dataclass
class Server:
    """Objects with a history of events, the older part of which may be gone."""

    version: int = 1
    objects: dict[str, Object] = field(default_factory=dict)
    history: list[tuple[int, str, Object | None, Object | None]] = field(default_factory=list)
    compacted: int = 0
    uids: int = 0

    def put(self, name: str, *, poisoned: bool = False) -> None:
        self.version += 1
        known = self.objects.get(name)
        if known is None:
            self.uids += 1
        uid = known.uid if known else f"uid{self.uids}"
        self.objects[name] = Object(self.version, uid, poisoned)
        self.history.append((self.version, name, self.objects[name], None))

    def delete(self, name: str) -> None:
        known = self.objects.pop(name, None)
        if known is not None:
            self.version += 1
            last = Object(self.version, known.uid, known.poisoned)
            self.history.append((self.version, name, None, last))

    def events_after(self, version: int) -> list[tuple[int, WatchEvent]]:
        found: list[tuple[int, WatchEvent]] = []
        for at, name, now, last in self.history:
            if at > version:
                item = now.read(name) if now else last.read(name, deleted=True)  # type: ignore[union-attr]
                event = item if isinstance(item, Undecodable) else Upserted(item) if now else Deleted(item)
                found.append((at, event))
        return found


@dataclass
class Asked:
    """A request that is open, and how far it has been answered."""

    watch: bool
    initial: bool
    version: int  # 0 for a consistent one.
    token: str = ""
    limited: bool = False
    accepted: bool = False
    sent: int = 0
    queue: list[WatchEvent] = field(default_factory=list)


def parse(target: str) -> Asked:
    query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
    return Asked(
        "watch" in query,
        "sendInitialEvents" in query,
        int(query.get("resourceVersion", 0)),
        query.get("continue", ""),
        "limit" in query,
    )


class ReflectorModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.server = Server()
        self.machine = Reflector("/api/v1/pods", rng=Still())
        self.store = Store(PLAIN)
        self.open: Asked | None = None
        self.timer: float | None = None
        self.without_pause = 0
        self.streams = True
        self.do(self.machine.start(self.now))

    # ---- the shell -----------------------------------------------------------------------------------------------

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            before = self.store.version
            self.act(action)
            back = isinstance(action, Outdate) or (isinstance(action, Replace) and action.reset)
            assert self.store.version >= before or back

    def act(self, action: Action) -> None:
        match action:
            case OpenWatch(target, _) | OpenList(target, _):
                assert self.open is None, "opens a stream beside another"
                self.open = parse(target)
                if not (self.open.token or (self.open.watch and not self.open.initial)):
                    self.without_pause += 1
                    assert self.without_pause <= 6, "a busy loop"
            case Close():
                assert self.open is not None
                self.open = None
            case Timer(seconds):
                self.timer = self.now + seconds
                assert self.timer > self.now
                if self.machine.state is State.WAITING:
                    self.without_pause = 0
            case Replace(entries, version, reset, kept):
                known = (self.store.get(key) for key in kept if not (reset or self.store.outdated))
                self.store.replace([*entries, *(each for each in known if each)], version, reset=reset)
            case Apply(Upserted(item)):
                self.store.upsert(item)
            case Apply(Deleted(item)):
                self.store.delete(item)
            case Forget(key, version):
                self.store.forget(key, version)
            case Advance(version):
                self.store.advance(version)
            case Outdate():
                self.store.outdate()
            case Skipped() | Dropped() | Troubled() | Recovered():
                pass

    def fail(self, error: Exception) -> None:
        self.open = None
        self.do(self.machine.failed(error, self.now))

    def send(self, event: WatchEvent) -> None:
        self.do(self.machine.event(event, self.now))

    # ---- the server ----------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether the server was restored and the machine does not know; it must learn before the server gets ahead."""
        return self.machine.version > self.server.version

    @precondition(lambda self: not self.behind)
    @rule(name=names, poisoned=st.sampled_from([False, False, False, True]))
    def put(self, name: str, *, poisoned: bool) -> None:
        self.server.put(name, poisoned=poisoned)

    @precondition(lambda self: not self.behind)
    @rule(name=names)
    def delete(self, name: str) -> None:
        self.server.delete(name)

    @precondition(lambda self: self.open)
    @rule()
    def serve(self) -> None:
        """Answer the open request by one step, as a good server does."""
        asked = self.open
        assert asked is not None
        if asked.watch:
            self.serve_watch(asked)
        else:
            self.serve_list(asked)

    @rule(times=st.integers(2, 8))
    def serve_on(self, times: int) -> None:
        for _ in range(times):
            if self.open is not None:
                self.serve()

    def serve_watch(self, asked: Asked) -> None:
        server = self.server
        if not asked.accepted:
            if asked.initial and not self.streams:
                self.fail(error_type(422, "Invalid")("", status=422))
            elif asked.version > server.version:
                self.fail(WORDS["too-large"])
            elif not asked.initial and asked.version < server.compacted:
                self.fail(EXPIRED)
            else:
                asked.accepted = True
                asked.sent = asked.version
                if asked.initial:
                    for name, each in server.objects.items():
                        item = each.read(name)
                        asked.queue.append(item if isinstance(item, Undecodable) else Upserted(item))
                    asked.queue.append(Bookmark(server.version, initial_events_end=True))
                    asked.sent = server.version
                self.do(self.machine.opened(self.now))
            return
        if not asked.queue:
            if asked.sent < server.compacted:
                self.send(Failure(EXPIRED))
                return
            events = server.events_after(asked.sent)
            if not events:
                return
            asked.sent, event = events[0]
            asked.queue.append(event)
        self.send(asked.queue.pop(0))

    def serve_list(self, asked: Asked, *, at: int = 0) -> None:
        self.do(self.machine.opened(self.now))
        server = self.server
        if asked.version > server.version:
            self.fail(WORDS["too-large"])
            return
        everything = [each.read(name) for name, each in sorted(server.objects.items())]
        self.open = None
        if asked.limited and not asked.token and len(everything) > 2:
            self.rest = Page(server.version, "", everything[2:])
            self.do(self.machine.page(Page(server.version, "more", everything[:2]), self.now))
        elif asked.token:
            self.do(self.machine.page(self.rest, self.now))
        else:
            self.do(self.machine.page(Page(at or server.version, "", everything), self.now))

    # ---- faults --------------------------------------------------------------------------------------------------

    @rule()
    def compact(self) -> None:
        self.server.compacted = self.server.version
        self.server.history.clear()

    # Going back to what the cache has not seen yet cannot be told from never having been further.
    @precondition(lambda self: self.server.version > 1 and self.machine.version in {0, self.server.version})
    @rule(back=st.integers(1, 10))
    def restore(self, back: int) -> None:
        """Go back in time; every connection dies with the server."""
        server = self.server
        server.version = max(1, server.version - back)
        server.history.clear()
        server.compacted = server.version
        server.objects = {
            name: Object(min(each.version, server.version), f"{each.uid}r")
            for name, each in server.objects.items()
            if name != NAMES[0]
        }
        if self.open is not None:
            self.fail(WORDS["cut"])

    @rule()
    def go_another_way(self) -> None:
        """Reach the same server in another way."""
        self.without_pause = 0  # Who asks for it bears the cost.
        self.do(self.machine.renew(self.now, elsewhere=False))

    @rule(version=st.integers(1, 40), kept=st.sets(names), made=st.sets(names))
    def go_to_another_server(self, version: int, kept: set[str], made: set[str]) -> None:
        """Some objects are as they were, others are other ones of the same name."""
        before, self.server = self.server, Server(version, uids=self.server.uids)
        for name in kept & before.objects.keys():
            self.server.objects[name] = Object(min(version, before.objects[name].version), before.objects[name].uid)
        for name in sorted(made):
            self.server.put(name)
        self.without_pause = 0
        self.do(self.machine.renew(self.now, elsewhere=True))

    @precondition(lambda self: self.open)
    @rule(kind=st.sampled_from(["refused", "cut", "silent", "timeout", "garbled", "too-large"]))
    def break_(self, kind: str) -> None:
        self.fail(WORDS[kind])

    @precondition(lambda self: self.open and not self.open.accepted)
    @rule(
        status=st.sampled_from([400, 401, 403, 404, 405, 409, 410, 422, 429, 500, 503, 504, 599]),
        after=st.sampled_from([0, 5]),
    )
    def refuse(self, status: int, after: int) -> None:
        self.fail(error_type(status, "")("", status=status, retry_after=float(after)))

    @precondition(lambda self: self.open and self.open.watch and self.open.accepted)
    @rule(status=st.sampled_from([400, 403, 410, 429, 500, 504]))
    def error_event(self, status: int) -> None:
        self.send(Failure(error_type(status, "")("", status=status)))

    @precondition(lambda self: self.open and self.open.watch and self.open.accepted)
    @rule()
    def end(self) -> None:
        self.open = None
        self.do(self.machine.ended(self.now))

    @precondition(lambda self: self.open and self.open.watch and self.open.accepted)
    @rule(behind=st.integers(0, 5))
    def replay(self, behind: int) -> None:
        """Send again what the watch has sent before, or what another front end sent."""
        assert self.open is not None
        for at, event in self.server.events_after(max(0, self.open.sent - behind)):
            if self.open is not None and at <= min(self.open.sent, self.machine.version):
                self.send(event)

    @precondition(lambda self: self.open and self.open.accepted and not self.open.queue and not self.open.initial)
    @rule(behind=st.integers(0, 5))
    def bookmark(self, behind: int) -> None:
        assert self.open is not None
        self.send(Bookmark(max(1, self.open.sent - behind)))

    @precondition(lambda self: self.open and not self.open.watch and self.open.version > 1)
    @rule()
    def stale_front_end(self) -> None:
        """Answer a list by what was, although it asks for better."""
        assert self.open is not None
        self.serve_list(self.open, at=self.open.version - 1)

    @rule()
    def answer_others(self) -> None:
        self.do(self.machine.reachable(self.now))

    @rule()
    def streaming_goes_away_or_comes_back(self) -> None:
        self.streams = not self.streams

    @rule()
    def what_nobody_asked_for(self) -> None:
        """Speak to a machine that waits, or out of turn; it must not mind."""
        if self.machine.state is State.WAITING:
            for answer in (
                self.machine.ended(self.now),
                self.machine.failed(EXPIRED, self.now),
                self.machine.event(Bookmark(10**6, initial_events_end=True), self.now),
                self.machine.event(Failure(EXPIRED), self.now),
                self.machine.page(Page(10**6, "", []), self.now),
            ):
                assert answer == []

    # ---- time ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.timer is not None)
    @rule()
    def timer_goes_off(self) -> None:
        assert self.timer is not None
        self.now, self.timer = max(self.now, self.timer), None
        self.do(self.machine.tick(self.now))

    @rule(seconds=st.sampled_from([0.1, 0.9, 5.0, 29.0, 31.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timer is not None and self.timer <= until:
            self.timer_goes_off()
        self.now = max(self.now, until)
        if seconds >= 30.0:
            self.without_pause = 0

    # ---- what holds ----------------------------------------------------------------------------------------------

    @invariant()
    def it_is_never_stuck(self) -> None:
        if self.machine.state is State.WAITING:
            assert self.open is None
            assert self.timer is not None
        else:
            assert self.open is not None

    @invariant()
    def the_store_is_where_the_machine_says(self) -> None:
        assert self.store.version == self.machine.version

    def teardown(self) -> None:
        """No more faults: the store must come to equal the server, in bounded time and effort."""
        self.streams = True
        if not self.behind:
            for name, each in list(self.server.objects.items()):
                if each.poisoned:
                    self.server.put(name)
        for _ in range(60):
            while self.open is not None:
                before = (self.open, self.open.accepted, self.open.sent, len(self.open.queue))
                self.serve()
                if self.open and before == (self.open, self.open.accepted, self.open.sent, len(self.open.queue)):
                    break  # A watch with nothing to say.
            if self.open is None:
                self.timer_goes_off()
        assert self.machine.state is State.WATCHING
        poisoned = {name for name, each in self.server.objects.items() if each.poisoned}
        stored = {each.key.name: (each.version, each.uid) for each in self.store.entries()}
        served = {name: (each.version, each.uid) for name, each in self.server.objects.items()}
        assert {name: each for name, each in stored.items() if name not in poisoned} == {
            name: each for name, each in served.items() if name not in poisoned
        }


TestReflectorModel = ReflectorModel.TestCase
TestReflectorModel.settings = settings(max_examples=150, stateful_step_count=40)
