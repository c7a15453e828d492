"""Takes events from any thread and sends them from its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.objects import KubeObject
    from kcontroller.client.client import Client
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup


class Target(Protocol):
    """Where events go: a cluster."""

    name: str
    api_reader: Client


class Recorder(Protocol):
    """Records events of one controller in one cluster."""

    def event(self, obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> None:
        """Take an event; never waits."""
        ...


class Broadcaster:
    """Sends events.

    Args:
        clock: the time.
        metrics: where to count.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics | None = None) -> None:
        self._clock = clock

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads; they begin with the first event."""

    def stop(self, timeout: float) -> None:
        """Take nothing more, send what waits for at most `timeout` seconds, and end."""

    def recorder(self, target: Target, component: str, *, guard: Callable[[], None] | None = None) -> Recorder:
        """Give the recorder of a controller in a cluster; cheap."""
        return _Nothing()

    def forget(self, target: Target) -> None:
        """Drop what waits for a cluster that has left."""


class _Nothing:
    def event(self, obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> None:
        """Drop it."""
