"""The thread that gets and keeps the Lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.leaderelection.options import LeaderElection
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config


class Elector:
    """Gets and keeps a Lease.

    Args:
        config: the server that holds the Lease; its connections are the elector's own.
        options: see there.
        on_elected: called once, on the elector's thread, when this process leads; must not block.
        on_lost: called once, with a line that says why, when the lease was lost; not after `stop`.
        clock: the time.
        metrics: where to count.
    """

    def __init__(
        self,
        config: Config,
        options: LeaderElection,
        *,
        on_elected: Callable[[], None],
        on_lost: Callable[[str], None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        raise NotImplementedError

    def start(self, threads: ThreadGroup) -> None:
        """Begin, on the thread ``kc-elector``."""

    def stop(self, *, release: bool) -> None:
        """End; with `release` and if this process holds it, give the lease back, within the renew deadline."""

    @property
    def is_leader(self) -> bool:
        """Whether the lease is held, as far as the clock tells."""
        raise NotImplementedError

    def guard(self) -> None:
        """Do nothing while the lease is surely held.

        Raises:
            NotLeader: it may have passed to another replica.
        """

    def check(self) -> str | None:
        """Say what is wrong for ``/healthz``: the lease is held but was not renewed in time."""
        return None
