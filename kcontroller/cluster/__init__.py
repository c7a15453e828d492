"""One API server as a reconciler sees it: reads from memory, writes over the wire, and a read that sees its own writes.

::

    cluster.py       the thread, the kinds that are cached, the clients
    informers.py     all informers of it, of kinds and of tracked objects
    kinds.py         what is kept of which kind, counted by its users
    kind_view.py     which informers answer whose reads of a kind
    cached_kind.py   what one or several of them want of a kind: its informers, one per namespace
    kind_discovery.py  asks how a kind is served until the server says so
    subscriptions.py   those who hear of a kind, and its resync
    tracked.py       objects that are watched by themselves, each for those who have read it
    reader.py        answers reads from the cache
    floors.py        what own writes have promised, and the wait for it
    writer.py        sends writes and notes their promises
    rails.py         what looks at each write of a reconcile, and may refuse it
    budgets.py       how much a controller may write and delete in a cluster
    uids.py          which object a delete is for, and was for
    contests.py      finds fields over which a controller fights with somebody else
    view.py          the cluster as one reconcile sees it: clients that keep to its terms
    interop.py       the official client, configured for this cluster
    source.py        the object on the hub that stands for it
    exchange.py      whether another configuration does, before it takes the place of the one in use
    breaker.py       keeps requests from a server that does not answer, and asks whether it is back
    circuit.py       when a breaker opens and closes: its rules alone
    suspension.py    keeps writes from a cluster that takes none
    credentials.py   the exec plugins that are in use, and left with the credentials that need them
    troubles.py      says once, in a line, what is wrong with the cluster and when it is over
    pending.py       what is not synced yet, and why

Every cluster has one thread. It connects, decodes, stores, and runs the handlers of the controllers; nothing else may
block it, and nobody waits on it for another cluster.
"""

from __future__ import annotations

from kcontroller.cluster.cached_kind import CachedKind
from kcontroller.cluster.cluster import Cluster
from kcontroller.cluster.kinds import CacheHandle
from kcontroller.cluster.pending import Pending
from kcontroller.cluster.source import Source
from kcontroller.cluster.subscriptions import KindSubscription
from kcontroller.cluster.view import ClustersView, ClusterView, Terms

__all__ = [
    "CacheHandle",
    "CachedKind",
    "Cluster",
    "ClusterView",
    "ClustersView",
    "KindSubscription",
    "Pending",
    "Source",
    "Terms",
]
