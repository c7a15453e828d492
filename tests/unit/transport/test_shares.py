"""Clusters that share loops: what one does wrong, or ends, is nothing to the others."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError, ServerSilent
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing import eventually
from kcontroller.transport.credentials import StaticCredentials, TokenFile
from kcontroller.transport.refresh import Fresh, Refreshing
from kcontroller.transport.shared_loops import SharedLoops
from kcontroller.transport.shares import LoopShare
from kcontroller.transport.streams import StreamLoop
from kcontroller.transport.tenant import Tenant
from tests.unit.transport.scripted import Call, ok

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path


class House:
    """Shared loops, the groups of their clusters' threads, and what failed."""

    def __init__(self, **limits: Any) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.threads = ThreadGroup(on_failure=self._note)
        self.groups: list[ThreadGroup] = []
        self.loops = SharedLoops(self.threads, **{"own": 0, "shared": 1, **limits})
        self.made: list[StreamLoop | LoopShare] = []

    def _note(self, name: str, error: BaseException) -> None:
        self.failures.append((name, error))

    def enter(self, config: Any, name: str, *, start: bool = True) -> Any:
        loop = self.loops.loop(config, name=name, metrics=None)
        group = ThreadGroup(on_failure=self._note)
        self.groups.append(group)
        self.made.append(loop)
        if start:
            loop.start(group)
        return loop

    def leave(self) -> None:
        for loop in self.made:
            loop.stop()
        assert not [name for group in (*self.groups, self.threads) for name in group.join(10)]


def do(loop: Any, function: Callable[[], Any]) -> Any:
    """Run a function on the loop's thread and give back what it returned."""
    done, results = threading.Event(), []

    def run() -> None:
        results.append(function())
        done.set()

    loop.call(run)
    assert done.wait(10)
    return results[0]


@pytest.fixture
def house(closing: contextlib.ExitStack) -> Callable[..., House]:
    """Make loops that clusters share; they leave nothing behind."""

    def build(**limits: Any) -> House:
        made = House(**limits)
        closing.callback(made.leave)
        return made

    return build


def open_stream(loop: Any, receiver: Any, target: str = "/x") -> Any:
    return do(loop, lambda: loop.open(target, receiver, timeout=30))


def refuse(*_: Any, **__: Any) -> None:
    msg = "unfit"
    raise ConfigError(msg)


def hang(call: Call) -> None:
    call.begin()
    call.hold()


def test_the_first_clusters_have_a_loop_each_and_the_others_share_what_there_is(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared, config = house(own=2, shared=2), configure(serve())
    loops = [shared.enter(config, f"c{number}") for number in range(6)]
    assert [type(loop) for loop in loops] == [StreamLoop] * 2 + [LoopShare] * 4
    threads = [do(loop, threading.get_ident) for loop in loops]
    assert len(set(threads)) == 4
    assert sorted(threads.count(each) for each in set(threads[2:])) == [2, 2]


def test_clusters_of_other_endpoints_do_not_count(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared = house(own=1, shared=1)
    here, there = configure(serve()), configure(serve())
    assert isinstance(shared.enter(here, "a"), StreamLoop)
    assert isinstance(shared.enter(there, "b"), StreamLoop)
    assert isinstance(shared.enter(here, "c"), LoopShare)


def test_those_whose_credentials_may_block_share_with_nobody_who_has_others(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], tmp_path: Path
) -> None:
    shared, config = house(own=0, shared=1), configure(serve())
    threads = []
    for name in ("a", "b", "a", "static", "static"):
        (tmp_path / name).write_text("token")
        who = StaticCredentials("Bearer x") if name == "static" else TokenFile(tmp_path / name, what=name)
        threads.append(do(shared.enter(replace(config, credentials=who), name), threading.get_ident))
    assert threads[0] == threads[2]
    assert threads[3] == threads[4]
    assert len(set(threads)) == 3


def test_a_loop_that_is_free_again_goes_to_the_next_cluster(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared, config = house(own=1, shared=1), configure(serve())
    shared.enter(config, "a").stop()
    assert isinstance(shared.enter(config, "b"), StreamLoop)


def test_an_answer_reaches_the_cluster_that_asked(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], recorder: type
) -> None:
    server = serve(ok)
    shared, config = house(), configure(server)
    for name in ("a", "b"):
        receiver = recorder()
        loop = shared.enter(config.with_server(f"{config.server}/{name}"), name)
        open_stream(loop, receiver)
        assert receiver.wait_for_end() is None
        assert receiver.status == 200
    assert {request.target for request in server.seen} >= {"/a/x", "/b/x"}


def test_what_one_cluster_does_wrong_ends_it_alone(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], recorder: type
) -> None:
    shared, config = house(), configure(serve(hang))
    good, bad = shared.enter(config, "good"), shared.enter(config, "bad")
    receiver, ended = recorder(), recorder()
    open_stream(good, receiver)
    open_stream(bad, ended)
    for each in (receiver, ended):
        each.wait_for(lambda it: it.status == 200)

    def fail() -> None:
        msg = "on purpose"
        raise LookupError(msg)

    bad.call(fail)
    eventually(lambda: not bad.is_alive())
    assert [(name, type(error)) for name, error in shared.failures] == [("kc-cluster-bad", LookupError)]
    assert ended.ends == []  # It was closed, and hears nothing more.
    assert do(good, lambda: len(receiver.ends)) == 0
    assert good.is_alive()


def test_a_timer_of_one_that_has_stopped_never_fires(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared, config = house(), configure(serve())
    stays, leaves = shared.enter(config, "stays"), shared.enter(config, "leaves")
    fired: list[str] = []
    do(leaves, lambda: leaves.call_later(0.05, lambda: fired.append("leaves")))
    leaves.stop()
    told = threading.Event()
    do(stays, lambda: stays.call_later(0.1, told.set))
    assert told.wait(10)
    assert fired == []


def test_nothing_runs_before_the_start_and_then_all_of_it_in_order(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared, config = house(), configure(serve())
    running = shared.enter(config, "running")
    late = shared.enter(config, "late", start=False)
    order: list[int] = []
    for number in range(5):
        late.call(lambda number=number: order.append(number))
    do(running, lambda: None)
    assert order == []
    late.start(shared.groups[-1])
    do(late, lambda: None)
    assert order == list(range(5))


def test_one_that_never_started_leaves_nothing(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared, config = house(), configure(serve())
    never = shared.enter(config, "never", start=False)
    never.stop()
    assert not never.is_alive()
    with pytest.raises(RuntimeError, match="the loop of cluster never has ended"):
        never.start(shared.groups[-1])


def test_the_thread_ends_with_its_last_cluster_and_the_next_one_gets_another(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    shared, config = house(), configure(serve())
    first, second = shared.enter(config, "first"), shared.enter(config, "second")
    first.stop()
    do(second, lambda: None)
    assert shared.threads.alive() == ("kc-cluster-shared-1",)
    second.stop()
    assert shared.threads.join(10) == ()
    do(shared.enter(config, "third"), lambda: None)
    assert shared.threads.alive() == ("kc-cluster-shared-2",)


def test_all_clusters_of_a_loop_that_fails_are_told(
    house: Callable[..., House],
    serve: Callable[..., Any],
    configure: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, config = house(), configure(serve())
    loops = [shared.enter(config, name) for name in ("a", "b")]
    do(loops[0], lambda: None)

    def fail(_loop: StreamLoop, _multi: object) -> None:
        msg = "out of descriptors"
        raise OSError(msg)

    monkeypatch.setattr(StreamLoop, "_step", fail)
    loops[0].call(lambda: None)  # Ends the turn.
    eventually(lambda: len(shared.failures) == 2)
    assert {name for name, _ in shared.failures} == {"kc-cluster-a", "kc-cluster-b"}
    assert not any(loop.is_alive() for loop in loops)


def test_streams_of_a_cluster_that_answers_no_probe_begin_anew_and_others_go_on(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], recorder: type
) -> None:
    def script(call: Call) -> None:
        if call.request.target == "/bad/version":
            call.hold()
        elif call.request.target.endswith("/version"):
            call.reply()
        else:
            hang(call)

    shared, config = house(silence=0.3, probe_timeout=0.3), configure(serve(script))
    ends: dict[str, Any] = {}
    for name in ("good", "bad"):
        ends[name] = recorder()
        loop = shared.enter(config.with_server(f"{config.server}/{name}"), name)
        open_stream(loop, ends[name])
        ends[name].wait_for(lambda it: it.status == 200)
    error = ends["bad"].wait_for_end()
    assert isinstance(error, ServerSilent)
    assert "does not answer a probe" in str(error)
    assert ends["good"].ends == []


def test_a_loop_with_a_cluster_that_moved_takes_no_newcomer(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], recorder: type
) -> None:
    shared, here, there = house(), configure(serve()), configure(serve())
    moves = shared.enter(here, "moves")
    do(moves, lambda: moves.exchange(there))
    receiver = recorder()
    open_stream(moves, receiver)
    assert receiver.wait_for_end() is None
    new = shared.enter(here, "new")
    assert do(new, threading.get_ident) != do(moves, threading.get_ident)


def test_an_observer_that_raises_ends_its_cluster_alone(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], recorder: type
) -> None:
    class Raising:
        def answered(self, status: int, *, waits: bool, stands: bool) -> None:
            raise LookupError(status)

        def unanswered(self, error: Any, *, stands: bool) -> None:
            raise LookupError(str(error))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"https://127.0.0.1:{listener.getsockname()[1]}"
    for server in (None, gone):
        shared, config = house(), configure(serve())
        good, bad = shared.enter(config, "good"), shared.enter(config, "bad", start=False)
        bad.observe(Raising())
        bad.start(shared.groups[-1])
        if server is not None:
            do(bad, lambda bad=bad, config=config: bad.exchange(replace(config, server=gone)))
        open_stream(bad, recorder())
        eventually(lambda bad=bad: not bad.is_alive())
        assert [(name, type(error)) for name, error in shared.failures] == [("kc-cluster-bad", LookupError)]
        assert do(good, good.is_alive)


def test_clusters_that_trust_differently_do_not_take_each_other_for_rotated(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any], recorder: type
) -> None:
    def script(call: Call) -> None:
        if call.request.target.endswith("/version"):
            call.reply()
        else:
            hang(call)

    shared, config = house(silence=0.2, probe_timeout=0.2), configure(serve(script))
    loops = [shared.enter(config, name) for name in ("a", "b")]
    moved = replace(config, tls=replace(config.tls, ca=(config.tls.ca or b"") + b"\n"))
    do(loops[1], lambda: loops[1].exchange(moved))
    receivers = [recorder() for _ in loops]
    for loop, receiver in zip(loops, receivers, strict=True):
        open_stream(loop, receiver)
        receiver.wait_for(lambda it: it.status == 200)
    passed = threading.Event()
    do(loops[0], lambda: loops[0].call_later(0.6, passed.set))
    assert passed.wait(10)
    for loop in loops:  # Each begins a stream, which shows what it trusts.
        open_stream(loop, recorder(), "/again")
    assert [receiver.ends for receiver in receivers] == [[], []]


def test_a_loop_probes_as_one_who_is_there(
    serve: Callable[..., Any], configure: Callable[..., Any], recorder: type, closing: contextlib.ExitStack
) -> None:
    def script(call: Call) -> None:
        if call.request.target.endswith("/version"):
            call.reply()
        else:
            hang(call)

    server = serve(script)
    config = replace(configure(server), credentials=StaticCredentials("Bearer first"))
    loop = StreamLoop(config, name="shared-1", silence=0.2, roams=True)
    group = ThreadGroup(on_failure=lambda *_: None)
    loop.start(group)
    closing.callback(group.join, 10)
    closing.callback(loop.stop)
    other = replace(config, server=f"{config.server}/b", credentials=StaticCredentials("Bearer second"))
    tenant = Tenant(loop, other, metrics=None, user_agent="test")
    receiver = recorder()
    do(loop, lambda: loop.open_for(tenant, "/x", receiver, timeout=30, accept="application/json"))
    server.wait_for(lambda: any(seen.target == "/version" for seen in server.seen))
    probe = next(seen for seen in server.seen if seen.target == "/version")
    assert {name.lower(): value for name, value in probe.headers.items()}["authorization"] == "Bearer second"


def test_a_silent_cluster_is_probed_as_soon_as_credentials_are_had(
    house: Callable[..., House],
    serve: Callable[..., Any],
    configure: Callable[..., Any],
    recorder: type,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Brief:
        token = Refreshing(lambda: Fresh("Bearer x", 0.2, 0.2), hold=0.2)

        def authorization(self) -> str:
            return self.token.get()

        def client_certificate(self) -> None: ...

        def invalidate(self) -> None: ...

    server = serve(lambda call: call.reply() if call.request.target.endswith("/version") else hang(call))
    shared, receiver = house(silence=0.5, probe_timeout=5.0), recorder()
    loop = shared.enter(replace(configure(server), credentials=Brief()), "a")
    open_stream(loop, receiver)
    receiver.wait_for(lambda it: it.status == 200)
    server.wait_for(lambda: any(seen.target == "/version" for seen in server.seen))
    assert not caplog.records


def test_endpoints_whose_clusters_have_left_are_forgotten(
    house: Callable[..., House], configure: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    shared, config = house(own=1), configure(serve())
    for number in range(200):
        loop = shared.enter(replace(config, server=f"https://127.0.0.1:{number + 1}"), str(number), start=False)
        loop.stop()
    assert len(shared.loops._own) < 50


def test_nothing_is_told_after_the_stop(
    house: Callable[..., House], serve: Callable[..., Any], configure: Callable[..., Any]
) -> None:
    go, told = threading.Event(), []

    def script(call: Call) -> None:
        call.begin()
        go.wait(10)
        call.chunk(b"late")
        call.end()

    class Slow:
        def on_response(self, status: int, headers: Any) -> None:
            told.append(status)

        def on_data(self, chunk: bytes) -> None:
            told.append(chunk)

        def on_end(self, error: Any) -> None:
            told.append(error)

    shared, config = house(), configure(serve(script))
    loop = shared.enter(config, "a")
    open_stream(loop, Slow())
    eventually(lambda: told == [200])
    inside, leave = threading.Event(), threading.Event()
    loop.call(lambda: (inside.set(), leave.wait(10)))
    assert inside.wait(10)
    loop.stop()
    go.set()
    leave.set()
    eventually(lambda: not loop.is_alive())
    assert told == [200]


@pytest.mark.parametrize("ending", [Call.reply, Call.reset])
def test_an_observer_hears_nothing_after_the_stop(
    house: Callable[..., House],
    serve: Callable[..., Any],
    configure: Callable[..., Any],
    recorder: type,
    ending: Callable[[Call], None],
) -> None:
    go, ended, told = threading.Event(), threading.Event(), []

    def script(call: Call) -> None:
        go.wait(10)
        ending(call)
        ended.set()

    class Hearing:
        def answered(self, status: int, *, waits: bool, stands: bool) -> None:
            told.append(status)

        def unanswered(self, error: Any, *, stands: bool) -> None:
            told.append(error)

    shared, server = house(), serve(script)
    loop = shared.enter(configure(server), "a", start=False)
    loop.observe(Hearing())
    loop.start(shared.groups[-1])
    open_stream(loop, recorder())
    server.wait_for(lambda: server.seen)
    inside, leave = threading.Event(), threading.Event()
    loop.call(lambda: (inside.set(), leave.wait(10)))
    assert inside.wait(10)
    loop.stop()
    go.set()
    assert ended.wait(10)
    leave.set()
    eventually(lambda: not loop.is_alive())
    assert told == []


def test_a_cluster_that_cannot_be_configured_leaves_no_loop(
    house: Callable[..., House], configure: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    shared, config = house(), configure(serve())
    with pytest.raises(ConfigError):
        shared.loops.loop(replace(config, extra_headers=("X-Line: two\r\nlines",)), name="a", metrics=None)
    assert not shared.loops._shared


def test_a_share_that_cannot_be_made_leaves_no_loop(
    house: Callable[..., House],
    configure: Callable[..., Any],
    serve: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, config = house(shared=2), configure(serve())
    first = shared.enter(config, "first")
    monkeypatch.setattr(LoopShare, "__init__", refuse)
    with pytest.raises(ConfigError):
        shared.loops.loop(config, name="second", metrics=None)
    monkeypatch.undo()
    assert [len(carriers) for carriers in shared.loops._shared.values()] == [1]
    first.stop()
    eventually(lambda: not shared.loops._shared)
