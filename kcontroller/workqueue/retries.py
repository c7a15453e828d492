"""How long a request waits for its next try."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from kcontroller.process.backoff import Backoff
    from kcontroller.process.bucket import Bucket


class Retries:
    """The backoff of each request, and a rate for all of them: the longer wait counts (client-go's ``MaxOf``).

    Args:
        backoff: seconds between the tries of one request.
        bucket: keeps all failures of a queue to a rate; None for no such rate.
        rng: where jitter comes from; None for Python's own.
    """

    def __init__(self, backoff: Backoff, bucket: Bucket | None = None, rng: random.Random | None = None) -> None:
        self._backoff = backoff
        self._bucket = bucket
        self._rng = rng

    def delay(self, failures: int, now: float) -> float:
        """Seconds to wait from `now` on after so many failures in a row; takes a token."""
        delay = self._backoff.delay(failures, rng=self._rng)
        return delay if self._bucket is None else max(delay, self._bucket.reserve(now))
