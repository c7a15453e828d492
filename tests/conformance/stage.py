"""A server, embedded or real, behind a proxy that shows what is asked of it, and a namespace of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from kcontroller import Manager, ManagerOptions
from kcontroller.cluster.cluster import Cluster
from kcontroller.testing import HttpFaultProxy
from tests.faults.watched import Namespace, config_for
from tests.integration.conftest import OPTIONS

if TYPE_CHECKING:
    from types import TracebackType

    from kcontroller import Reconciler
    from kcontroller.testing.http_recording import Exchange
    from tests.faults.watched import Server


class Stage:
    """What a conformance test plays on.

    Attributes:
        server: for requests past the proxy.
        namespace: a server may be shared by many tests.
        proxy: between the server and all that is tested.
        client: reads and writes at the server, as a reconciler's does where nothing is cached.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.namespace = Namespace(server).name
        self.proxy = HttpFaultProxy(server.url, ca_pem=server.ca_pem, record=True)
        self.config = self.proxy.config(config_for(server))
        self._cluster = Cluster(self.config)
        self.client = self._cluster.api_reader
        self._managers: list[Manager] = []

    def manager(self, *reconcilers: Reconciler, ready: bool = True, **options: Any) -> Manager:
        """Start a manager on the namespace; it is stopped with the stage."""
        manager = Manager(
            self.config, options=ManagerOptions(**{**OPTIONS, "namespaces": (self.namespace,), **options})
        )
        manager.add(*reconcilers)
        self._managers.append(manager)
        manager.start()
        if ready:
            assert manager.wait_ready(15), manager.pending()
        return manager

    def mark(self) -> int:
        """Where the record stands."""
        return len(self.proxy.exchanges)

    def asked(self, *methods: str, since: int = 0) -> list[Exchange]:
        """What was asked since a mark, but for watches."""
        return [
            each
            for each in self.proxy.exchanges[since:]
            if not each.is_watch and (not methods or each.method in methods)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.clear()
        for manager in self._managers:
            manager.stop(grace=2)
        self._cluster.stop()
        self.proxy.stop()
