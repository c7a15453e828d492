"""The HTTP servers of a manager: what is served where, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import Deadline
from kcontroller.serving import health, metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication

    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.serving.access import Access
    from kcontroller.serving.http import HttpServer
    from kcontroller.transport.config import Config

NOWHERE: Final = "0"
"""The address of a page that is not served."""

_CERTIFICATES: Final = "--metrics-cert-dir"
_SECURE: Final = "--metrics-secure"


class Serving(Protocol):
    """What is bound, started and stopped with the others; see `HttpServer`."""

    def bind(self) -> None:
        """Take the address."""
        ...

    def start(self, threads: ThreadGroup) -> None:
        """Answer from now on."""
        ...

    def stop(self, *, timeout: float = 5.0) -> object:
        """Answer nothing more."""
        ...


class Servers:
    """Serves metrics and health.

    Args:
        metrics_address: of ``/metrics``, or `NOWHERE`.
        health_address: of ``/healthz`` and ``/readyz``, or `NOWHERE`.
        families: the metrics.
        before_scrape: called before each scrape.
        healthz: the checks of that path.
        readyz: the checks of that path.
        clock: the time.
    """

    def __init__(
        self,
        *,
        metrics_address: str,
        health_address: str,
        families: Metrics,
        before_scrape: Callable[[], None],
        healthz: health.Checks,
        readyz: health.Checks,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._families = families
        self._clock = clock
        self._access: Access | None = None
        self._servers: dict[str, HttpServer] = {}
        self._more: list[Serving] = []
        self._metrics_address = metrics_address
        self._metrics = metrics.application(families, before_scrape=(before_scrape,))
        self._add("metrics", metrics_address, self._metrics, option="--metrics-bind-address")
        checks = health.application(healthz=healthz, readyz=readyz)
        self._add("health", health_address, checks, option="--health-probe-bind-address")

    def secure_metrics(self, config: Config, *, certificates: str | None = None) -> None:
        """Serve metrics by HTTPS, and to whom the API server lets; before `bind`.

        Args:
            config: the API server that knows who reads them.
            certificates: a folder with ``tls.crt`` and ``tls.key``; without it a certificate is made here.
        """
        if "metrics" not in self._servers:
            return
        # Who does not want it need not load ssl, nor reviews.
        from kcontroller.serving.access import WORKERS, Access, Guarded  # noqa: PLC0415
        from kcontroller.serving.tls import CertificateFolder, SelfSigned  # noqa: PLC0415

        self._access = Access(config, metrics=self._families, clock=self._clock)
        source: CertificateFolder | SelfSigned = SelfSigned(option=_SECURE, clock=self._clock)
        if certificates:
            folder = Path(certificates)
            source = CertificateFolder(folder, option=_CERTIFICATES, metrics=self._families, clock=self._clock)
        guarded = Guarded(self._metrics, self._access, pages=(metrics.PATH,))
        more = {"tls": source.context, "workers": WORKERS}
        self._add("metrics", self._metrics_address, guarded, option="--metrics-bind-address", **more)

    def also(self, server: Serving) -> None:
        """Serve something more; before `bind`."""
        self._more.append(server)

    def _add(self, name: str, address: str, app: WSGIApplication, *, option: str, **more: Any) -> None:
        if address == NOWHERE:
            return
        from kcontroller.serving.http import HttpServer  # noqa: PLC0415 - who serves nothing need not load a web server

        self._servers[name] = HttpServer(address=address, app=app, name=name, option=option, **more)

    def bind(self) -> None:
        """Take the addresses; nothing is answered before `start`.

        Raises:
            ConfigError: one cannot be had; none is taken then.
        """
        try:
            for server in (*self._servers.values(), *self._more):
                server.bind()
        except ConfigError:
            self.stop()
            raise

    def start(self, threads: ThreadGroup) -> None:
        """Answer from now on."""
        for server in (*self._servers.values(), *self._more):
            server.start(threads)

    def stop(self, *, timeout: float = 5.0) -> None:
        """Close the ports; running answers get so many seconds together."""
        deadline = Deadline.after(timeout, clock=self._clock)
        if self._access is not None:
            self._access.close()  # A review that hangs must not hold up the stop.
        for server in (*self._servers.values(), *self._more):
            server.stop(timeout=deadline.remaining())

    def port(self, name: str) -> int:
        """The port of ``metrics`` or ``health``, after `bind`."""
        return self._servers[name].port
