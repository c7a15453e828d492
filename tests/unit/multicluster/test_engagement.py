"""The engagement machine: golden traces, and a model that does everything in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kcontroller.multicluster import ClusterSpec
from kcontroller.multicluster.engagement import (
    DRAIN_SECONDS,
    ENGAGEMENT,
    Action,
    Announce,
    Close,
    Connect,
    Drain,
    Engage,
    Engagement,
    Failed,
    State,
)
from kcontroller.process.backoff import Backoff
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

TRACES = Path(__file__).parents[2] / "traces" / "engagement.txt"
PLAIN = Backoff(initial=0.5, cap=30.0)


def spec(text: str) -> ClusterSpec:
    return ClusterSpec("p", Config(f"https://{text[0]}.test", StaticCredentials()), text[1:])


def said(action: Action) -> str:
    match action:
        case Connect(generation, wanted):
            return f"connect #{generation} {wanted.config.server.removeprefix('https://')[0]}{wanted.uid}"
        case Engage(generation):
            return f"engage #{generation}"
        case Drain(generation, why):
            return f"drain #{generation}: {why}"
        case Close(generation):
            return f"close #{generation}"
        case Failed(why, seconds):
            return f"failed in {seconds:g}: {why}"
        case Announce(state, why):
            return f"{state.value}: {why}" if why else state.value


def step(machine: Engagement, event: str, now: float) -> list[Action]:
    word, *rest = event.split(maxsplit=2)
    match word:
        case "present":
            return machine.present(spec(rest[0]), now)
        case "absent":
            return machine.absent(rest[0], now)
        case "failed":
            return machine.failed(int(rest[0]), rest[1], now)
        case "tick":
            return machine.tick(now)
        case _:
            return list(getattr(machine, word)(int(rest[0]), now))


def traces() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in TRACES.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            found[line[3:]] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


@pytest.mark.parametrize("name", traces())
def test_golden_trace(name: str) -> None:
    machine = Engagement(backoff=PLAIN)
    for line in traces()[name]:
        asked, expected = map(str.strip, line.split("=>"))
        at, event = asked.split(maxsplit=1)
        answer = "; ".join(map(said, step(machine, event, float(at)))) or "-"
        assert answer == expected, line


def test_the_pause_between_tries_is_half_a_second_to_half_a_minute_and_spread() -> None:
    assert (ENGAGEMENT.initial, ENGAGEMENT.cap) == (0.5, 30.0)
    assert len({ENGAGEMENT.delay(3) for _ in range(20)}) > 1


# ---- anything in any order -------------------------------------------------------------------------------------------


@dataclass
class Made:
    """A connection that the machine asked for."""

    spec: ClusterSpec
    connected: bool = False
    engaged: bool = False
    draining: bool = False
    closed: int = 0


@dataclass
class World:
    """What a shell would hold: the connections, by generation."""

    made: dict[int, Made] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def act(self, action: Action) -> None:
        match action:
            case Connect(generation, wanted):
                assert generation not in self.made, "a generation is used once"
                assert not self.live(), "connects beside a live cluster"
                self.made[generation] = Made(wanted)
                self.asked.append(generation)
            case Engage(generation):
                made = self.made[generation]
                assert made.connected
                assert not made.engaged
                assert not made.closed
                made.engaged = True
            case Drain(generation):
                made = self.made[generation]
                assert made.engaged
                assert not made.draining
                assert not made.closed
                made.draining = True
            case Close(generation):
                assert self.made[generation].connected, "closes what was never there"
                self.made[generation].closed += 1
            case Failed(seconds=seconds):
                assert 0.5 <= seconds <= 30.0

    def live(self) -> list[Made]:
        return [made for made in self.made.values() if made.connected and not made.closed]


class EngagementModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.machine = Engagement(backoff=PLAIN)
        self.world = World()
        self.wish: ClusterSpec | None = None
        self.state = State.GONE

    def do(self, actions: list[Action], *, only: int | None = None) -> None:
        for action in actions:
            if only is not None:
                assert action == Close(only), "an old generation does nothing but go"
            self.world.act(action)
            if isinstance(action, Announce):
                assert action.state is not self.state or action.state is State.CONNECTING
                self.state = action.state

    def old(self, generation: int) -> int | None:
        """The generation, if it is not the newest."""
        return generation if generation != self.world.asked[-1] else None

    @rule(text=st.sampled_from(["a1", "a2", "b1"]))
    def present(self, text: str) -> None:
        said_before = self.wish == spec(text)
        self.wish = spec(text)
        actions = self.machine.present(self.wish, self.now)
        assert not (said_before and actions)
        self.do(actions)

    @rule()
    def absent(self) -> None:
        self.wish = None
        self.do(self.machine.absent("gone", self.now))

    @precondition(lambda self: any(not made.connected for made in self.world.made.values()))
    @rule(data=st.data(), works=st.booleans())
    def connection_ends(self, data: st.DataObject, *, works: bool) -> None:
        waiting = [generation for generation, made in self.world.made.items() if not made.connected]
        generation = data.draw(st.sampled_from(waiting))
        if works:
            self.world.made[generation].connected = True
            self.do(self.machine.connected(generation, self.now), only=self.old(generation))
        else:
            actions = self.machine.failed(generation, "x", self.now)
            assert not (self.old(generation) and actions)
            del self.world.made[generation]
            self.do(actions)

    @precondition(lambda self: self.world.asked)
    @rule(data=st.data(), event=st.sampled_from(["synced", "idle", "failed"]))
    def tell(self, data: st.DataObject, event: str) -> None:
        """Something of any generation that was ever engaged; also twice, and too late."""
        engaged = [generation for generation, made in self.world.made.items() if made.engaged]
        if not engaged:
            return
        generation = data.draw(st.sampled_from(engaged))
        made = self.world.made[generation]
        if event == "idle" and not made.draining:
            return
        late = bool(made.closed)
        actions = step(
            self.machine, f"{event} {generation} x" if event == "failed" else f"{event} {generation}", self.now
        )
        assert not (late and actions), "an old generation touched the new one"
        self.do(actions)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 10.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.machine.tick(self.now))

    @invariant()
    def at_most_one_is_live(self) -> None:
        assert len(self.world.live()) <= 1

    @invariant()
    def nothing_is_closed_twice(self) -> None:
        assert all(made.closed <= 1 for made in self.world.made.values())

    @invariant()
    def the_state_says_what_is_there(self) -> None:
        there = self.machine.state in {State.SYNCING, State.ENGAGED, State.DRAINING}
        assert bool(self.world.live()) == there
        assert self.state is self.machine.state

    @invariant()
    def what_waits_has_an_end(self) -> None:
        if self.machine.state in {State.DRAINING, State.DISCOVERED}:
            assert self.machine.due <= self.now + max(DRAIN_SECONDS, PLAIN.cap)
        else:
            assert self.machine.due == math.inf

    def teardown(self) -> None:
        """Whatever happened: when nothing more comes from outside, all is as the last wish says."""
        for _ in range(20):
            for generation, made in list(self.world.made.items()):
                if not made.connected:
                    made.connected = True
                    self.do(self.machine.connected(generation, self.now))
            if self.world.asked:
                self.do(self.machine.synced(self.world.asked[-1], self.now))
            self.now = max(self.now, min(self.machine.due, self.now + 60))
            self.do(self.machine.tick(self.now))
        live = self.world.live()
        assert self.machine.state is (State.GONE if self.wish is None else State.ENGAGED)
        assert [made.spec for made in live] == ([] if self.wish is None else [self.wish])
        assert all(made.closed == 1 for made in self.world.made.values() if made not in live)


TestEngagementModel = EngagementModel.TestCase
TestEngagementModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
