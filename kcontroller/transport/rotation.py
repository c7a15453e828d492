"""What becomes of streams when who we are changes.

A new token ends nothing: a server looks at it when a request begins, and a watch that runs goes on until its server
ends it, after ten minutes at the latest. The next one begins with the new token (client-go does the same).

A new CA or client certificate makes a new connection. client-go then closes the old one with all that runs on it
(``connrotation``), because its transport would go on to use it; libcurl keeps the two apart by itself. What is left on
the old one is ended for another reason: the probe travels on the new one and cannot tell whether the old one lives. So
a stream there is ended once it has been silent as long as a probed one may be. One that talks is alive, and so are
lists: a certificate that changes faster than a long list comes in must not keep it from its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.transport.transfer import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.process.clock import Clock
    from kcontroller.transport.curl import Trust
    from kcontroller.transport.timers import Timers
    from kcontroller.transport.transfer import Owner, Transfer


class Rotation:
    """Ends the streams of one loop that rotation has left behind.

    Args:
        running: the loop's transfers.
        silence: seconds without a byte after which a stream that cannot be probed ends.
        timers: the loop's.
        clock: its time.
        end: ends a stream, so that its user opens it anew.
    """

    def __init__(
        self,
        running: Mapping[int, Transfer],
        *,
        silence: float,
        timers: Timers,
        clock: Clock,
        end: Callable[[Stream], None],
    ) -> None:
        """Know of no rotation."""
        self._running = running
        self._silence = silence
        self._timers = timers
        self._clock = clock
        self._end = end
        self._trusts: dict[Owner, Trust] = {}
        self._looks = False

    def began(self, owner: Owner, trust: Trust) -> None:
        """Note what the connection of a transfer that begins is made with."""
        before = self._trusts.get(owner)
        if trust != before:
            self._trusts[owner] = trust
            if before is not None:  # Of an owner who is new nothing is old.
                self._end_silent()

    def forget(self, owner: Owner) -> None:
        """Note that nothing of an owner is left."""
        self._trusts.pop(owner, None)

    def _end_silent(self) -> None:
        since = self._clock.monotonic() - self._silence
        old = [
            each
            for each in self._running.values()
            if isinstance(each, Stream) and each.trust != self._trusts.get(each.owner)
        ]
        silent = [each for each in old if each.status is not None and each.heard <= since]
        for stream in silent:
            self._end(stream)
        if len(silent) < len(old) and not self._looks:
            self._looks = True
            self._timers.add(self._silence, self._look)

    def _look(self) -> None:
        self._looks = False
        self._end_silent()
