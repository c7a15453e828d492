"""What happens in ``kcontroller demo`` between the start and the end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cli.demo_outage import Outage
    from kcontroller.cli.demo_table import Screen, Snapshot
    from kcontroller.cli.demo_visitor import Visitor

_DEED_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 30.0
_HURRY_SECONDS: Final = 3.0  # For settling, once somebody has asked for the end.


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Waits until all is ready, lets things happen for a while, and waits again.

    Attributes:
        visitor: does the deeds.
        outage: happens meanwhile.
        screen: shows it.
        look: how things are.
        wait: waits so many seconds, or less and says True if the end is asked for.
        wanted: how many Widgets there are in the end.
    """

    visitor: Visitor
    outage: Outage
    screen: Screen
    look: Callable[[], Snapshot]
    wait: Callable[[float], bool]
    wanted: int

    def run(self, duration: float) -> None:
        """Play for so many seconds, after all Widgets are ready."""
        if not self._settled():
            return
        self.screen.say(f"all {self.wanted} Widgets are ready; changing them for {duration:g} s")
        began = time.monotonic()
        deeds = 0
        while (left := began + duration - time.monotonic()) > 0 and not self.wait(min(_LOOK_SECONDS, left)):
            elapsed = time.monotonic() - began
            if elapsed >= deeds * _DEED_SECONDS:
                deeds += 1
                self.screen.done(self.visitor.act())
            self._tell(self.outage.act(elapsed))
            self.screen.show(self.look(), f"{left:.0f} s left, Ctrl-C ends it early")
        self._tell(self.outage.end())
        self.visitor.leave()
        self._settled()

    def _tell(self, text: str) -> None:
        if text:
            self.screen.say(text)

    def _settled(self) -> bool:
        """Wait until all Widgets are ready and nothing is left to do; False if it gets no further."""
        most, since = -1, 0.0
        while True:
            snapshot = self.look()
            total = snapshot.total
            settled = total.ready == total.widgets == self.wanted and not total.queue
            self.screen.show(snapshot, "all Widgets are ready" if settled else "waiting until all Widgets are ready")
            if total.ready > most:
                most, since = total.ready, time.monotonic()
            patience = _HURRY_SECONDS if self.wait(0) else _SETTLE_SECONDS
            if settled or time.monotonic() - since > patience:
                return settled
            time.sleep(_LOOK_SECONDS)  # `wait` would not wait any more once the end is asked for.
