"""Tries another configuration of a cluster beside the one in use."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.multicluster.errands import Errands
from kcontroller.process.logs import described

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.threads import ThreadGroup

_LIMIT: Final = 8  # At once; one that hangs ends after `cluster.exchange.REQUEST_SECONDS`, or with its cluster.


class Proofs:
    """The trials that are under way."""

    def __init__(self) -> None:
        self._errands = Errands("prove", limit=_LIMIT)

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads."""
        self._errands.start(threads)

    def stop(self) -> None:
        """Try nothing more."""
        self._errands.stop()

    def ask(self, cluster: Cluster, spec: ClusterSpec, on_answer: Callable[[str], None]) -> None:
        """Try a configuration, on a thread of its own.

        Args:
            cluster: goes on with its own meanwhile.
            spec: has the one to try.
            on_answer: called on that thread: with "" if it does, else with why it does not.
        """
        self._errands.send(spec.name, partial(_ask, cluster, spec, on_answer))


def _ask(cluster: Cluster, spec: ClusterSpec, on_answer: Callable[[str], None]) -> None:
    try:
        cluster.prove(spec.config)
        why = "" if spec.check is None else spec.check(spec, cluster.leaving)
    except Exception as error:  # noqa: BLE001 - credentials of users may raise anything
        why = described(error)
    on_answer(why)
