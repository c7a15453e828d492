"""A cluster whose provider wants to look at it first."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ServerError
from kcontroller.multicluster import State
from kcontroller.testing.polling import eventually
from tests.unit.multicluster.fakes import FakeMember, spec

if TYPE_CHECKING:
    from kcontroller.multicluster import ClusterSpec
    from kcontroller.process.stop import StopToken
    from tests.unit.multicluster.fakes import FakeFleet


class Look:
    """A check that answers what the test says, when it says so."""

    def __init__(self, answer: str = "", *, hangs: bool = False) -> None:
        self.answer = answer
        self.fails: Exception | None = None
        self.seen: list[ClusterSpec] = []
        self.threads: set[str] = set()
        self.stops: list[StopToken] = []
        self.go_on = threading.Event()
        if not hangs:
            self.go_on.set()

    def __call__(self, found: ClusterSpec, stop: StopToken) -> str:
        self.seen.append(found)
        self.threads.add(threading.current_thread().name)
        self.stops.append(stop)
        while not self.go_on.wait(0.001):
            stop.raise_if_stopped()
        if self.fails is not None:
            raise self.fails
        return self.answer


def looked_at(look: Look, name: str = "p1", uid: str = "1") -> ClusterSpec:
    return replace(spec(name, uid), check=look)


def test_a_cluster_is_made_when_its_check_has_nothing_against_it(fleet: FakeFleet) -> None:
    look = Look(hangs=True)
    fleet.registry.present(looked_at(look))
    eventually(lambda: look.seen)
    assert (fleet.state(), fleet.made, fleet.has()) == (State.CONNECTING, [], False)

    look.go_on.set()
    eventually(lambda: fleet.state() is State.ENGAGED)
    assert look.threads == {"kc-check-0"}


@pytest.mark.parametrize("raises", [False, True])
def test_one_that_is_not_what_it_should_be_is_never_made_and_looked_at_again(fleet: FakeFleet, raises: bool) -> None:  # noqa: FBT001
    look = Look("it is another one")
    look.fails = ServerError("no", status=500) if raises else None
    fleet.registry.present(looked_at(look))
    eventually(lambda: fleet.state() is State.DISCOVERED)

    (state,) = fleet.registry.states()
    assert state.last_error == ("ServerError: 500: no" if raises else "it is another one")
    assert fleet.made == []
    look.answer, look.fails = "", None
    fleet.advance(1.0)
    eventually(lambda: fleet.state() is State.ENGAGED)
    assert len(look.seen) == 2


def test_a_check_that_hangs_holds_up_no_other_and_ends_when_the_cluster_goes(fleet: FakeFleet) -> None:
    hangs, other = Look(hangs=True), Look()
    fleet.registry.present(looked_at(hangs))
    eventually(lambda: hangs.seen)
    fleet.registry.present(looked_at(other, "p2"))
    eventually(lambda: fleet.state("p2") is State.ENGAGED)

    fleet.registry.absent("p1", "gone")
    assert fleet.state() is None
    eventually(lambda: hangs.stops[0].stopped)
    fleet.settle()
    assert [each.name for each in fleet.made] == ["p2"]
    assert fleet.registry._fleet._checks._stops == {}


def test_what_an_older_check_says_is_not_listened_to(fleet: FakeFleet) -> None:
    old, new = Look("no", hangs=True), Look(hangs=True)
    fleet.registry.present(looked_at(old))
    eventually(lambda: old.seen)
    fleet.registry.present(looked_at(new, uid="2"))
    eventually(lambda: new.seen)
    assert fleet.state() is State.CONNECTING

    new.go_on.set()
    eventually(lambda: fleet.state() is State.ENGAGED)
    assert [each.spec.uid for each in fleet.made] == ["2"]


def test_the_end_of_the_registry_ends_a_check(fleet: FakeFleet) -> None:
    look = Look(hangs=True)
    fleet.registry.join(FakeMember())
    fleet.registry.present(looked_at(look))
    eventually(lambda: look.seen)
    fleet.registry.stop(5)

    eventually(lambda: not [name for name in fleet.threads.alive() if name.startswith("kc-check")])
