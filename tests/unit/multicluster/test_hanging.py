"""What users give a fleet may hang, exit, or come at the wrong moment: nobody else pays for it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.multicluster import State
from kcontroller.multicluster.errands import SLOW_SECONDS
from kcontroller.multicluster.listeners import THREADS
from kcontroller.multicluster.registry import CHECKS
from kcontroller.testing.polling import eventually
from tests.unit.multicluster.fakes import FakeListener, FakeMember, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.multicluster import ClusterSpec
    from kcontroller.process.stop import StopToken
    from tests.unit.multicluster.fakes import FakeFleet


def polls(_spec: ClusterSpec, stop: StopToken) -> str:
    """Keep to the letter of the contract: it waits until its token is stopped."""
    while not threading.Event().wait(0.001):
        stop.raise_if_stopped()
    return ""


# ---- proofs ----------------------------------------------------------------------------------------------------------


def test_of_configurations_that_come_while_one_is_proved_only_the_newest_is(fleet: FakeFleet) -> None:
    fleet.registry.present(spec())
    fleet.settle()
    cluster = fleet.made[0]
    cluster.proving = threading.Event()
    for number in range(20):
        fleet.registry.present(spec(server=f"https://wrong{number}.test"))
    fleet.registry.present(spec(server="https://right.test"))
    fleet.settle()
    cluster.proving.set()

    eventually(lambda: cluster.config.server == "https://right.test/p1")
    assert len(cluster.proved) <= 2, "the one that was under way, and the newest"


@pytest.mark.parametrize("how", ["another one", "the one in use again", "it leaves"])
def test_a_proof_that_nobody_asks_for_any_more_is_told_to_stop(fleet: FakeFleet, how: str) -> None:
    fleet.registry.join(FakeMember(ends=False))
    fleet.registry.present(spec())
    fleet.settle()
    cluster = fleet.made[0]
    cluster.proving = threading.Event()
    fleet.registry.present(spec(server="https://wrong.test"))
    eventually(lambda: cluster.proof_stops)
    match how:
        case "another one":
            fleet.registry.present(spec(server="https://right.test"))
        case "the one in use again":
            fleet.registry.present(spec())
        case _:
            fleet.registry.absent("p1", "gone")

    eventually(lambda: cluster.proof_stops[0].stopped)
    cluster.proving.set()


# ---- what hangs ------------------------------------------------------------------------------------------------------


def test_checks_that_wait_for_their_token_end_in_time_and_hold_up_no_newcomer(fleet: FakeFleet) -> None:
    for number in range(CHECKS):
        fleet.registry.present(replace(spec(f"c{number}"), check=polls))
    eventually(lambda: sum(name.startswith("kc-check") for name in fleet.threads.alive()) == CHECKS)
    fleet.registry.present(replace(spec("good"), check=lambda _spec, _stop: ""))
    assert fleet.state("good") is State.CONNECTING
    fleet.advance(10.0)

    eventually(lambda: fleet.state("good") is State.ENGAGED)
    eventually(lambda: fleet.state("c0") is State.DISCOVERED)
    assert fleet.registry.states()[0].last_error == "there was no answer in time"


def test_a_check_that_heeds_no_token_is_a_failure_all_the_same(fleet: FakeFleet) -> None:
    begun, hung = threading.Event(), threading.Event()

    def hang(_spec: ClusterSpec, _stop: StopToken) -> str:
        begun.set()
        hung.wait(10)
        return ""

    fleet.registry.present(replace(spec(), check=hang))
    assert begun.wait(10)
    fleet.settle()
    fleet.advance(15.0)
    (state,) = fleet.registry.states()
    assert (state.state, state.last_error) == (State.DISCOVERED, "there was no answer in 15 s")
    fleet.advance(1.0)
    assert fleet.state() is State.CONNECTING, "it is tried again, behind the one that hangs"
    fleet.advance(30.0)
    (state,) = fleet.registry.states()
    assert (state.state, state.last_error) == (State.CONNECTING, "its check waits for others to end")
    hung.set()

    eventually(lambda: fleet.state() is State.ENGAGED)


def test_a_proof_that_heeds_no_token_is_a_failure_and_the_next_one_is_taken(fleet: FakeFleet) -> None:
    fleet.registry.present(spec())
    fleet.settle()
    cluster = fleet.made[0]
    cluster.heeds = False
    hung = cluster.proving = threading.Event()
    fleet.registry.present(spec(server="https://other.test"))
    eventually(lambda: cluster.proof_stops)
    fleet.settle()
    fleet.advance(65.0)
    (state,) = fleet.registry.states()
    assert (state.state, state.last_error) == (State.ENGAGED, "there was no answer in 65 s")
    hung.set()
    fleet.advance(1.0)

    eventually(lambda: cluster.config.server == "https://other.test/p1")


def test_a_check_for_which_there_is_no_thread_is_a_failure_that_is_tried_again(
    fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        fleet.registry.present(replace(spec(), check=lambda _spec, _stop: ""))
        assert fleet.state() is State.DISCOVERED
    assert fleet.registry.states()[0].last_error == "RuntimeError: can't start new thread"
    fleet.advance(1.0)

    eventually(lambda: fleet.state() is State.ENGAGED)


# ---- what exits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_hook_a_check_or_a_proof_that_exits_ends_nothing(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    class Exits(FakeListener):
        def on_engaged(self, cluster: Any) -> None:
            super().on_engaged(cluster)
            raise error

    def check(_spec: ClusterSpec, _stop: StopToken) -> str:
        raise error

    listener = Exits()
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    fleet.registry.present(replace(spec("p2"), check=check))
    eventually(lambda: listener.of() == ["engaged 1"])
    eventually(lambda: "Exits.on_engaged failed" in caplog.text)
    eventually(lambda: fleet.state("p2") is State.DISCOVERED)
    fleet.made[0].unfit = error
    fleet.registry.present(spec(server="https://other.test"))
    eventually(lambda: fleet.registry.states()[0].attempts == 1)
    fleet.registry.absent("p1", "gone")

    eventually(lambda: listener.of()[-1] == "gone 1")
    assert fleet.failures == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_exits_where_a_cluster_is_made_or_taken_on_is_a_failure_of_that_cluster_alone(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    member, late = FakeMember(), FakeMember("late")
    fleet.registry.join(member)
    fleet.refuse = error
    fleet.registry.present(spec())
    assert fleet.state() is State.DISCOVERED
    fleet.refuse, member.refuse = None, error
    fleet.registry.present(spec("p2"))
    assert fleet.state("p2") is not State.ENGAGED
    member.refuse = None
    fleet.advance(2.0)
    assert {fleet.state("p1"), fleet.state("p2")} == {State.ENGAGED}

    late.refuse = error
    fleet.registry.join(late)
    fleet.settle()
    assert "late cannot take it on" in caplog.text
    late.refuse, member.unfit = None, error
    fleet.registry.present(replace(spec(), labels=(("tier", "gold"),)))
    fleet.settle()
    assert "member cannot look at labels" in caplog.text
    assert fleet.state() is State.ENGAGED
    (cluster,) = [each for each in fleet.made if each.name == "p1"]
    member.unfit, cluster.refuse = None, error
    fleet.registry.present(spec(server="https://other.test"))
    eventually(lambda: fleet.state() is not State.ENGAGED)
    fleet.advance(2.0)
    eventually(lambda: fleet.state() is State.ENGAGED)
    assert fleet.failures == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_member_that_exits_when_it_lets_go_holds_up_nobody(fleet: FakeFleet, error: BaseException) -> None:
    class Exits(FakeMember):
        def disengage(self, name: str, *, on_idle: Callable[[], None]) -> None:
            raise error

    fleet.registry.join(Exits())
    fleet.registry.present(spec())
    fleet.settle()
    fleet.registry.absent("p1", "gone")

    eventually(lambda: fleet.state() is None)
    assert fleet.failures == []


# ---- listeners -------------------------------------------------------------------------------------------------------


def test_a_listener_that_comes_while_a_cluster_drains_hears_nothing_of_it(fleet: FakeFleet) -> None:
    first, late, member = FakeListener(), FakeListener(), FakeMember(ends=False)
    fleet.registry.join(member)
    fleet.registry.listen(first)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.registry.absent("p1", "gone")
    fleet.registry.listen(late)
    assert fleet.state() is State.DRAINING
    member.on_idle["p1"]()
    fleet.settle()
    member.ends = True
    fleet.registry.present(spec(uid="2"))

    eventually(lambda: first.of() == ["engaged 1", "draining 1: gone", "gone 1", "engaged 2"])
    eventually(lambda: late.of() == ["engaged 2"])


def test_a_listener_that_is_added_twice_hears_of_everything_once(fleet: FakeFleet) -> None:
    listener = FakeListener()
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    fleet.registry.listen(listener)
    fleet.settle()
    fleet.registry.absent("p1", "gone")
    fleet.settle()

    eventually(lambda: fleet.threads.alive() == ("kc-fleet",))
    assert listener.of() == ["engaged 1", "draining 1: gone", "gone 1"]


def test_a_listener_that_hangs_everywhere_silences_no_other_and_is_said_once(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    class Hangs(FakeListener):
        """A name for the log."""

    hangs, other = Hangs(), FakeListener()
    hung = threading.Event()
    names = [f"p{number}" for number in range(20)]
    hangs.hold = dict.fromkeys(names, hung)
    fleet.registry.listen(hangs)
    fleet.registry.listen(other)
    for name in names:
        fleet.registry.present(spec(name))
    eventually(lambda: len(other.heard) == 20)
    eventually(lambda: len(hangs.threads) == THREADS)
    assert "has not returned" not in caplog.text
    for _ in range(3):
        fleet.advance(SLOW_SECONDS)

    said = [line for line in caplog.messages if "has not returned" in line]
    assert said == [f"Hangs.on_engaged has not returned for {SLOW_SECONDS:g} s"] * THREADS
    hung.set()
    eventually(lambda: len(hangs.heard) == 20)


def test_of_the_failures_that_a_listener_has_not_heard_of_yet_only_the_newest_is_kept(fleet: FakeFleet) -> None:
    listener = FakeListener()
    hung = listener.hold["p1"] = threading.Event()
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    eventually(lambda: listener.threads)
    cluster = fleet.made[0]
    for number in range(3):
        cluster.unfit = PermissionError(str(number))
        fleet.registry.present(spec(server=f"https://other{number}.test"))
        eventually(lambda: fleet.registry.states()[0].last_error == f"PermissionError: {number}")  # noqa: B023
    hung.set()

    eventually(lambda: listener.of() == ["engaged 1", "failed engaged: PermissionError: 2"])


def test_a_hook_for_which_there_was_no_thread_is_called_when_there_is_one(
    fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = FakeListener()
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    eventually(lambda: listener.of() and fleet.threads.alive() == ("kc-fleet",))
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "hook" in thread.name:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        fleet.registry.absent("p1", "gone")
        assert fleet.state() is None
    assert listener.of() == ["engaged 1"]
    fleet.advance(SLOW_SECONDS)

    eventually(lambda: listener.of() == ["engaged 1", "draining 1: gone", "gone 1"])


def test_one_that_never_blocks_is_told_on_the_thread_of_the_fleet_until_that_stops(fleet: FakeFleet) -> None:
    listener = FakeListener()
    fleet.registry.listen(listener, at_once=True)
    fleet.registry.present(spec())
    eventually(listener.of)
    assert (listener.of(), listener.threads) == (["engaged 1"], {"kc-fleet"})
    listener.fails = RuntimeError("broken")
    fleet.registry.absent("p1", "gone")
    eventually(lambda: listener.of()[1:] == ["draining 1: gone", "gone 1"])

    fleet.registry.stop(5)
    assert len(listener.of()) == 3
