"""Asks providers whether a cluster is the one that it should be, before it is connected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.errors import Stopped
from kcontroller.multicluster.errands import Errands
from kcontroller.process.logs import described
from kcontroller.process.stop import StopToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.multicluster.provider import Check, ClusterSpec
    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

_LIMIT: Final = 16  # At once; a check that hangs holds one of them until its own time is over.


class Checks:
    """The checks that are under way, one for each cluster name at most.

    `ask`, `forget` and `stop` are for the fleet thread, or for when it has ended.

    Args:
        clock: the time.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._errands = Errands("check", limit=_LIMIT)
        self._stops: dict[str, StopToken] = {}

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads."""
        self._errands.start(threads)

    def ask(self, check: Check, spec: ClusterSpec, on_answer: Callable[[str], None]) -> None:
        """Let a check look at a cluster, on a thread of its own; it is told to stop when the cluster is forgotten.

        Args:
            check: the provider's.
            spec: the cluster.
            on_answer: called on that thread: with "" if it is the one, else with why it is not.
        """
        self.forget(spec.name)
        stop = self._stops[spec.name] = StopToken(clock=self._clock)
        self._errands.send(spec.name, partial(_ask, check, spec, stop, on_answer))

    def forget(self, name: str) -> None:
        """Ask no more for a cluster; what was asked may still be answered."""
        stop = self._stops.pop(name, None)
        if stop is not None:
            stop.stop("it is not asked for any more")

    def stop(self) -> None:
        """Ask no more at all."""
        self._errands.stop()
        for name in tuple(self._stops):
            self.forget(name)


def _ask(check: Check, spec: ClusterSpec, stop: StopToken, on_answer: Callable[[str], None]) -> None:
    try:
        why = "it is not asked for any more" if stop.stopped else check(spec, stop)
    except Stopped as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - a provider's may raise anything
        why = described(error)
    on_answer(why)
