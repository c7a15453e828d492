"""The controllers of a process: a name each, workers when they may work, one stop for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kcontroller.controller.controller import Controller
    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

_log: Final = Log("kcontroller.controller")


class Controllers:
    """Iterates over the controllers in the order in which they were added. Its owner sees to it that calls take turns.

    Args:
        leading: whether controllers that need leader election may work from the start.
        clock: the time.
    """

    def __init__(self, *, leading: bool, clock: Clock) -> None:
        self._leading = leading
        self._clock = clock
        self._controllers: list[Controller] = []

    def __iter__(self) -> Iterator[Controller]:
        """Iterate over those that are there now."""
        return iter(tuple(self._controllers))

    def add(self, controller: Controller) -> None:
        """Take a controller.

        Raises:
            ConfigError: another one has its name.
        """
        if any(known.name == controller.name for known in self._controllers):
            msg = f"two controllers are named {controller.name!r}; give one of the Reconcilers another `name`"
            raise ConfigError(msg)
        self._controllers.append(controller)

    def start(self, controller: Controller, threads: ThreadGroup) -> None:
        """Start a controller's workers, unless it has to wait for `lead`."""
        if self._leading or not controller.needs_leader_election:
            controller.start(threads)

    def lead(self, threads: ThreadGroup) -> None:
        """Start the workers that wait for it: this process leads."""
        if not self._leading:
            self._leading = True
            for controller in self._leader_only():
                controller.start(threads)

    def follow(self, threads: ThreadGroup) -> None:
        """Stop, at once, what only a leader may do, and start no more of it."""
        self._leading = False  # Before the look at who is there: one that is added meanwhile sees either.
        for controller in self._leader_only():
            controller.stop_queue()
        threads.apart("interrupt", "leader", lambda: _interrupt(self._leader_only()))

    def drain(self, seconds: float) -> bool:
        """Hand out nothing more and wait for the running reconciles; False if some still run after so many seconds."""
        for controller in self:
            controller.stop_queue()
        deadline = Deadline.after(seconds, clock=self._clock)
        running = [each.name for each in self if not each.drained(deadline.remaining())]
        if running:
            _log.warning("reconciles still run after %g s: %s", seconds, ", ".join(running))
        return not running

    def interrupt(self, threads: ThreadGroup, timeout: float) -> None:
        """Stop the tokens of the running reconciles; waits `timeout` seconds at most for what hangs on them."""
        thread = threads.apart("interrupt", "", lambda: _interrupt(tuple(self)))
        if thread is not None:
            thread.join(timeout)

    def observe(self) -> None:
        """Bring the gauges of the queues up to date."""
        for controller in self:
            controller.queue.observe()

    def depth(self, cluster: str) -> int:
        """Count the ready items of a cluster in all queues."""
        return sum(controller.queue.depth(cluster) for controller in self)

    def _leader_only(self) -> tuple[Controller, ...]:
        return tuple(each for each in self._controllers if each.needs_leader_election)


def _interrupt(controllers: Iterable[Controller]) -> None:
    for controller in controllers:
        controller.interrupt()
