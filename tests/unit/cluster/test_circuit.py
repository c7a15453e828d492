from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kcontroller.cluster.circuit import CLEARED_SECONDS, CLOSED, DOUBTS, FAILURES, HALF_OPEN, OPEN, STEPS, Circuit


class CircuitModel(RuleBasedStateMachine):
    """Any history of outcomes, against what the class promises."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 100.0
        self.row = 0
        self.certain = False
        self.cleared_until = 0.0

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def fail(self) -> None:
        before = self.circuit.state
        self.row += 1
        self.certain = True
        self.circuit.failed(self.now)
        if before is CLOSED:
            assert self.circuit.state is (OPEN if self.row >= FAILURES else CLOSED)
        else:
            assert self.circuit.state is OPEN

    @rule()
    def refuse(self) -> None:
        before = self.circuit.state
        counts = before is CLOSED and self.now >= self.cleared_until
        self.row += counts
        self.circuit.refused(self.now)
        assert self.circuit.state is (OPEN if counts and self.row >= FAILURES and self.certain else before)

    @rule()
    def succeed(self) -> None:
        before = self.circuit.state
        self.row, self.certain = 0, False
        self.circuit.succeeded(self.now)
        assert self.circuit.state is {CLOSED: CLOSED, OPEN: HALF_OPEN, HALF_OPEN: CLOSED}[before]

    @precondition(lambda self: self.circuit.asks)
    @rule(well=st.sampled_from([True, False, None]))
    def probe(self, *, well: bool | None) -> None:
        """It went out when it was due; the loop tells of an answer before."""
        self.now = max(self.now, self.circuit.retry_at)
        if well:
            self.succeed()
        before = self.circuit.state
        self.certain |= well is False
        self.circuit.probed(self.now, well=well)
        if well is False and (before is HALF_OPEN or self.row >= FAILURES):
            assert self.circuit.state is OPEN
        else:
            assert self.circuit.state is before
        if self.circuit.asks:
            assert self.circuit.retry_at > self.now
        else:
            self.cleared_until = self.now + CLEARED_SECONDS

    @invariant()
    def holds(self) -> None:
        assert self.circuit.failures == self.row
        assert self.circuit.asks is (self.circuit.state is not CLOSED or self.row >= DOUBTS)
        assert self.circuit.in_doubt is (self.circuit.asks and self.circuit.state is not OPEN)
        if self.circuit.asks:
            # There is always a next probe, and not later than the longest step.
            assert self.circuit.retry_at <= self.now + STEPS.cap * (1 + STEPS.jitter)


CircuitModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCircuit = CircuitModel.TestCase
