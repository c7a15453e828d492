from __future__ import annotations

from kcontroller.process.repeats import NAMED, Repeats
from kcontroller.testing.clock import VirtualClock


def test_the_first_few_are_named_then_that_there_are_more_then_nobody() -> None:
    repeats = Repeats(clock=VirtualClock())

    told = [repeats.told("the server is away") for _ in range(NAMED + 3)]

    assert told[:NAMED] == ["the server is away"] * NAMED
    assert told[NAMED:] == ["the server is away (and so in further clusters, which are not named)", "", ""]


def test_what_is_said_when_it_is_enough_may_be_chosen() -> None:
    repeats = Repeats(clock=VirtualClock(), more="; enough")

    assert [repeats.told("one") for _ in range(NAMED + 2)] == ["one"] * NAMED + ["one; enough", ""]


def test_texts_are_counted_apart() -> None:
    repeats = Repeats(clock=VirtualClock())
    for _ in range(NAMED + 1):
        repeats.told("one")

    assert repeats.told("other") == "other"


def test_after_a_quiet_minute_it_is_said_again() -> None:
    clock = VirtualClock()
    repeats = Repeats(clock=clock)
    for _ in range(NAMED + 2):
        repeats.told("one")
    clock.advance(59)
    assert repeats.told("one") == ""
    clock.advance(61)

    assert repeats.told("one") == "one"
