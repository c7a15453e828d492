"""Jobs that run one after the other, and what becomes of one that fails.

A job that fails is tried again later, so that the event it is about is not lost (in controller-runtime a map function
has no way to say that it failed). Its lane goes on meanwhile; only what comes for the same object waits behind it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcontroller.errors import (
    ApiError,
    BudgetSpent,
    ClusterNotFound,
    ClusterUnavailable,
    KindNotServed,
    NotLeader,
    NotSynced,
    StaleRead,
    Stopped,
    TerminalError,
    Treatment,
    Wait,
)
from kcontroller.process.backoff import Backoff
from kcontroller.process.logs import Log, described, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kcontroller.controller.mapping import MapperPool
    from kcontroller.process.clock import Clock

RETRY: Final = Backoff(initial=0.1, cap=60.0, jitter=0.5)
TRIES: Final = 14
"""How often a job runs that fails each time, if nothing says that the failure will pass: for some five minutes."""
_SAID_AFTER: Final = 5
"""Tries until a wait for what should pass is worth a line."""
_SLOW_SECONDS: Final = 0.1

_PASSING: Final = (
    NotSynced,
    StaleRead,
    Wait,
    ClusterUnavailable,
    ClusterNotFound,  # Not engaged yet.
    KindNotServed,  # Its definition may come.
    NotLeader,  # A write of a process that stands by.
    BudgetSpent,
    Stopped,  # The cluster leaves, or the process stops: then nobody comes back to it.
    OSError,  # Also of what is not Kubernetes; TransportError is one.
)

_log: Final = Log("kcontroller.controller")


@dataclass(slots=True, eq=False)
class Job:
    """A call of a user's function.

    Attributes:
        run: the call.
        key: what it is about: jobs of one key keep their order also when one of them is tried again. None for a job
            that is never tried again.
        ended: called when it has succeeded or was given up.
        tries: how often it has failed.
    """

    run: Callable[[], None]
    key: Hashable = None
    ended: Callable[[], None] | None = None
    tries: int = 0


def passes(error: BaseException) -> bool:
    """Whether a failure is of the kind that goes away by itself: it is waited for without limit."""
    if isinstance(error, ApiError):
        return error.treatment is not Treatment.TERMINAL
    return isinstance(error, _PASSING)


class Lane:
    """Jobs of one controller in one cluster. All but `submit`, `run` and `depth` is called under the pool's lock.

    Args:
        pool: runs them.
        name: for logs.
    """

    def __init__(self, pool: MapperPool, name: str) -> None:
        self._pool = pool
        self._name = name
        self._jobs: deque[Job] = deque()
        self._failed: dict[Hashable, deque[Job]] = {}  # Each with what came for its key since.
        self._busy = False  # In the pool's line, or with one of its threads.
        self._slow_said = False
        self._failing_said = False

    def submit(
        self,
        run: Callable[[], None],
        *,
        key: Hashable = None,
        after: float = 0.0,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """Run a job after those that are here, or not before `after` seconds; see `Job`. Any thread."""
        self._pool.submit(self, Job(run, key, ended), after=after)

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._jobs) + sum(map(len, tuple(self._failed.values())))

    def append(self, job: Job) -> bool:
        """Keep a job; True if the lane must now get in line."""
        self._jobs.append(job)
        return self._line_up()

    def take(self) -> Job | None:
        """Give the next job; None if all wait behind one that is tried again."""
        while self._jobs:
            job = self._jobs.popleft()
            behind = self._failed.get(job.key)
            if behind is None:
                return job
            behind.append(job)
        self._busy = False
        return None

    def put_off(self, job: Job) -> None:
        """Keep a job that failed until `recall`."""
        self._failed[job.key] = deque([job])

    def recall(self, job: Job) -> bool:
        """Put a job first that failed, with what waits behind it; True if the lane must now get in line."""
        self._jobs.extendleft(reversed(self._failed.pop(job.key)))
        return self._line_up()

    def more(self) -> bool:
        """Whether the lane must get in line again, now that its job has run."""
        self._busy = False
        return self._line_up()

    def _line_up(self) -> bool:
        if self._busy or not self._jobs:
            return False
        self._busy = True
        return True

    def run(self, job: Job, clock: Clock) -> float | None:
        """Run one job.

        Returns:
            None if it succeeded. Else the seconds until it is to be tried again; below 0 to give it up.
        """
        began = clock.monotonic()
        delay = None
        with fields(lane=self._name):
            try:
                job.run()
            except BaseException as error:  # noqa: BLE001 - user code may raise anything; the other lanes must go on
                job.tries += 1
                delay = self._judge(job, error)
            else:
                self._failing_said = self._failing_said and not job.tries
            took = clock.monotonic() - began
            if took > _SLOW_SECONDS and not self._slow_said:
                self._slow_said = True
                _log.warning("a function of a source took %.0f ms; it delays this lane's events", took * 1000)
        return delay

    def _judge(self, job: Job, error: BaseException) -> float:
        if passes(error) and job.key is not None:
            delay = RETRY.delay(job.tries)
            if job.tries >= _SAID_AFTER and not self._failing_said:
                self._failing_said = True
                _log.warning("a function of a source waits for what does not come: %s", described(error))
            return delay
        again = job.tries < TRIES and job.key is not None and not isinstance(error, TerminalError)
        if job.tries == 1:
            _log.exception("a function of a source failed: %s", described(error))
        elif not again:
            _log.error("a function of a source failed for good, its event is dropped: %s", described(error))
        return RETRY.delay(job.tries) if again else -1.0
