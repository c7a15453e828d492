"""How long the items of each cluster take, against those of the others: the queue's own measure of a slow cluster.

A cluster is slow by comparison: where every reconcile takes two seconds, two seconds are no trouble. It takes `TIMES`
the median of the clusters, and at least `SLOW_SECONDS`, to be slow; less than half of either to be well again. Both
its average and its last item have to, or one that was slow while everything was, as at the start, would count as slow
when the others have forgotten it. What is in work counts with its age, so that one that hangs is found before it
returns, unless its cluster has finished another one meanwhile: then it is the object that hangs. The median is of what
was finished, or those that hang would set it; and while a quarter of the clusters is as quick as ever it does not more
than double in a minute, or nobody would be slow where more than half turn bad.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SLOW: Final = "slow"
"""Why a cluster is degraded that is slow; see `WorkQueue.degrade`."""

SLOW_SECONDS: Final = 0.1
TIMES: Final = 8.0
LOOK_SECONDS: Final = 0.1
"""Between two comparisons of up to a thousand clusters; of more of them longer, since each costs a look at all."""
LAG_SECONDS: Final = 0.02
LAG_TIMES: Final = 4.0
"""An item that is longer in work, and so many times the median, lags: nothing is wrong with its cluster yet, but others
need not wait for it; see `WorkQueue.set_aside`."""
UNKNOWN_SECONDS: Final = 1.0
"""The same as long as nothing is finished that could be compared with."""

_WEIGHT: Final = 0.5  # Of the last item in the moving average: what was a storm is forgotten after three or four.
_CLUSTERS: Final = 1000
_DOUBLE_SECONDS: Final = 60.0


class Paces:
    """A moving average per cluster, and who is slow by it.

    Attributes:
        look_at: when the next comparison is due.
        lag: seconds after which an item lags, as of the last comparison.
    """

    def __init__(self) -> None:
        """Know of no cluster."""
        self.look_at = -math.inf
        self.lag = UNKNOWN_SECONDS
        self._seconds: dict[str, float] = {}
        self._last: dict[str, tuple[float, float]] = {}  # When it ended, and its seconds.
        self._slow: set[str] = set()
        self._usual = math.inf
        self._compared_at = 0.0

    def note(self, cluster: str, seconds: float, now: float) -> None:
        """Take note of how long an item was in work."""
        known = self._seconds.get(cluster, seconds)
        self._seconds[cluster] = known + _WEIGHT * (seconds - known)
        self._last[cluster] = now, seconds

    def look(self, now: float, in_work: Iterable[tuple[str, float]]) -> Mapping[str, bool]:
        """Compare; returns who is slow from now on, or no longer.

        Args:
            now: the time.
            in_work: the items in work: their clusters, and since when they are.
        """
        finished = sorted(self._seconds.values())
        if not finished:
            return {}
        self.look_at = now + LOOK_SECONDS * max(1.0, len(finished) / _CLUSTERS)
        usual = self._compare(finished, now)
        self.lag = max(LAG_SECONDS, LAG_TIMES * usual)
        bound = max(SLOW_SECONDS, TIMES * usual)
        last, known = self._last, self._slow
        seconds = {name: one if name in known else min(one, last[name][1]) for name, one in self._seconds.items()}
        for name, since in in_work:
            if name not in last or last[name][0] <= since:
                seconds[name] = max(seconds.get(name, 0.0), now - since)
        slow = {name for name, one in seconds.items() if one > (bound / 2 if name in known else bound)}
        changes = {name: name in slow for name in slow ^ known}
        self._slow = slow
        return changes

    def _compare(self, finished: list[float], now: float) -> float:
        """What an item takes in most clusters."""
        last = len(finished) - 1
        grown = max(self._usual, SLOW_SECONDS / TIMES) * 2 ** min(1.0, (now - self._compared_at) / _DOUBLE_SECONDS)
        self._usual = min(finished[last // 2], max(finished[last // 4], grown))
        self._compared_at = now
        return self._usual

    def forget(self, cluster: str) -> None:
        """Forget a cluster that has left."""
        self._seconds.pop(cluster, None)
        self._last.pop(cluster, None)
        self._slow.discard(cluster)
