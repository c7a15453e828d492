"""Milo's addressing in front of real API servers: one address, and a control plane per project below it.

::

    with ControlPlane(3, one_login=True) as plane, MiloRouter(plane.servers[0]) as router:
        router.assign("p1", plane.servers[1])
        router.assign("p2", plane.servers[2])
        manager = Manager(router.config(load_config(kubeconfig=str(plane.kubeconfig))), provider=MiloProvider())
        router.add(Hang(), project="p2")           # every fault of HttpFaultProxy, also while watches are open

What is asked below ``/apis/resourcemanager.miloapis.com/v1alpha1/projects/NAME/control-plane/``, or the short
``/projects/NAME/control-plane/``, goes to the server of that project with the prefix cut off, and everything else to
the root server. The Authorization header passes unchanged, so all servers must take the same tokens, as Milo's do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kcontroller.embedded.milo import place_of
from kcontroller.embedded.store import ROOT
from kcontroller.testing.http_proxy import HttpFaultProxy
from kcontroller.testing.http_target import Destination, Target

if TYPE_CHECKING:
    from collections.abc import Mapping


class Serves(Protocol):
    """A server that can be forwarded to: an `ApiServer` of a `ControlPlane`, or the embedded one."""

    @property
    def url(self) -> str:
        """Its address."""
        ...

    @property
    def ca_pem(self) -> str:
        """The certificates that may sign its own."""
        ...


class MiloRouter(HttpFaultProxy):
    """An `HttpFaultProxy` that forwards projects' requests to the projects' servers.

    A project needs no Project object to be served, and one that is deleted still answers, as in Milo; one that was
    never assigned to a server answers 404. Projects that share a server share their objects, which Milo's never do:
    give each project its own server where that matters.

    Args:
        root: serves what is of no project.
        projects: the server of each project.
        seed: see `HttpFaultProxy`.
    """

    def __init__(self, root: Serves, projects: Mapping[str, Serves] | None = None, *, seed: int = 0) -> None:
        self._projects: dict[str, Target] = {}
        super().__init__(root.url, ca_pem=root.ca_pem, seed=seed)
        for name, server in (projects or {}).items():
            self.assign(name, server)

    def assign(self, project: str, server: Serves) -> None:
        """Serve a project by this server from now on, at any time; answers that are under way go on."""
        self._projects[project] = Target.of(server.url, server.ca_pem)

    def _destination(self, raw_path: str) -> Destination | None:
        path, question, query = raw_path.partition("?")
        place = place_of(path)
        if place.plane == ROOT:
            return super()._destination(raw_path)
        target = self._projects.get(place.plane)
        return None if target is None else Destination(target, place.path + question + query)
