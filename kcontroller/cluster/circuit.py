"""When a circuit breaker opens, lets requests on again, and closes: its rules, without threads and I/O."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from kcontroller.process.backoff import Backoff

FAILURES: Final = 5
"""So many in a row open the breaker."""
DOUBTS: Final = 2
"""So many in a row, and others come first: what is tried again until the breaker opens holds workers."""
STEPS: Final = Backoff(initial=1.0, cap=30.0, jitter=0.5)
"""Between the probes: 30 s is also how long client-go's reflector waits at most."""
STABLE_SECONDS: Final = 60.0
"""A breaker that opens sooner after it was closed goes on with the step where it was."""

State: TypeAlias = Literal["closed", "open", "half-open"]

CLOSED: Final[State] = "closed"
OPEN: Final[State] = "open"
HALF_OPEN: Final[State] = "half-open"

_SECOND_LOOK_SECONDS: Final = 1.0  # After the first answer, where nobody asks of himself.


class Circuit:
    """The state of a breaker and its steps; the caller brings the time (seconds), and takes one step at a time.

    Attributes:
        state: whether requests may go.
        failures: how many in a row.
        retry_at: when the next probe is due; of no meaning while it is closed.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._stable_at = 0.0
        self.state: State = CLOSED
        self.failures = 0
        self.retry_at = 0.0

    @property
    def watchful(self) -> bool:
        """Whether a success changes anything."""
        return self.failures > 0 or self.state is not CLOSED

    @property
    def in_doubt(self) -> bool:
        """Whether requests may go although the server may be away."""
        return self.state is HALF_OPEN or (self.state is CLOSED and self.failures >= DOUBTS)

    def failed(self, now: float) -> None:
        """Something failed."""
        self.failures += 1
        if self.state is HALF_OPEN or (self.state is CLOSED and self.failures >= FAILURES):
            if self.state is CLOSED and now >= self._stable_at:
                self._steps = 0
            self.state = OPEN
            self._step(now)

    def succeeded(self, now: float) -> None:
        """The server answered."""
        self.failures = 0
        if self.state is OPEN:
            self.state = HALF_OPEN
            self.retry_at = now + _SECOND_LOOK_SECONDS
        elif self.state is HALF_OPEN:
            self.state = CLOSED
            self._stable_at = now + STABLE_SECONDS

    def probed(self, now: float) -> None:
        """A probe has ended, and its outcome was told: there will be another one, unless the breaker is closed."""
        if self.state is OPEN:
            if now >= self.retry_at:  # Else it was opened by this very probe.
                self._step(now)
        elif self.state is HALF_OPEN:
            self.retry_at = now + _SECOND_LOOK_SECONDS

    def _step(self, now: float) -> None:
        self._steps += 1
        self.retry_at = now + STEPS.delay(self._steps)
