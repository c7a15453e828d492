"""A worker's place in its pool, and what it works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.api.keys import Request
    from kcontroller.controller.pool import WorkerPool
    from kcontroller.process.stop import StopToken
    from kcontroller.workqueue import Item

_log: Final = Log("kcontroller.controller")


class Run(msgspec.Struct, eq=False):
    """One reconcile.

    Attributes:
        item: what it works on.
        began: in the clock's seconds.
        stop: its token.
        fields: what its log lines carry.
        late: its time is over, and that is counted.
        stuck: it did not return then.
        aside: another worker may take the place of its worker.
    """

    item: Item[Request]
    began: float
    stop: StopToken
    fields: Mapping[str, object]
    late: bool = False
    stuck: bool = False
    aside: bool = False


class Stuck(msgspec.Struct, frozen=True):
    """A reconcile that does not return.

    Attributes:
        request: what it works on, and what waits for it.
        seconds: for so long already.
        timeout: seconds that it had; 0 is no limit.
        place: the file and line of the user's where it is; "" if that is not known.
    """

    request: Request
    seconds: float
    timeout: float
    place: str

    def __str__(self) -> str:
        """Say which, and where it is."""
        return f"{self.request}{f' at {self.place}' if self.place else ''}"


class Seat:
    """A worker's place: what it does now.

    Attributes:
        number: of the worker.
        run: its reconcile.
        thread: the worker's identity, as ``threading.get_ident`` has it.
        surplus: its worker is one too many.
    """

    __slots__ = ("_pool", "number", "run", "surplus", "thread")

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool = pool
        self.number = number
        self.run: Run | None = None
        self.thread = 0
        self.surplus = False

    def begin(self, run: Run) -> None:
        """Take note that a reconcile begins."""
        self.run = run
        if self._pool.lends:
            self._pool.begun(run.began)

    def rest(self) -> bool:
        """Wait, as one too many, whether somebody is to be replaced after all; False: the worker should end."""
        return self._pool.rest(self)

    def end(self, run: Run) -> None:
        """Take note that the reconcile has returned."""
        with self._pool.lock:
            self.run = None
            if run.stuck or run.aside:
                self._pool.take_back_locked(self, run)
        if run.stuck:
            _log.info("the reconcile that was stuck has returned")
