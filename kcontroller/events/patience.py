"""How long a try may take, so that clusters that begin to hang cost the others little.

A cluster that hangs is found out by waiting for it, one after another. What such waits may cost is an allowance for all
lanes together: the next lane whose last try did not fail gets half of what is left, and at least `_LEAST_SECONDS`. A
lane that is known to be slow gets more (after RFC 6298, which derives a time-out from the answers of before), and one
whose last try failed the whole time, for it has a turn that holds up nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.events.lane import REQUEST_SECONDS

if TYPE_CHECKING:
    from kcontroller.events.lane import Lane

_ALLOWANCE_SECONDS: Final = 2.0
_REFILL_SECONDS: Final = 30.0
"""In which an allowance that is used up is whole again."""
_LEAST_SECONDS: Final = 0.1
_SLOWER: Final = 4
"""How many times longer than before an answer may take."""


class Patience:
    """The allowance; every call under the owner's lock."""

    def __init__(self) -> None:
        self._left = _ALLOWANCE_SECONDS
        self._at = 0.0

    def of(self, lane: Lane, now: float) -> float:
        """Say how many seconds the next try of a lane may take."""
        if lane.failures:
            return REQUEST_SECONDS
        self._refill(now)
        return min(REQUEST_SECONDS, max(_LEAST_SECONDS, self._left / 2, _SLOWER * lane.answered_in))

    def spend(self, seconds: float, now: float) -> None:
        """Take what the failed try of a lane cost that had not failed before."""
        self._refill(now)
        self._left = max(0.0, self._left - seconds)

    def _refill(self, now: float) -> None:
        gained = (now - self._at) * _ALLOWANCE_SECONDS / _REFILL_SECONDS
        self._left, self._at = min(_ALLOWANCE_SECONDS, self._left + gained), now
