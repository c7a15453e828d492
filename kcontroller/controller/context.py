"""What a reconcile is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Request
    from kcontroller.api.objects import KubeObject
    from kcontroller.client.client import Client
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.cluster.view import ClusterGetter
    from kcontroller.controller.children import Children
    from kcontroller.controller.ledger import Ledger
    from kcontroller.events import Recorder
    from kcontroller.process.logs import Log
    from kcontroller.process.stop import Deadline, StopToken


class Context(msgspec.Struct, frozen=True):
    """One call of a Reconciler.

    Attributes:
        request: what it is about.
        cluster: the cluster of the request: ``name``, ``client``, ``api_reader`` (always asks the server). The clients
            of this and of all `clusters` end with the reconcile and write only while its lease is held.
        clusters: finds every cluster by name, the hub as "", and iterates over those of the fleet whose first objects
            this controller knows.
        log: a logger; every line carries controller, cluster, namespace, name and reconcileID, as do the lines of plain
            ``logging`` calls.
        reasons: why this was queued, at most eight.
        deadline: when the reconcile's time is over; None without a time-out. Requests end with it; loops of your own
            should look. Who does not return a second later is counted as stuck, and another worker takes its place.
        stop: stops at the deadline, when the process does, after the drain time, and when the cluster leaves; waits and
            loops of your own should take it. Calls of others that know no time-out can be ended by what you hang on it
            (`StopToken.on_stop`), such as ``socket.close``. It must not block: others wait to hear of the stop, and
            the process ends without waiting longer than a moment for it.
        events: records events in the cluster; see `event`.
        kind: of `for_`; None without it.
        owned: the kinds of `owns`.
        ledger: what the controller remembers of what it applied; for `children`.
    """

    request: Request
    cluster: Cluster
    clusters: ClusterGetter
    log: Log
    reasons: tuple[str, ...]
    deadline: Deadline | None
    stop: StopToken
    events: Recorder
    kind: KindRef | None = None
    owned: tuple[KindRef, ...] = ()
    ledger: Ledger | None = None

    @property
    def client(self) -> Client:
        """Reads from the cache of the request's cluster and writes to its server, in the controller's name."""
        return self.cluster.client

    @property
    def children(self) -> Children:
        """The objects that the request's object owns, as a set."""
        from kcontroller.controller.children import Children  # noqa: PLC0415 - it needs this module

        return Children(self)

    def event(self, obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> None:
        """Tell people what happened to an object; ``kubectl describe`` shows it. Never waits, and may be dropped.

        Args:
            obj: what it is about; of this cluster.
            type_: ``Normal`` or ``Warning``.
            reason: why, one CamelCase word of at most 128 characters, such as ``Scaled``.
            message: for people; cut at 1,024 bytes.
            action: what was done, a CamelCase word; `reason` unless given.

        Raises:
            ValueError: the type is another word, or there is no reason.
        """
        self.events.event(obj, type_, reason, message, action=action)

    def check(self) -> None:
        """Raise `Stopped` if the work should end; for long loops.

        Raises:
            Stopped: the process stops, or the reconcile's time is over.
        """
        self.stop.raise_if_stopped()
