"""Many clusters: who finds them, and how each joins and leaves.

::

    provider.py      who finds clusters, and what it tells
    registry.py      takes that in, and finds a cluster by its name
    fleet.py         the thread that does what engagements say
    engagement.py    how one cluster joins, changes and leaves: a step machine, which answers with `actions`
    slots.py         the names that there are, and when to look at each (`timetable`)
    incarnation.py   one connection of a cluster, and the members that work on it (`member`)
    departed.py      those that were closed, until their last thread has ended
    mailbox.py       the jobs of the fleet's thread
    inquiries.py     asks what takes its time: a provider's check, or whether another configuration does (`proofs`)
    errands.py       what may take its time, on a few threads
    listeners.py     who hears of clusters that come and go
    reports.py       says what happens: log, metrics, listeners, and `standings` for who asks
    first_list.py    for which clusters readiness waits
"""

from __future__ import annotations

from kcontroller.cluster import Source
from kcontroller.multicluster.actions import State
from kcontroller.multicluster.listeners import ClusterListener
from kcontroller.multicluster.member import Member
from kcontroller.multicluster.provider import ClusterSpec, Provider, Sink
from kcontroller.multicluster.registry import Registry
from kcontroller.multicluster.standings import ClusterState

__all__ = [
    "ClusterListener",
    "ClusterSpec",
    "ClusterState",
    "Member",
    "Provider",
    "Registry",
    "Sink",
    "Source",
    "State",
]
