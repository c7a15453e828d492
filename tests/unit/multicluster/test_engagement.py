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
from kcontroller.multicluster.actions import (
    Action,
    Adopt,
    Announce,
    Close,
    Connect,
    Drain,
    Engage,
    Failed,
    Keep,
    Overdue,
    Prove,
    Relabel,
    State,
)
from kcontroller.multicluster.engagement import (
    CHECK_SECONDS,
    DRAIN_SECONDS,
    ENGAGEMENT,
    PATIENCE_SECONDS,
    SYNC_SECONDS,
    TRIAL_SECONDS,
    Engagement,
)
from kcontroller.process.backoff import Backoff
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

TRACES = Path(__file__).parents[2] / "traces" / "engagement.txt"
PLAIN = Backoff(initial=0.5, cap=30.0)


def spec(text: str) -> ClusterSpec:
    identity, _, label = text.partition("/")
    labels = (("env", label),) if label else ()
    return ClusterSpec("p", Config(f"https://{identity[0]}.test", StaticCredentials()), identity[1:], labels)


def shown(wanted: ClusterSpec) -> str:
    labels = "".join(f"/{value}" for _key, value in wanted.labels)
    return f"{wanted.config.server.removeprefix('https://')[0]}{wanted.uid}{labels}"


def said(action: Action) -> str:
    match action:
        case Connect(generation, wanted):
            return f"connect #{generation} {shown(wanted)}"
        case Engage(generation):
            return f"engage #{generation}"
        case Prove(generation, wanted):
            return f"prove #{generation} {shown(wanted)}"
        case Adopt(wanted):
            return f"adopt {shown(wanted)}"
        case Relabel(wanted):
            return f"relabel {shown(wanted)}"
        case Keep() | Overdue():
            return type(action).__name__.lower()
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
        case "begun":
            return machine.begun(int(rest[0]), float(rest[1]), now)
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
    told: str = ""


@dataclass
class World:
    """What a shell would hold: the connections and the proofs, by generation."""

    made: dict[int, Made] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    proofs: dict[int, ClusterSpec] = field(default_factory=dict)
    proved: ClusterSpec | None = None

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
                made.told += "draining " if made.told else ""
            case Close(generation):
                made = self.made[generation]
                assert made.connected, "closes what was never there"
                made.closed += 1
                made.told += "gone " if made.told else ""
            case Announce(State.ENGAGED):
                self.live()[0].told += "engaged "
            case Prove(generation, wanted):
                (used,) = self.live()
                assert used.engaged
                assert not used.draining
                assert used.spec.uid == wanted.uid, "another uid is another cluster"
                assert generation not in self.proofs
                assert generation not in self.made
                self.proofs[generation] = wanted
            case Adopt(wanted):
                (used,) = self.live()
                assert not used.draining
                assert self.proved is not None
                assert wanted.identity == self.proved.identity, "adopts what nobody has proved"
                used.spec = wanted
            case Relabel(wanted):
                (used,) = self.live()
                assert used.spec.identity == wanted.identity
                assert used.spec.labels != wanted.labels
                used.spec = wanted
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

    @rule(text=st.sampled_from(["a1", "a1/x", "a2", "b1", "b1/x", "c1"]))
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

    @precondition(lambda self: self.world.proofs)
    @rule(data=st.data(), outcome=st.sampled_from(["works", "leads to another", "fails"]))
    def proof_ends(self, data: st.DataObject, outcome: str) -> None:
        """Any proof that was asked for; also twice, and too late."""
        generation = data.draw(st.sampled_from(list(self.world.proofs)))
        if outcome == "works":
            self.world.proved = self.world.proofs[generation]
            actions = self.machine.proved(generation, self.now)
            assert all(isinstance(action, Adopt) for action in actions)
        elif outcome == "leads to another":
            actions = self.machine.another(generation, self.now)
            assert [type(action) for action in actions] in ([], [Announce, Drain]), "nothing of it may be taken over"
        else:
            actions = self.machine.failed(generation, "x", self.now)
            assert all(isinstance(action, Failed) for action in actions), "what is in use goes on"
        self.do(actions)
        self.world.proved = None

    @precondition(lambda self: self.world.asked)
    @rule(data=st.data())
    def question_begins(self, data: st.DataObject) -> None:
        """What a connection or a proof asks of others; also twice, and too late."""
        generation = data.draw(st.sampled_from([*self.world.asked, *self.world.proofs]))
        seconds = TRIAL_SECONDS if generation in self.world.proofs else CHECK_SECONDS
        assert self.machine.begun(generation, seconds, self.now) == []

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
        longest = {
            State.DISCOVERED: PLAIN.cap,
            State.CONNECTING: SYNC_SECONDS,
            State.SYNCING: SYNC_SECONDS,
            State.ENGAGED: TRIAL_SECONDS + PATIENCE_SECONDS,
            State.DRAINING: DRAIN_SECONDS,
        }.get(self.machine.state, -math.inf)
        may_wait = self.machine.state not in {State.DISCOVERED, State.DRAINING}
        assert self.machine.due <= self.now + longest or (may_wait and self.machine.due == math.inf)

    @invariant()
    def listeners_hear_each_step_once_and_in_order(self) -> None:
        for made in self.world.made.values():
            assert "engaged draining gone ".startswith(made.told)
            assert not (made.closed and made.told and not made.told.endswith("gone "))

    def teardown(self) -> None:
        """Whatever happened: when nothing more comes from outside, all is as the last wish says."""
        for _ in range(20):
            for generation, made in list(self.world.made.items()):
                if not made.connected:
                    made.connected = True
                    self.do(self.machine.connected(generation, self.now))
            if self.world.asked:
                self.do(self.machine.synced(self.world.asked[-1], self.now))
            for generation, wanted in list(self.world.proofs.items()):
                self.world.proved = wanted
                self.do(self.machine.proved(generation, self.now))
            self.now = max(self.now, min(self.machine.due, self.now + 60))
            self.do(self.machine.tick(self.now))
        live = self.world.live()
        assert self.machine.state is (State.GONE if self.wish is None else State.ENGAGED)
        assert [made.spec for made in live] == ([] if self.wish is None else [self.wish])
        assert all(made.closed == 1 for made in self.world.made.values() if made not in live)


TestEngagementModel = EngagementModel.TestCase
TestEngagementModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
