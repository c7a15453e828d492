"""One project of ``kcontroller demo`` is not ready for a moment: its cluster leaves and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kcontroller.cli.demo_fleet import Fleet

_SECONDS: Final = 3.0
_LEAST_SECONDS: Final = 3 * _SECONDS  # A shorter demo has no time for it.


class Outage:
    """A moment in the middle of the demo; none if it is short, or has one project only.

    Args:
        fleet: whose projects they are.
        projects: their names.
        duration: seconds that the demo lasts.
    """

    def __init__(self, fleet: Fleet, projects: Sequence[str], duration: float) -> None:
        self._fleet = fleet
        self._project = projects[1] if len(projects) > 1 and duration >= _LEAST_SECONDS else ""
        self._begin = (duration - _SECONDS) / 2
        self._out = False

    def act(self, elapsed: float) -> str:
        """Do what is due after so many seconds, and say what it was; "" for nothing."""
        out = self._begin <= elapsed < self._begin + _SECONDS
        return self._turn(out=out)

    def end(self) -> str:
        """Make the project ready if it is not."""
        return self._turn(out=False)

    def _turn(self, *, out: bool) -> str:
        if not self._project or out is self._out:
            return ""
        self._fleet.set_ready(self._project, ready=not out)
        self._out = out
        return f"{self._project} is {'not ready: its cluster leaves' if out else 'ready again: its cluster is back'}"
