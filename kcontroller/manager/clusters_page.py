"""Each cluster of a process as people see it: what ``kcontroller clusters`` asks the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from kcontroller.controller.controller import SYNC
from kcontroller.errors import ClusterNotFound
from kcontroller.multicluster import State
from kcontroller.process.logs import redact

if TYPE_CHECKING:
    from datetime import datetime

    from kcontroller.cluster import Cluster
    from kcontroller.manager.parts import Parts
    from kcontroller.multicluster import ClusterState


class Informers(msgspec.Struct, frozen=True):
    """What is kept in memory of a cluster.

    Attributes:
        synced: how many kinds have all their objects.
        kinds: how many there are.
        pending: those that are not synced, and why.
    """

    synced: int = 0
    kinds: int = 0
    pending: dict[str, str] = msgspec.field(default_factory=dict)


class ClusterRow(msgspec.Struct, frozen=True):
    """One cluster.

    Attributes:
        name: the provider's; "" is the process's own.
        hub: whether it is that where the provider looks for the others.
        uid: of what stands for it; "" if nothing does.
        state: see `multicluster.State`.
        since: when it came there; None of the process's own.
        why: what brought it there, where that needs words.
        error: what is wrong: the last failure of an engagement that is not over, or the first of the troubles; "" if
            nothing is.
        troubles: what its informers, its breaker and others meet now, by their names.
        attempts: how many tries have failed in a row.
        informers: what is kept in memory of it.
        queue: how many requests are ready, in all controllers.
        held_by: what keeps these in the queue, such as ``command``, ``budget``, ``breaker`` or ``canary``.
        breaker: ``closed``, ``open`` or ``half-open``.
        server: its URL.
        labels: what its provider says of it.
        generation: of its connection.
    """

    name: str
    hub: bool = False
    uid: str = ""
    state: str = ""
    since: datetime | None = None
    why: str = ""
    error: str = ""
    troubles: dict[str, str] = msgspec.field(default_factory=dict)
    attempts: int = 0
    informers: Informers = Informers()
    queue: int = 0
    held_by: tuple[str, ...] = ()
    breaker: str = ""
    server: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    generation: int = 0


class ClustersPage(msgspec.Struct, frozen=True):
    """All clusters at one moment.

    Attributes:
        now: the daemon's wall time.
        listed: whether the provider has told of all that there were at the start.
        clusters: the process's own first, then those of the provider by name.
    """

    now: datetime
    listed: bool
    clusters: tuple[ClusterRow, ...]


def page(parts: Parts) -> ClustersPage:
    """Look at every cluster."""
    own = () if parts.hub is None else (_own(parts, parts.hub),)
    found = (_found(parts, state) for state in parts.clusters.states())
    return ClustersPage(parts.clock.now(), parts.clusters.complete, (*own, *found))


def _own(parts: Parts, hub: Cluster) -> ClusterRow:
    state = State.SYNCING if hub.pending() else State.ENGAGED
    return replace(_now(parts, hub.name, hub), hub=parts.provider is not None, state=state.value)


def _found(parts: Parts, standing: ClusterState) -> ClusterRow:
    try:
        cluster = parts.clusters.get(standing.name)
    except ClusterNotFound:
        cluster = None
    row = _now(parts, standing.name, cluster)
    return replace(
        row,
        uid=standing.uid,
        state=standing.state.value,
        since=standing.since,
        why=redact(standing.why),
        error=redact(standing.last_error) or row.error,
        attempts=standing.attempts,
        labels=dict(standing.labels),
        generation=standing.generation,
    )


def _now(parts: Parts, name: str, cluster: Cluster | None) -> ClusterRow:
    """What the cluster itself and the queues say; it is not there until it is connected, and while it leaves."""
    held_by = {holder for each in parts.controllers for holder in each.queue.holders(name)} - {SYNC}
    row = ClusterRow(name, queue=parts.controllers.depth(name), held_by=tuple(sorted(held_by)))
    if cluster is None:
        return row
    troubles = {what: redact(text) for what, text in cluster.troubles().items()}
    return replace(
        row,
        error=next((f"{what}: {text}" for what, text in troubles.items()), ""),
        troubles=troubles,
        informers=_informers(cluster),
        breaker=cluster.breaker.state,
        server=cluster.config.server,
    )


def _informers(cluster: Cluster) -> Informers:
    pending = {each.kind: redact(each.reason) for each in cluster.pending()}
    kinds = max(cluster.kept_kinds, len(pending))
    return Informers(kinds - len(pending), kinds, pending)
