"""Those who want to know when clusters come and go."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.errands import Errands
    from kcontroller.multicluster.standings import ClusterState

ENGAGED: Final = "on_engaged"
DRAINING: Final = "on_draining"
GONE: Final = "on_gone"
FAILED: Final = "on_failed"

_log: Final = Log("kcontroller.multicluster")


class ClusterListener(Protocol):
    """Hears of the clusters that a provider finds; one that leaves methods out is not told of these.

    Of each engagement `on_engaged`, `on_draining` and `on_gone` are called once each, in this order. They are called
    together or not at all: a cluster that leaves before it was engaged is told of to nobody, and one that was engaged
    already when a listener came is told to it then. An engagement that fails leaves and comes back, under the same uid.
    Another configuration of the same cluster does not end it. When the process stops nothing is told.

    They run on threads of their own, for each listener in order for each cluster, and nothing waits for them: the
    cluster may be closed while `on_draining` runs. What one raises is logged, and it is not called again.
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

        `ClusterState.last_error` says why, and `state` whether it works with another one; it is tried again. At any
        time, and as often as it happens.
        """
        ...


class Listeners:
    """Tells those who listen. For the fleet's thread.

    Args:
        errands: run the listeners' methods.
    """

    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._listeners: list[object] = []

    def add(self, listener: object) -> None:
        """Tell one more."""
        self._listeners.append(listener)

    def tell(self, hook: str, name: str, *args: Any, only: object = None) -> None:
        """Call a hook of all of them, or of one.

        Args:
            hook: the method.
            name: the cluster's.
            args: of the method.
            only: the one to call.
        """
        for listener in self._listeners if only is None else (only,):
            method = getattr(listener, hook, None)
            if method is not None:
                self._errands.send((id(listener), name), partial(_call, listener, method, name, args))


def listens(listener: object) -> bool:
    """Whether it has any of the methods of a `ClusterListener`."""
    return any(callable(getattr(listener, hook, None)) for hook in (ENGAGED, DRAINING, GONE, FAILED))


def _call(listener: object, method: Any, name: str, args: tuple[Any, ...]) -> None:
    try:
        method(*args)
    except Exception as error:  # noqa: BLE001 - a user's
        who = f"{type(listener).__name__}.{method.__name__}"
        _log.exception_of(error, "%s failed: %s", who, described(error), cluster=name)
