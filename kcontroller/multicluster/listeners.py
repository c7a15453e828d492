"""Those who want to know when clusters come and go."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from kcontroller.errors import NotLeader, Stopped
from kcontroller.multicluster.errands import SLOW_SECONDS, Errands
from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.standings import ClusterState
    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

ENGAGED: Final = "on_engaged"
DRAINING: Final = "on_draining"
GONE: Final = "on_gone"
FAILED: Final = "on_failed"

THREADS: Final = 4
"""Of each listener: in so many clusters it may hang before others wait for it, and then only its own."""

_log: Final = Log("kcontroller.multicluster")


class ClusterListener(Protocol):
    """Hears of the clusters that a provider finds; one that leaves methods out is not told of these.

    Of each engagement `on_engaged`, `on_draining` and `on_gone` are called once each, in this order. They are called
    together or not at all: a cluster that leaves before it was engaged is told of to nobody, and one that was engaged
    already when a listener came is told to it then. An engagement that fails leaves and comes back, under the same uid.
    Another configuration of the same cluster does not end it. When the process stops nothing is told.

    They run on a few threads of each listener's own, in order for each cluster, and nothing waits for them: the cluster
    may be closed while `on_draining` runs. What one raises is logged, and it is not called again. That one has not
    returned for a minute is said once.

    A replica that stands by is told, too; what it writes is refused with `NotLeader`. A Reconciler's hooks write as its
    map functions do: within its budgets, in its name.
    """

    def on_engaged(self, cluster: Cluster) -> None:
        """Every controller has its first objects; its reconciles have begun, unless the process stands by."""
        ...

    def on_draining(self, cluster: Cluster, why: str) -> None:
        """It leaves: no reconcile begins any more, and those that run have ten seconds."""
        ...

    def on_gone(self, name: str, uid: str) -> None:
        """It has left: its reconciles have ended, or their time was over, and its connections are closed."""
        ...

    def on_failed(self, state: ClusterState) -> None:
        """It could not be engaged, or what was to take the place of its configuration does not work.

        `ClusterState.last_error` says why, and `state` whether it works with another one; it is tried again. In state
        `REFUSED` its provider cannot use what is there, which may be no cluster, and waits until that changes. At any
        time, and as often as it happens; of those that wait for an earlier call to return only the newest is told.
        """
        ...


class Hearer:
    """One who listens, and the threads that call it.

    Args:
        listener: has some or all methods of a `ClusterListener`.
        number: of the listener, for the threads.
        view: makes what it is given of a cluster.
        at_once: call it on the thread that tells; it never blocks.
        clock: the time.
    """

    def __init__(
        self, listener: object, number: int, view: Callable[[Cluster], Cluster], *, at_once: bool, clock: Clock
    ) -> None:
        self.listener = listener
        self.view = view
        self._at_once = at_once
        self.errands = Errands(f"hook-{number}", limit=THREADS, clock=clock)

    def tell(self, hook: str, name: str, *args: Any) -> None:
        """Call a method soon, if it has that one."""
        method = getattr(self.listener, hook, None)
        if method is not None:
            who = f"{type(self.listener).__name__}.{hook}"
            if self._at_once:
                _call(who, method, name, args)
                return
            job = partial(_call, who, method, name, args)
            self.errands.send(name, job, what=who, cluster=name, newest=hook == FAILED)


class Listeners:
    """Those who listen. For the fleet's thread, but for `start` and `stop`.

    Args:
        clock: the time.

    Attributes:
        next_at: when `look` has to be called next.
    """

    def __init__(self, *, clock: Clock) -> None:
        self.next_at = math.inf
        self._clock = clock
        self._hearers: list[Hearer] = []
        self._threads: ThreadGroup | None = None
        self._stopped = False

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads; before any listener is added."""
        self._threads = threads

    def stop(self) -> None:
        """Call nobody any more; what runs goes on to its end."""
        self._stopped = True  # Before the look at who is there.
        for hearer in tuple(self._hearers):
            hearer.errands.stop()

    def __iter__(self) -> Iterator[Hearer]:
        """Iterate over those that there are."""
        return iter(self._hearers)

    def add(self, listener: object, view: Callable[[Cluster], Cluster], *, at_once: bool = False) -> tuple[Hearer, ...]:
        """Tell one more; returns it, and nobody if it is known."""
        if any(hearer.listener is listener for hearer in self._hearers):
            return ()
        hearer = Hearer(listener, len(self._hearers), view, at_once=at_once, clock=self._clock)
        self._hearers.append(hearer)
        if self._threads is not None:
            hearer.errands.start(self._threads)
        if self._stopped:
            hearer.errands.stop()
        return (hearer,)

    def tell(self, hearer: Hearer, hook: str, name: str, *args: Any) -> None:
        """Call a hook of one of them.

        Args:
            hearer: the one.
            hook: the method.
            name: the cluster's.
            args: of the method.
        """
        if self._stopped:
            return
        hearer.tell(hook, name, *args)
        self.next_at = min(self.next_at, self._clock.monotonic() + SLOW_SECONDS)

    def look(self, now: float) -> None:
        """Say who hangs."""
        if now >= self.next_at:
            self.next_at = min((hearer.errands.look(now) for hearer in self._hearers), default=math.inf)


def listens(listener: object) -> bool:
    """Whether it has any of the methods of a `ClusterListener`."""
    return any(callable(getattr(listener, hook, None)) for hook in (ENGAGED, DRAINING, GONE, FAILED))


def _call(who: str, method: Any, name: str, args: tuple[Any, ...]) -> None:
    try:
        method(*args)
    except (NotLeader, Stopped) as error:
        _log.info("%s: %s", who, described(error), cluster=name)
    except BaseException as error:  # noqa: BLE001 - a user's, also one that exits
        _log.exception_of(error, "%s failed: %s", who, described(error), cluster=name)
