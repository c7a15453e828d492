"""One API server under several host names, each of which is a path of it.

::

    names = {f"milo-apiserver.project-{name}.svc.cluster.local": control_plane_path(name) for name in ("p1", "p2")}
    with HostFront(api_server, names) as front:
        mode = Internal(credentials=..., tls=TLSConfig(ca=front.ca_pem.encode()), resolve=f"127.0.0.1:{front.port}")
        front.asked(host)                          # what was asked of that host
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.testing.http_proxy import HttpFaultProxy
from kcontroller.testing.http_target import Destination

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kcontroller.testing.milo_router import Serves


class HostFront(HttpFaultProxy):
    """An `HttpFaultProxy` that forwards by the host that was asked; an unknown host has nothing.

    Args:
        server: where everything goes.
        paths: the path that stands before those that are asked of a host.
        certified: the names of its certificate; by default all hosts.
        seed: see `HttpFaultProxy`.
    """

    def __init__(
        self, server: Serves, paths: Mapping[str, str], *, certified: Collection[str] | None = None, seed: int = 0
    ) -> None:
        self._paths = paths
        self._asked: list[tuple[str, str]] = []
        super().__init__(
            server.url, ca_pem=server.ca_pem, seed=seed, hosts=tuple(paths) if certified is None else certified
        )

    def asked(self, host: str) -> list[str]:
        """The paths that were asked of a host, in this order."""
        return [path for name, path in tuple(self._asked) if name == host]

    def _destination(self, raw_path: str, *, host: str) -> Destination | None:
        name = host.partition(":")[0]
        self._asked.append((name, raw_path))
        path = self._paths.get(name)
        return None if path is None else Destination(self._target, path + raw_path)
