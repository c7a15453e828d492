"""What people may tell a running process to leave alone, and to go on with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from kcontroller.controller.names import ANY
from kcontroller.controller.pauses import check_controller
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.controller.controller import Controller
    from kcontroller.controller.pauses import Pauses
    from kcontroller.process.clock import Clock

_log = Log("kcontroller.controller")


class Paused(msgspec.Struct, frozen=True):
    """One thing that is left alone.

    Attributes:
        controller: whose; "*" for every one.
        cluster: where; "*" everywhere, "" is a single cluster.
        by: ``command`` or ``budget``.
        since: from when on.
        text: all of it in a clause.
    """

    controller: str
    cluster: str
    by: str
    since: datetime
    text: str


class Commands:
    """Pauses and resumes the controllers of a process, and says so in its log; any thread.

    Args:
        controllers: all of them.
        pauses: what people have paused.
        clock: the time.
    """

    def __init__(self, controllers: Iterable[Controller], pauses: Pauses, *, clock: Clock) -> None:
        self._controllers = controllers
        self._pauses = pauses
        self._clock = clock

    def pause(self, controller: str = ANY, cluster: str = ANY, *, why: str = "") -> None:
        """Hand out nothing more of a controller in a cluster; of every controller, or everywhere, by "*".

        Raises:
            ConfigError: there is no such controller.
        """
        self._check(controller)
        _log.warning("paused by command: %s", self._pauses.pause(controller, cluster, why=why))

    def resume(self, controller: str = ANY, cluster: str = ANY) -> tuple[str, ...]:
        """Take back all pauses within a target, and let what has spent a budget go on with a new one.

        Returns:
            What ended, in words.

        Raises:
            ConfigError: there is no such controller.
        """
        self._check(controller)
        ended = [str(pause) for pause in self._pauses.resume(controller, cluster)]
        for each in self._controllers:
            if controller in (ANY, each.name):
                ended += map(str, each.safety.budgets.resume(cluster))
        if ended:
            _log.warning("resumed by command: %s", "; ".join(ended))
        return tuple(ended)

    def all(self) -> tuple[Paused, ...]:
        """What is left alone now."""
        by_command = [
            Paused(each.controller, each.cluster, "command", each.since, str(each)) for each in self._pauses.all()
        ]
        now, monotonic = self._clock.now(), self._clock.monotonic()
        by_budget = [
            Paused(each.controller, each.cluster, "budget", now - timedelta(seconds=monotonic - each.since), str(each))
            for controller in self._controllers
            for each in controller.safety.budgets.spent()
        ]
        return (*by_command, *by_budget)

    def _check(self, controller: str) -> None:
        check_controller(controller, [each.name for each in self._controllers])
