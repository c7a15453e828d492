"""Whether this process leads, and what its controllers do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from kcontroller.controller.controllers import Controllers
    from kcontroller.events import Recorder
    from kcontroller.leaderelection import Elector, LeaderElection
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config

_log: Final = Log("kcontroller.manager")


class Leadership:
    """Starts what only a leader may do when this process is elected, and stops it when the lease is lost.

    Args:
        controllers: of this process.
        threads: where workers are started.
        turns: held for each change of the controllers; see `Controllers`.
        on_lost: called with a line, once, when the lease was lost; must not block.
    """

    def __init__(
        self,
        controllers: Controllers,
        threads: ThreadGroup,
        *,
        turns: threading.Lock,
        on_lost: Callable[[str], None],
    ) -> None:
        self._controllers = controllers
        self._threads = threads
        self._turns = turns
        self._on_lost = on_lost
        self._elector: Elector | None = None
        self._events: Recorder | None = None
        self._closed = False
        self.lost = False

    def elect(
        self, options: LeaderElection, config: Config, *, events: Recorder | None, clock: Clock, metrics: Metrics
    ) -> Callable[[], str | None]:
        """Lead only while a Lease is held; before `start`.

        Args:
            options: of the election.
            config: the server that holds the Lease.
            events: where people are told of it; None for nowhere.
            clock: the time.
            metrics: where to count.

        Returns:
            What says whether the election is healthy.
        """
        from kcontroller.leaderelection import Elector  # noqa: PLC0415 - who elects nobody pays for nothing

        elector = Elector(
            config, options, on_elected=self._elected, on_lost=self._lease_lost, clock=clock, metrics=metrics
        )
        self._elector, self._events = elector, events
        return elector.check

    @property
    def leads(self) -> bool:
        """Whether this process may write for controllers that need leader election."""
        return self._elector is None or self._elector.is_leader

    @property
    def holder(self) -> str:
        """Who holds the lease, as far as this process has seen; "" if nobody, or if no leader is elected."""
        return "" if self._elector is None else self._elector.holder

    @property
    def guard(self) -> Callable[[], None] | None:
        """What raises `NotLeader` before a write that needs the lease; None where no leader is elected."""
        return None if self._elector is None else self._elector.guard

    def start(self, *, missing: Callable[[], str | None]) -> None:
        """Stand for election, if there is one.

        Args:
            missing: says what this process needs before it can work, None if it can; must not block.
        """
        if self._elector is not None:
            self._elector.start(self._threads, missing=missing)

    def close(self) -> None:
        """Begin to lead no more; under `turns`."""
        self._closed = True

    def resign(self) -> None:
        """Tell people that this process stops leading; while events are still sent."""
        if self._elector is not None and self._elector.is_leader:
            self._tell("stopped leading")

    def stop(self, *, release: bool) -> None:
        """End the election; with `release` the lease is given back, if it is held."""
        if self._elector is not None:
            self._elector.stop(release=release)

    def _elected(self) -> None:
        with self._turns:
            if not self._closed and not self.lost:
                self._tell("became leader")
                self._controllers.lead(self._threads)

    def _lease_lost(self, why: str) -> None:
        self.lost = True
        _log.error("leader election lost: %s", why)
        self._tell("stopped leading")
        self._on_lost("leader election lost")
        self._controllers.follow(self._threads)

    def _tell(self, what: str) -> None:
        if self._elector is not None and self._events is not None:
            message = f"{self._elector.identity} {what}"
            self._events.event(self._elector.lease, "Normal", "LeaderElection", message)
