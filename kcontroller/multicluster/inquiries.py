"""Questions about clusters that take their time: whether one is what it should be, whether another way leads there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kcontroller.errors import Stopped
from kcontroller.multicluster.errands import Errands
from kcontroller.process.logs import described
from kcontroller.process.stop import OVERDUE, Deadline, StopToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup


class Inquiries:
    """The questions that are under way, the newest of each cluster name only.

    `ask`, `forget` and `stop` are for the fleet thread, or for when it has ended.

    Args:
        role: of the threads, ``kc-<role>-<n>``.
        limit: how many run at once.
        seconds: after which the token of one is stopped.
        clock: the time.
    """

    def __init__(self, role: str, *, limit: int, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._errands = Errands(role, limit=limit, clock=clock)
        self._stops: dict[str, StopToken] = {}

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads."""
        self._errands.start(threads)

    def ask(
        self,
        name: str,
        question: Callable[[StopToken], str],
        *,
        again: bool,
        on_begun: Callable[[], None],
        on_answer: Callable[[str], None],
    ) -> None:
        """Ask, on a thread of its own; its token is stopped when another one is asked, or the cluster is forgotten.

        Args:
            name: the cluster's.
            question: answers "" if all is well, else why not; so does what it raises.
            again: it was asked before, and waits for those that were not.
            on_begun: called on that thread when its time begins.
            on_answer: called with the answer, on that thread; or at once, if there is none.
        """
        self.forget(name)
        stop = self._stops[name] = StopToken(clock=self._clock)
        job = partial(self._ask, question, stop, on_begun, on_answer)
        self._errands.send(name, job, cluster=name, newest=True, again=again, refused=on_answer)

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

    def _ask(
        self,
        question: Callable[[StopToken], str],
        stop: StopToken,
        on_begun: Callable[[], None],
        on_answer: Callable[[str], None],
    ) -> None:
        if stop.stopped:  # While it waited: nobody listens to the answer.
            return
        on_begun()
        try:
            with stop.child(deadline=Deadline.after(self._seconds, clock=self._clock)) as own:
                why = question(own)
        except Stopped as error:
            why = "there was no answer in time" if str(error) == OVERDUE else str(error)
        except BaseException as error:  # noqa: BLE001 - a provider's may raise anything, also what exits
            why = described(error)
        on_answer(why)
