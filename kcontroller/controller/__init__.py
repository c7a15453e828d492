"""From an event to a call of a Reconciler.

::

    reconciler.py   what users write, and the Result
    context.py      what they are given
    finalizing.py   finalizers and what each calls
    children.py     what the request's object owns, as a set
    desired.py      what a child should be, and whether it is
    ledger.py       what the server made of what was applied
    builder.py      what `setup` declares: kinds (declarations.py), options (options.py); collected.py puts it together
    plan.py         what a controller goes by of it
    predicates.py   which changes count
    handlers.py     a change -> requests (the object itself, its owner, or what a map function says)
    selecting.py    in which clusters a source works: the hub, the fleet, some of the fleet
    sources.py      binds a declaration to the informers of one cluster; cluster_sources.py all, as labels change
    inlet.py        what all sources of a controller share, and which of them are to tell again
    retelling.py    tells of a source's objects again when requests were refused or lost
    joining.py      whom a cluster concerns that joins, leaves or gets other labels
    raw.py          sources that are no kinds: channels, and what feeds the queue from them
    timers.py       raw sources that ask from time to time
    mapping.py      runs user functions of sources off the cluster's thread
    lanes.py        in which order they run, and what becomes of one that fails
    availability.py what the state of a cluster means to the queue
    outcomes.py     what came back -> what the queue does, what is counted, what is logged
    worker.py       takes an item, calls the Reconciler, reports the outcome
    safety.py       the rails of a controller, and how they make themselves heard
    pauses.py       who is left alone because somebody said so
    canary.py       some clusters go first, and trial.py says when the others follow
    loops.py        finds requests that a controller keeps busy by itself
    host.py         what a controller asks of whoever runs it
    controller.py   one Reconciler with its queue, its sources in every cluster, its workers
    controllers.py  all of them: a name each, one drain for all
    leadership.py   which of them may work, where a leader is elected

The cluster's thread runs the declarative part (predicates on the header, for and owner handlers). User functions never
run on it, and never under a lock.
"""

from __future__ import annotations

from kcontroller.api.keys import Key, Request
from kcontroller.controller.builder import Builder
from kcontroller.controller.context import Context
from kcontroller.controller.controller import Controller
from kcontroller.controller.finalizing import FinalizerRegistry
from kcontroller.controller.host import Host
from kcontroller.controller.raw import Channel
from kcontroller.controller.reconciler import ObjectReconciler, Reconciler, Result
from kcontroller.controller.selecting import FLEET, HUB, ClusterInfo
from kcontroller.controller.timers import Cron, Every

__all__ = [
    "FLEET",
    "HUB",
    "Builder",
    "Channel",
    "ClusterInfo",
    "Context",
    "Controller",
    "Cron",
    "Every",
    "FinalizerRegistry",
    "Host",
    "Key",
    "ObjectReconciler",
    "Reconciler",
    "Request",
    "Result",
]
