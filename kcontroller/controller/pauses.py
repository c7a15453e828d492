"""Who is left alone because somebody said so: a controller or a cluster by command, an object by its annotation.

A pause hands nothing out: events go on to be heard, requests are kept, delays run on, and all of it is worked on when
the pause ends. What a worker had been handed before goes on to its end; when `Pauses.pause` has returned, nothing more
is handed out. A pause by command means names, not what has them now: it holds for a cluster that leaves and comes back,
and for a controller that is added later. It is the memory of one process; ``ManagerOptions.paused`` lasts longer.
"""

from __future__ import annotations

import shlex
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.keys import Request
from kcontroller.api.marks import pauses
from kcontroller.controller.names import ANY, LOCAL, called_own, target_named
from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from kcontroller.cache.store import Change
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.workqueue import WorkQueue

COMMAND: Final = "command"
"""Holds a cluster's requests back in the queue; see `WorkQueue.pause`."""

RESUMED: Final = "resumed"
"""Why an object is queued whose annotation went."""


class Pause(msgspec.Struct, frozen=True):
    """A pause by command.

    Attributes:
        controller: whose; "*" for every one.
        cluster: where; "*" everywhere, "" is a single cluster.
        since: when it was said.
        why: what was said about it.
        own: what people call the cluster named "".
    """

    controller: str
    cluster: str
    since: datetime
    why: str = ""
    own: str = LOCAL

    def holds(self, controller: str, cluster: str) -> bool:
        """Whether it pauses this controller in this cluster."""
        return self.controller in (ANY, controller) and self.cluster in (ANY, cluster)

    def __str__(self) -> str:
        """Say it in a clause: ``widget is paused in cluster eu (bad release)``."""
        who = "every controller" if self.controller == ANY else self.controller
        where = "" if self.cluster == ANY else f" in cluster {self.cluster or self.own}"
        return f"{who} is paused{where}{f' ({self.why})' if self.why else ''}"

    @property
    def remedy(self) -> str:
        """The command that takes it back."""
        who = () if self.controller == ANY else (self.controller,)
        where = () if self.cluster == ANY else ("--cluster", self.cluster or self.own)
        return shlex.join(("kcontroller", "resume", *who, *where, *(() if who or where else ("--all",))))


class Pauses:
    """The pauses of a process by command. Any thread.

    Args:
        clock: the time.
        metrics: where to count.
        paused: what is paused from the start, as `target_of` reads it.
        fleet: whether a provider finds the clusters.

    Raises:
        ConfigError: `paused` names a cluster that can never be here.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics, paused: Iterable[str] = (), fleet: bool = False) -> None:
        self._clock = clock
        self._gauge = metrics.paused_clusters
        self._lock = threading.Lock()
        self._pauses: dict[tuple[str, str], Pause] = {}
        self._queues: dict[tuple[str, str], WorkQueue[Request]] = {}
        self._held: dict[str, set[str]] = {}
        self._own = called_own(fleet=fleet)
        for text in paused:
            controller, word = target_of(text)
            try:
                cluster = target_named(word, fleet=fleet)
            except ConfigError as error:
                msg = f"paused {text!r}: {error}"
                raise ConfigError(msg) from error
            self.pause(controller, cluster, why="from the start")

    def pause(self, controller: str = ANY, cluster: str = ANY, *, why: str = "") -> Pause:
        """Hand out no more requests of a controller in a cluster; of every controller, or everywhere, by "*".

        Returns:
            The pause; one of the same target that was there before gives way to it.
        """
        pause = Pause(controller, cluster, self._clock.now(), why, self._own)
        with self._lock:
            self._pauses[controller, cluster] = pause
            self._apply(pause)
        return pause

    def resume(self, controller: str = ANY, cluster: str = ANY) -> tuple[Pause, ...]:
        """Take back every pause that is within this target: ``resume("widget")`` that in any cluster.

        A pause that says more stays: ``resume("widget", "eu")`` does not end one of all controllers; see `holding`.

        Returns:
            The pauses that ended.
        """
        within = Pause(controller, cluster, self._clock.now())
        with self._lock:
            ended = tuple(each for where, each in self._pauses.items() if within.holds(*where))
            for each in ended:
                del self._pauses[each.controller, each.cluster]
            self._apply(within)
        return ended

    def all(self) -> tuple[Pause, ...]:
        """The pauses, oldest first."""
        with self._lock:
            return tuple(sorted(self._pauses.values(), key=lambda each: each.since))

    def holding(self, controller: str, cluster: str) -> tuple[Pause, ...]:
        """The pauses that hold a controller in a cluster."""
        return tuple(each for each in self.all() if each.holds(controller, cluster))

    def refuse_unknown(self, controllers: Collection[str]) -> None:
        """Refuse pauses of controllers that there are not: a name that was mistyped would pause nothing.

        Raises:
            ConfigError: there is one.
        """
        for each in self.all():
            check_controller(each.controller, controllers)

    def engage(self, controller: str, cluster: str, queue: WorkQueue[Request]) -> None:
        """Take note that a controller works on a cluster, while its queue hands out nothing of it yet."""
        with self._lock:
            self._queues[controller, cluster] = queue
            self._settle(controller, cluster, held=self._is_paused(controller, cluster))

    def leave(self, controller: str, cluster: str) -> None:
        """Take note that it does so no longer."""
        with self._lock:
            if (controller, cluster) in self._queues:
                self._settle(controller, cluster, held=False)
                del self._queues[controller, cluster]

    def _apply(self, target: Pause) -> None:
        """Bring the queues of a target to what holds now; under the lock, so that the last word is the last."""
        for name, where in self._queues:
            if target.holds(name, where):
                self._settle(name, where, held=self._is_paused(name, where))

    def _is_paused(self, controller: str, cluster: str) -> bool:
        return any(each.holds(controller, cluster) for each in self._pauses.values())

    def _settle(self, controller: str, cluster: str, *, held: bool) -> None:
        clusters = self._held.setdefault(controller, set())
        if held is (cluster in clusters):
            return
        queue = self._queues[controller, cluster]
        if held:
            queue.pause(cluster, holder=COMMAND)
            clusters.add(cluster)
        else:
            queue.resume(cluster, holder=COMMAND)
            clusters.discard(cluster)
        self._gauge.labels(controller).set(len(clusters))


class PausedObjects:
    """The objects of one controller's `for_` that their annotation pauses.

    It takes note on the cluster's thread and is asked by workers, without a lock: a set's operations are whole.

    Args:
        controller: its name.
        queue: gets a request when its object's pause has ended.
        on_change: told of a request, and whether its object is paused now; not what the first list holds.
        count: told how many there are.
    """

    def __init__(
        self,
        controller: str,
        queue: WorkQueue[Request],
        *,
        on_change: Callable[[Request, bool], None],
        count: Callable[[float], None],
    ) -> None:
        self._controller = controller
        self._queue = queue
        self._on_change = on_change
        self._count = count
        self._requests: set[Request] = set()

    def hear(self, cluster: str, change: Change) -> None:
        """Take note of a change, before it is queued."""
        new = change.new
        if not self._requests and (new is None or not new.paused):
            return  # Nearly always.
        key = change.entry.key
        request = Request(cluster, key.namespace, key.name)
        if new is not None and new.paused and pauses(new.paused, self._controller):
            if request not in self._requests:
                self._requests.add(request)
                self._tell(request, change, paused=True)
        elif request in self._requests:
            self._requests.discard(request)
            if new is not None:
                # Past the predicates: to them an annotation that went may be no news.
                self._queue.add(request, reason=RESUMED)
            self._tell(request, change, paused=False)

    def __contains__(self, request: Request) -> bool:
        """Whether the object is paused."""
        return request in self._requests

    def __len__(self) -> int:
        """Count them."""
        return len(self._requests)

    def forget(self, cluster: str) -> None:
        """Forget the objects of a cluster that leaves."""
        for request in [each for each in self._requests.copy() if each.cluster == cluster]:
            self._requests.discard(request)
        self._count(len(self._requests))

    def _tell(self, request: Request, change: Change, *, paused: bool) -> None:
        self._count(len(self._requests))
        if not change.initial and change.new is not None:
            self._on_change(request, paused)


def target_of(text: str) -> tuple[str, str]:
    """Read ``CONTROLLER``, ``CONTROLLER@CLUSTER`` or ``*@CLUSTER``.

    Raises:
        ConfigError: it is none.
    """
    controller, at, cluster = text.partition("@")
    if not controller or (at and not cluster) or any(map(str.isspace, text)):
        msg = f"{text!r:.60} cannot be paused; write it like 'widget', 'widget@my-cluster' or '*@my-cluster'"
        raise ConfigError(msg)
    return controller, cluster or ANY


def check_controller(name: str, controllers: Collection[str]) -> None:
    """Refuse the name of a controller that there is not.

    Raises:
        ConfigError: there is none of that name; the text says which there are.
    """
    if name != ANY and name not in controllers:
        msg = f"there is no controller {name!r} to pause; there are: {', '.join(sorted(controllers)) or 'none'}"
        raise ConfigError(msg)
