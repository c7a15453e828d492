"""The HTTP servers of a manager: what is served where, all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.serving import health, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.serving.dispatch import Application
    from kcontroller.serving.http import HttpServer

NOWHERE: Final = "0"
"""The address of a page that is not served."""


class Servers:
    """Serves metrics and health.

    Args:
        metrics_address: of ``/metrics``, or `NOWHERE`.
        health_address: of ``/healthz`` and ``/readyz``, or `NOWHERE`.
        families: the metrics.
        before_scrape: called before each scrape.
        healthz: the checks of that path.
        readyz: the checks of that path.
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
    ) -> None:
        pages = {
            "metrics": (metrics_address, metrics.application(families, before_scrape=(before_scrape,))),
            "health": (health_address, health.application(healthz=healthz, readyz=readyz)),
        }
        options = {"metrics": "--metrics-bind-address", "health": "--health-probe-bind-address"}
        self._servers = {
            name: _server(address, app, name=name, option=options[name])
            for name, (address, app) in pages.items()
            if address != NOWHERE
        }

    def bind(self) -> None:
        """Take the addresses; nothing is answered before `start`.

        Raises:
            ConfigError: one cannot be had; none is taken then.
        """
        try:
            for server in self._servers.values():
                server.bind()
        except ConfigError:
            self.stop()
            raise

    def start(self, threads: ThreadGroup) -> None:
        """Answer from now on."""
        for server in self._servers.values():
            server.start(threads)

    def stop(self, *, timeout: float = 5.0) -> None:
        """Close the ports; running answers get so many seconds each."""
        for server in self._servers.values():
            server.stop(timeout=timeout)

    def port(self, name: str) -> int:
        """The port of ``metrics`` or ``health``, after `bind`."""
        return self._servers[name].port


def _server(address: str, app: Application, *, name: str, option: str) -> HttpServer:
    from kcontroller.serving.http import HttpServer  # noqa: PLC0415 - who serves nothing need not load a web server

    return HttpServer(address=address, app=app, name=name, option=option)
