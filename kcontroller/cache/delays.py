"""How long a reflector waits after a failure, and what it takes the failure for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.errors import ApiError, Expired, Garbled, NotFound, TooManyRequests, TransportError, Treatment

if TYPE_CHECKING:
    import random

    from kcontroller.process.backoff import Backoff

ABSENT_SECONDS: Final = 5.0
"""A kind that is not served may be installed at any moment, and asking for it costs the server nothing."""
LONGEST_WAIT: Final = 300.0
"""A Retry-After beyond this is not believed."""
WAIT_JITTER: Final = 0.25
"""By so much of it a Retry-After is exceeded at most, or all who were sent away together would come back together."""
PATIENCE: Final = 3
"""How often one thing is tried although the server answers with errors, before another one is."""


class Delays:
    """Counts failures in a row.

    Args:
        backoff: delays between failures.
        rng: spreads them.
    """

    def __init__(self, backoff: Backoff, rng: random.Random) -> None:
        self._backoff = backoff
        self._rng = rng
        self._failures = 0
        self._absences = 0

    def reset(self) -> None:
        """Something was worth opening: the next failure is the first."""
        self._failures = 0

    def after(self, error: Exception) -> float:
        """Count a failure; the seconds to wait."""
        if isinstance(error, NotFound):
            # The server answers: its next trouble, such as the 429 of a CRD that is being set up, is its first.
            self._failures = 0
            self._absences += 1
            return min(ABSENT_SECONDS, self._backoff.delay(self._absences, rng=self._rng))
        self._absences = 0
        asked = min(error.retry_after or 0.0, LONGEST_WAIT) if isinstance(error, ApiError) else 0.0
        asked *= 1 + WAIT_JITTER * self._rng.random()
        if asked and isinstance(error, TooManyRequests):
            return asked  # No failure: the server works, and says when it will have time.
        self._failures += 1
        return max(self._backoff.delay(self._failures, rng=self._rng), asked)

    @property
    def exhausted(self) -> bool:
        """Whether patience has ended; it returns after as many failures more."""
        return self._failures > 0 and self._failures % PATIENCE == 0

    def resumable(self, error: Exception) -> bool:
        """Whether to take a watch that failed up again where it was, rather than list."""
        if isinstance(error, (TransportError, TooManyRequests)) and not isinstance(error, Garbled):
            return True
        # Anything else that keeps failing at one version may be the version's own fault: list past it.
        passing = not isinstance(error, ApiError) or error.treatment is not Treatment.TERMINAL
        return passing and self._failures < PATIENCE


def is_too_large(error: Exception) -> bool:
    """Whether the server has not reached our version: it lags behind, was restored, or is another, younger one."""
    if not isinstance(error, ApiError):
        return False
    return "ResourceVersionTooLarge" in error.causes or "Too large resource version" in error.message


def is_version_unusable(error: Exception) -> bool:
    """Whether the version that was named is of no use to this server: too old or too new."""
    return isinstance(error, Expired) or is_too_large(error)
