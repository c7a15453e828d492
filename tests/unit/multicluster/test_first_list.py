from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.cli import run_options
from kcontroller.config import ManagerOptions
from kcontroller.errors import ConfigError
from kcontroller.multicluster.first_list import READY_WHEN, FirstList
from kcontroller.testing.clock import VirtualClock

if TYPE_CHECKING:
    from kcontroller.multicluster.first_list import ReadyWhen

KNOWN = ("p1", "p2", "p3")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def listed(clock: VirtualClock, policy: ReadyWhen, *, patience: float | None = 30.0) -> FirstList:
    first = FirstList(clock=clock, policy=policy, patience=patience)
    for name in KNOWN:
        first.present(name)
    first.all_told()
    first.present("late")
    return first


def wanted(first: FirstList) -> set[str]:
    return set(first.awaited((*KNOWN, "late")))


@pytest.mark.parametrize(("policy", "enough"), [("first-list", 3), ("any", 1), ("quorum", 2), ("all", 3), ("none", 0)])
def test_so_many_engaged_clusters_are_enough(clock: VirtualClock, policy: ReadyWhen, enough: int) -> None:
    first = listed(clock, policy)
    for count, name in enumerate(KNOWN):
        assert wanted(first) == (set(KNOWN[count:]) if count < enough else set())
        first.engaged(name)

    assert wanted(first) == set()


@pytest.mark.parametrize(
    ("policy", "left"), [("first-list", set()), ("any", {"p2"}), ("quorum", {"p2"}), ("all", {"p2"})]
)
def test_a_failure_and_a_long_time_are_an_excuse_for_the_first_list_alone(
    clock: VirtualClock, policy: ReadyWhen, left: set[str]
) -> None:
    first = listed(clock, policy)
    first.failed("p1")
    assert ("p1" in wanted(first)) is (policy != "first-list")
    clock.advance(31)
    for name in ("p1", "p3"):
        first.gone(name)

    assert wanted(first) == left


def test_a_provider_without_patience_waits_for_all_that_there_are(clock: VirtualClock) -> None:
    first = listed(clock, "first-list", patience=None)
    for name in KNOWN:
        first.engaged(name)

    assert wanted(first) == {*KNOWN, "late"}


@pytest.mark.parametrize("policy", ["any", "quorum", "all"])
def test_what_was_reached_stays_when_clusters_leave(clock: VirtualClock, policy: ReadyWhen) -> None:
    first = listed(clock, policy)
    for name in KNOWN:
        first.engaged(name)
    assert wanted(first) == set()
    for name in KNOWN[:2]:
        first.gone(name)
    first.present("p1")

    assert wanted(first) == set()
    assert not first.awaits("p1")


@pytest.mark.parametrize("policy", READY_WHEN)
def test_a_first_list_of_none_makes_nobody_wait(clock: VirtualClock, policy: ReadyWhen) -> None:
    first = FirstList(clock=clock, policy=policy, patience=30.0)
    first.all_told()

    assert first.awaited(()) == ()


def test_a_part_of_the_first_list_is_no_quorum(clock: VirtualClock) -> None:
    first = FirstList(clock=clock, policy="quorum", patience=30.0)
    first.present("p1")
    first.engaged("p1")
    assert first.awaited(("p1",)) == ()
    for name in ("p2", "p3"):
        first.present(name)
    first.all_told()

    assert set(first.awaited(KNOWN)) == {"p2", "p3"}


def test_the_command_line_knows_the_same_words_and_others_are_refused() -> None:
    assert run_options.READY_WHEN == READY_WHEN
    with pytest.raises(ConfigError, match="ready_when must be one of first-list, any, quorum, all, none, got 'most'"):
        ManagerOptions(ready_when="most")  # type: ignore[arg-type]
