"""When a circuit breaker opens, lets requests on again, and closes: its rules, without threads and I/O.

An answer of 5xx says that something is wrong with what was asked: a webhook, an aggregated API, or the server itself.
Which of them, a probe finds out. So such answers never open the breaker alone, and if the probe is answered they do not
count for a while; but a request or a probe without an answer speaks for itself.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from kcontroller.process.backoff import Backoff

FAILURES: Final = 5
"""So many in a row open the breaker."""
DOUBTS: Final = 2
"""So many in a row, and the server is asked by a probe; until it answers other clusters come first, since what is tried
again until the breaker opens holds workers."""
CLEARED_SECONDS: Final = 10.0
"""So long after an answered probe no 5xx counts."""
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
        retry_at: when the next probe is due; of no meaning while none is wanted.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._stable_at = self._cleared_until = 0.0
        self._certain = False  # Not all of the row are answers.
        self.state: State = CLOSED
        self.failures = 0
        self.retry_at = 0.0

    @property
    def watchful(self) -> bool:
        """Whether a success changes anything."""
        return self.failures > 0 or self.state is not CLOSED

    @property
    def asks(self) -> bool:
        """Whether the server is to be asked by probes."""
        return self.state is not CLOSED or self.failures >= DOUBTS

    @property
    def in_doubt(self) -> bool:
        """Whether requests may go although the server may be away."""
        return self.asks and self.state is not OPEN

    def failed(self, now: float) -> None:
        """A request or a stream had no answer."""
        self._certain = True
        self._count(now)

    def refused(self, now: float) -> None:
        """A request or a stream was answered 5xx."""
        if self.state is CLOSED and now >= self._cleared_until:
            self._count(now)

    def _count(self, now: float) -> None:
        self.failures += 1
        if self.state is CLOSED and self.failures == DOUBTS:
            self.retry_at = now
        self._judge(now)

    def _judge(self, now: float) -> None:
        if self.state is HALF_OPEN or (self.state is CLOSED and self.failures >= FAILURES and self._certain):
            if self.state is CLOSED and now >= self._stable_at:
                self._steps = 0
            self.state = OPEN
            self._step(now)

    def succeeded(self, now: float) -> None:
        """The server answered."""
        self.failures, self._certain = 0, False
        if self.state is OPEN:
            self.state = HALF_OPEN
            self.retry_at = now + _SECOND_LOOK_SECONDS
        elif self.state is HALF_OPEN:
            self.state = CLOSED
            self._stable_at = now + STABLE_SECONDS

    def probed(self, now: float, *, well: bool | None) -> None:
        """A probe has ended; there will be another one as long as it `asks`.

        Args:
            now: the time.
            well: whether it was answered, which `succeeded` was told before; None if that says neither.
        """
        if well is False and self.asks:
            self._certain = True
            self._judge(now)
        if well and not self.asks:
            self._cleared_until = now + CLEARED_SECONDS
        elif self.state is not OPEN:
            self.retry_at = now + _SECOND_LOOK_SECONDS
        elif now >= self.retry_at:  # Else it was opened by this very probe.
            self._step(now)

    def _step(self, now: float) -> None:
        self._steps += 1
        self.retry_at = now + STEPS.delay(self._steps)
