"""Writes events to one cluster: which API, which namespace, and what is not tried again for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cachetools import LRUCache, TTLCache

from kcontroller.api import patches
from kcontroller.api.objects import Object
from kcontroller.errors import AlreadyExists, ApiError, ClusterSuspended, Forbidden, KindNotServed, NotFound
from kcontroller.events.bodies import CORE, EVENTS, created, instance_of, repeated
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import GVK
    from kcontroller.client.client import Client
    from kcontroller.events.bodies import Names
    from kcontroller.events.correlation import Record
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import Deadline, StopToken

LOOK_AGAIN_SECONDS: Final = 3600.0
"""How long a server without events.k8s.io/v1 is taken for one."""
QUIET_SECONDS: Final = 300.0
"""How long nothing is tried where a namespace or a right is missing, and how often the log tells of trouble."""

_HOMES: Final = ("default", "kube-system")
"""Where the server takes events about cluster-scoped objects."""
_NAMESPACES: Final = 1024
_TERMINATING: Final = "NamespaceTerminating"

_log: Final = Log("kcontroller.events")


class Target(Protocol):
    """Where events go: a cluster.

    Attributes:
        name: for the log.
        leaving: stops when the cluster goes.
    """

    name: str
    leaving: StopToken

    def client_for(
        self,
        field_owner: str,
        *,
        stop: StopToken | None = None,
        deadline: Deadline | None = None,
        guard: Callable[[], None] | None = None,
    ) -> Client:
        """Make a client for one write."""
        ...


class Sink:
    """Sends records to a cluster; for one thread at a time.

    Args:
        target: the cluster.
        names: makes the events' names.
        hostname: tells the replicas of a controller apart.
        clock: the time.
    """

    def __init__(self, target: Target, names: Names, *, hostname: str, clock: Clock) -> None:
        self._target = target
        self._names = names
        self._hostname = hostname
        self._clock = clock
        self._core_until = 0.0
        self._home, self._home_until = _HOMES[0], 0.0
        self._muted: TTLCache[tuple[str, str], str] = TTLCache(_NAMESPACES, ttl=QUIET_SECONDS, timer=clock.monotonic)
        self._quiet: TTLCache[str, bool] = TTLCache(16, ttl=QUIET_SECONDS, timer=clock.monotonic)
        self._missing: LRUCache[str, bool] = LRUCache(_NAMESPACES)

    @property
    def series(self) -> bool:
        """Whether the cluster is taken for one with events.k8s.io/v1."""
        return self._clock.monotonic() >= self._core_until

    def send(
        self, record: Record, *, stop: StopToken, deadline: Deadline, guard: Callable[[], None] | None = None
    ) -> str:
        """Create the record's event, or tell of its repeats.

        A record that the server has already, under the name that was chosen for it, is done: its create was sent
        before and the answer lost.

        Returns:
            ``sent``, ``dropped`` (there is no namespace for it, or its cluster is suspended) or ``failed`` (it was
            refused for good).

        Raises:
            ApiError, TransportError, Stopped: another try may help.
            NotLeader: `guard` refused.
        """
        where = ("patch" if record.told else "create", record.event.regarding.namespace)
        muted = self._muted.get(where)
        if muted is not None:
            return muted
        client = self._target.client_for(record.component, stop=stop, deadline=deadline, guard=guard)
        try:
            self._write_somewhere(client, record)
        except AlreadyExists:
            return "sent"
        except ClusterSuspended:
            return "dropped"
        except (NotFound, Forbidden) as error:
            self._muted[where] = result = self._explain(record, error)
            return result
        return "sent"

    def complain(self, error: Exception) -> None:
        """Say in the log, once in a while, that events are lost."""
        if "lost" not in self._quiet:
            self._quiet["lost"] = True
            _log.warning("events are lost: %s", error, cluster=self._target.name)

    def _write_somewhere(self, client: Client, record: Record) -> None:
        if self.series:
            try:
                self._write(client, record, EVENTS)
            except KindNotServed:
                _log.debug("no events.k8s.io/v1 here; core/v1 instead", cluster=self._target.name)
                self._core_until = self._clock.monotonic() + LOOK_AGAIN_SECONDS
            else:
                return
        self._write(client, record, CORE)

    def _write(self, client: Client, record: Record, gvk: GVK) -> None:
        if record.told:
            metadata = {"namespace": record.namespace, "name": record.name}
            head = Object({"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": metadata})
            try:
                client.patch(head, patches.merge(repeated(record, gvk)))
            except NotFound:
                pass  # It has expired, an hour after the last write by default. What happened since is worth a new one.
            else:
                return
        if not record.name:
            record.name = self._names.next(record.event.regarding.name, record.first)
        if record.event.regarding.namespace:
            record.namespace = record.event.regarding.namespace
            self._create(client, record, gvk)
        else:
            self._create_at_home(client, record, gvk)

    def _create_at_home(self, client: Client, record: Record, gvk: GVK) -> None:
        now = self._clock.monotonic()
        home = self._home if now < self._home_until else _HOMES[0]
        homes = tuple(dict.fromkeys((home, *_HOMES)))
        for record.namespace in homes:
            try:
                self._create(client, record, gvk)
            except (NotFound, Forbidden) as error:
                if record.namespace == homes[-1] or not _no_namespace(error):
                    raise
            else:
                break
        if record.namespace != home:
            self._home, self._home_until = record.namespace, now + QUIET_SECONDS

    def _create(self, client: Client, record: Record, gvk: GVK) -> None:
        client.create(Object(created(record, gvk, instance=instance_of(record.component, self._hostname))))

    def _explain(self, record: Record, error: ApiError) -> str:
        if _no_namespace(error):
            if record.namespace not in self._missing:
                self._missing[record.namespace] = True
                why = "is missing" if isinstance(error, NotFound) else "is being deleted"
                text = "events are dropped: namespace %s %s"
                _log.info(text, record.namespace, why, cluster=self._target.name)
            return "dropped"
        if "right" not in self._quiet:
            self._quiet["right"] = True
            group = EVENTS.group if self.series else CORE.group
            text = 'events cannot be written; grant create and patch on "events" of API group "%s": %s'
            _log.warning(text, group, error, cluster=self._target.name)
        return "failed"


def _no_namespace(error: ApiError) -> bool:
    return isinstance(error, NotFound) or _TERMINATING in error.causes
