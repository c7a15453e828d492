from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kcontroller.cluster.circuit import CLOSED, DOUBTS, FAILURES, HALF_OPEN, OPEN, STEPS, Circuit


class CircuitModel(RuleBasedStateMachine):
    """Any history of outcomes, against what the class promises."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 100.0
        self.row = 0

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def fail(self) -> None:
        before = self.circuit.state
        self.row += 1
        self.circuit.failed(self.now)
        if before is CLOSED:
            assert self.circuit.state is (OPEN if self.row >= FAILURES else CLOSED)
        else:
            assert self.circuit.state is OPEN

    @rule()
    def succeed(self) -> None:
        before = self.circuit.state
        self.row = 0
        self.circuit.succeeded(self.now)
        assert self.circuit.state is {CLOSED: CLOSED, OPEN: HALF_OPEN, HALF_OPEN: CLOSED}[before]

    @precondition(lambda self: self.circuit.state is not CLOSED)
    @rule()
    def probe_in_vain(self) -> None:
        """It went out when it was due, and said neither."""
        self.now = max(self.now, self.circuit.retry_at)
        before = self.circuit.state
        self.circuit.probed(self.now)
        assert self.circuit.state is before
        assert self.circuit.retry_at > self.now

    @invariant()
    def holds(self) -> None:
        assert self.circuit.failures == self.row
        assert self.circuit.in_doubt is (self.circuit.state is {True: CLOSED, False: HALF_OPEN}[self.row >= DOUBTS])
        if self.circuit.state is not CLOSED:
            # There is always a next probe, and not later than the longest step.
            assert self.circuit.retry_at <= self.now + STEPS.cap * (1 + STEPS.jitter)


CircuitModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCircuit = CircuitModel.TestCase
