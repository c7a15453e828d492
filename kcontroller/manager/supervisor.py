"""The threads of a process, and its end: the first one that fails stops them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log, described
from kcontroller.process.stop import StopToken
from kcontroller.process.threads import ThreadGroup

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

_log: Final = Log("kcontroller.manager")


class Supervisor:
    """Stops the process when a part of it has failed: one whose dispatcher died in silence is worse than none.

    Attributes:
        stop: stopped when the process has to stop, for whichever reason.
        threads: of the process.
        failure: the first thing that failed, in a line; "" if nothing has.

    Args:
        clock: the time.
        metrics: where to count.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self.stop = StopToken(clock=clock)
        self.threads = ThreadGroup(on_failure=self._thread_failed, clock=clock)
        self.failure = ""
        self._metrics = metrics

    def fail(self, why: str) -> None:
        """Stop the process, which ends with an error."""
        self.failure = self.failure or why
        self.stop.stop(why)

    def _thread_failed(self, name: str, error: BaseException) -> None:
        self._metrics.threads_failed.inc()
        _log.exception_of(error, "thread %s failed, the process stops: %s", name, described(error))
        self.fail(f"thread {name} failed: {type(error).__name__}")
