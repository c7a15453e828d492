"""What a process waits for before it can do its work."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kcontroller.controller.controllers import Controllers
    from kcontroller.multicluster import Registry

_NAMED: Final = 10  # A line of a thousand clusters helps nobody, and costs each probe.


def missing(clusters: Registry, controllers: Controllers) -> str | None:
    """Say what is not synced yet, and why; None if nothing is missing.

    What was synced once is not missed again: a watch that breaks makes a cache old, which metrics show and no restart
    would cure.
    """
    reasons = [str(each) for each in islice(clusters.missing(), _NAMED + 1)]
    if len(reasons) > _NAMED:
        reasons[_NAMED:] = ["and more"]
    if not reasons and not clusters.complete:
        reasons = ["the first list of clusters is under way"]
    if not reasons:
        # The caches are complete; what is missing are the map functions of the first objects.
        waiting = [each.name for each in controllers if any(map(clusters.awaits, each.waiting_for()))]
        reasons = [f"controller {name} has not queued its first objects" for name in waiting]
    return "; ".join(reasons) or None
