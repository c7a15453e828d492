"""The reflector against its golden traces, and what holds of every history."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from kcontroller.cache.actions import OpenWatch, Timer
from kcontroller.cache.reflector import Reflector, State
from kcontroller.cache.targets import LIST_SECONDS
from tests.unit.cache.traces import Still, Trace, play, read, run, write

PATH = Path(__file__).parents[2] / "traces" / "reflector.txt"
if "KC_REWRITE_TRACES" in os.environ:
    write(PATH, [Trace(title, run(lines)) for title, lines in read(PATH)])
TRACES = list(read(PATH))


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.title)
def test_the_machine_does_what_the_trace_says(trace: Trace) -> None:
    assert run(trace.lines) == trace.lines


def test_every_trace_has_a_title_of_its_own() -> None:
    assert len({trace.title for trace in TRACES}) == len(TRACES) >= 40


def test_watches_ask_for_a_random_time_between_five_and_ten_minutes() -> None:
    seconds = []
    for seed in range(200):
        opened, _timer = Reflector("/api/v1/pods", rng=random.Random(seed)).start(0.0)  # noqa: S311 - not a secret
        assert isinstance(opened, OpenWatch)
        (asked,) = re.findall(r"timeoutSeconds=(\d+)", opened.target)
        assert int(asked) <= opened.seconds
        seconds.append(int(asked))

    assert min(seconds) in range(300, 330)
    assert max(seconds) in range(570, 601)


def test_every_request_carries_the_selectors() -> None:
    machine = Reflector("/api/v1/pods", selectors=(("labelSelector", "a=b"), ("fieldSelector", "")), rng=Still())
    targets = [
        machine.start(0.0)[0].target,
        play(machine, "failed 400", 0.0)[0].target,
        play(machine, "page a@5 10 token-1", 0.0)[0].target,
        play(machine, "page a@5 10", 0.0)[-1].target,
    ]

    assert all("labelSelector=a%3Db" in target and "fieldSelector" not in target for target in targets)


def test_a_list_has_a_bound_in_time() -> None:
    machine = Reflector("/api/v1/pods", streaming=False)

    (opened,) = machine.start(0.0)

    assert opened.seconds == LIST_SECONDS


def test_delays_are_spread_over_their_double() -> None:
    delays = []
    for seed in range(200):
        machine = Reflector("/api/v1/pods", rng=random.Random(seed))  # noqa: S311 - not a secret
        machine.start(0.0)
        timer = play(machine, "failed refused", 0.0)[-1]
        assert isinstance(timer, Timer)
        delays.append(timer.seconds)

    assert min(delays) == pytest.approx(0.8, abs=0.02)
    assert max(delays) == pytest.approx(1.6, abs=0.02)


def test_410_storm_for_a_minute_costs_at_most_eight_lists() -> None:
    machine = Reflector("/api/v1/pods", rng=Still())
    now, lists, version = 0.0, 0, 10
    actions = machine.start(now)
    while now < 60.0:
        lists += sum("sendInitialEvents" in getattr(action, "target", "") for action in actions)
        if machine.state is State.WAITING:
            now += actions[-1].seconds
            actions = machine.tick(now)
            continue
        play(machine, "opened", now)
        if machine.state is State.STREAMING:
            actions = play(machine, f"mark {version}", now)
        else:
            actions = play(machine, "error 410", now)
        now += 0.1
        version += 100

    assert lists <= 8


@pytest.mark.parametrize(
    "steps",
    [
        ("opened", "mark 10", "ended"),
        ("opened", "mark 10", "added a@11", "ended"),
        ("opened", "mark 10", "error 410"),
        ("opened", "mark 10", "failed too-large"),
        ("opened", "mark 10", "failed garbled"),
        ("opened", "mark 10", "error 500"),
        ("opened", "mark 5", "failed 410"),
        ("failed 400", "page a@5 10", "failed 405"),
        ("failed 400", "page a@5 10 token-1", "failed 410", "failed 410"),
        ("opened", "error 410"),
    ],
)
def test_nothing_a_server_does_within_a_moment_makes_the_machine_ask_for_ever(steps: tuple[str, ...]) -> None:
    machine = Reflector("/api/v1/pods", rng=Still())
    machine.start(0.0)
    requests = 0
    for step in steps * 3:
        if machine.state is State.WAITING:
            break
        requests += sum(hasattr(action, "target") for action in play(machine, step, 0.0))

    assert machine.state is State.WAITING
    assert requests <= 4


def test_a_timer_is_never_too_short_for_the_clock_to_move() -> None:
    for start in range(1000):
        machine = Reflector("/api/v1/pods", rng=Still())
        opened_at = 1000.0 + start * 0.1
        machine.start(opened_at - 0.05)
        play(machine, "opened", opened_at)
        for action in machine.tick(opened_at + 10.0 - 1e-12):
            assert not isinstance(action, Timer)
