"""What many suffer from at once is said of a few of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock

NAMED: Final = 5
"""So many of those that suffer are named; of the next it is said that there are more."""

BY_TURNS: Final = ", and so by turns, which is not said for now"
"""What to say last of one thing that is well and not well by turns."""

_QUIET_SECONDS: Final = 60.0
_TEXTS: Final = 1000
_MORE: Final = " (and so in further clusters, which are not named)"


class Repeats:
    """Counts who says the same, so that an outage of one server is no flood of lines; safe for all threads.

    The count begins anew when nobody has said it for a minute.

    Args:
        clock: the time.
        more: what follows the text when it is said for the last time.
    """

    def __init__(self, *, clock: Clock, more: str = _MORE) -> None:
        self._more = more
        self._lock = threading.Lock()
        self._counts: TTLCache[str, int] = TTLCache(_TEXTS, _QUIET_SECONDS, timer=clock.monotonic)

    def told(self, text: str, *, of: str = "") -> str:
        """Give the text as it is to be said now; "" if it has been said often enough.

        Args:
            text: what is to be said.
            of: what all is counted together of, whatever is said; by default the text itself.
        """
        with self._lock:
            count = self._counts[of or text] = self._counts.get(of or text, 0) + 1
        if count <= NAMED:
            return text
        return f"{text}{self._more}" if count == NAMED + 1 else ""
