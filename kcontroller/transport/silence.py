"""Finding dead connections of a loop.

libcurl sends no HTTP/2 ping, and TCP cannot tell when a middlebox acknowledges for a dead peer. When every stream of
the loop has been silent for a while, a probe (``GET /version``) travels on the same connection. If it gets no answer,
or three in a row cannot be sent, the sockets are shut down and all streams end. A cluster with more than 100 streams
has a second connection, and silence counts over both; over HTTP/1.1 the probe takes a connection of its own and proves
only that the server lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log
from kcontroller.transport.faults import is_unsent
from kcontroller.transport.refresh import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.errors import TransportError
    from kcontroller.process.clock import Clock
    from kcontroller.transport.transfer import Probe, Transfer

_UNSENT_PROBES: Final = 3

_log: Final = Log("kcontroller.transport")


class Silence:
    """Watches over the connections of one loop.

    Args:
        running: the loop's transfers.
        seconds: without a byte, after which the connection is probed.
        clock: the loop's time.
        cluster: its name, for log lines.
        send: sends a probe; raises what the credentials raise.

    Attributes:
        heard: when the last bytes came.
        probe: the one that is under way.
    """

    def __init__(
        self,
        running: Mapping[int, Transfer],
        *,
        seconds: float,
        clock: Clock,
        cluster: str,
        send: Callable[[], Probe],
    ) -> None:
        """Take it that something was heard now."""
        self.heard = clock.monotonic()
        self.probe: Probe | None = None
        self._running = running
        self._seconds = seconds
        self._clock = clock
        self._cluster = cluster
        self._send = send
        self._unsent = 0

    def hear(self) -> float:
        """Note that the server sent something; gives the time."""
        self.heard = self._clock.monotonic()
        return self.heard

    def lasts(self, seconds: float) -> bool:
        """Whether nothing was heard for so long."""
        return self._clock.monotonic() - self.heard >= seconds

    @property
    def probe_at(self) -> float:
        """When a probe is due if nothing is heard until then; infinity if none will be."""
        return self.heard + self._seconds if self._running and self.probe is None else float("inf")

    def doubt(self) -> None:
        """Have the connection probed now."""
        self.heard = min(self.heard, self._clock.monotonic() - self._seconds)

    def check(self) -> None:
        """Send a probe if it is time."""
        if self._clock.monotonic() < self.probe_at:
            return
        try:
            self.probe = self._send()
        except NotReady:
            self.heard = self._clock.monotonic() - 0.9 * self._seconds  # Soon again.
        except Exception as error:  # noqa: BLE001 - credentials that fail say nothing about the connection
            self.hear()
            _log.warning("cannot probe a silent connection: %s", error, cluster=self._cluster)

    def judge(self, probe: Probe, error: TransportError | None) -> None:
        """Take the outcome of the probe; ends every transfer if the connection is dead."""
        self.probe = None
        heard_meanwhile = self.heard > probe.started
        self.hear()  # Also after a failure: the next probe is due after another silence.
        if error is None or heard_meanwhile:
            self._unsent = 0
            return
        if is_unsent(error):
            # It went to a new connection, because the old one takes no more streams. A server that shuts down refuses
            # new ones for a minute while its watches go on, so once means nothing yet.
            self._unsent += 1
            if self._unsent < _UNSENT_PROBES:
                return
        self._unsent = 0
        _log.warning("the connection is dead, its streams end: %s", error, cluster=self._cluster)
        for transfer in self._running.values():
            transfer.dead = True
            transfer.shut_down()
