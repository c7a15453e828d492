"""Milo's addressing in front of real API servers: one address, and a control plane per project below it.

::

    with ControlPlane(3, one_login=True) as plane, MiloRouter(plane.servers[0]) as router:
        router.assign("p1", plane.servers[1])
        router.assign("p2", plane.servers[2])
        manager = Manager(router.config(load_config(kubeconfig=str(plane.kubeconfig))), provider=MiloProvider())
        router.add(Hang(), project="p2")           # every fault of HttpFaultProxy, also while watches are open

What is asked below ``/apis/resourcemanager.miloapis.com/v1alpha1/projects/NAME/control-plane/``, or the short
``/projects/NAME/control-plane/``, goes to the server of that project with the prefix cut off, and everything else to
the root server. What is asked below the path of an Organization goes to the root too, with a list of Projects confined
to the Organization, and a watch of them not, as in Milo. A SelfSubjectReview shows whose path it came by. The
Authorization header passes unchanged, so all servers must take the same tokens, as Milo's do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode

from kcontroller.embedded.milo import place_of
from kcontroller.embedded.store import ROOT
from kcontroller.testing.http_proxy import HttpFaultProxy
from kcontroller.testing.http_target import Destination, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from kcontroller.embedded.milo import Place
    from kcontroller.testing.http_recording import Exchange

_OWN_USER: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


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
        record: see `HttpFaultProxy`.
    """

    def __init__(
        self, root: Serves, projects: Mapping[str, Serves] | None = None, *, seed: int = 0, record: bool = False
    ) -> None:
        self._projects: dict[str, Target] = {}
        self._servers: dict[tuple[str, str], Target] = {}
        super().__init__(root.url, ca_pem=root.ca_pem, seed=seed, record=record)
        for name, server in (projects or {}).items():
            self.assign(name, server)

    def assign(self, project: str, server: Serves) -> None:
        """Serve a project by this server from now on, at any time; answers that are under way go on."""
        where = server.url, server.ca_pem
        if where not in self._servers:
            self._servers[where] = Target.of(*where)
        self._projects[project] = self._servers[where]

    def _destination(self, raw_path: str, *, host: str) -> Destination | None:  # noqa: ARG002 - the base's
        path, question, query = raw_path.partition("?")
        place = place_of(path)
        target = self._projects.get(place.plane) if place.plane != ROOT else self._target
        if target is None:
            return None
        if place.organization:
            confined = place.confined(dict(parse_qsl(query, keep_blank_values=True)))
            query = urlencode(confined)
            question = "?" if query else ""
        return Destination(target, place.path + question + query)

    async def _forward(self, request: web.BaseRequest, exchange: Exchange, **how: Any) -> web.StreamResponse:
        place = place_of(request.raw_path.partition("?")[0])
        where = self._destination(request.raw_path, host=request.host)
        if place.path != _OWN_USER or not place.extra or where is None:
            return await super()._forward(request, exchange, **how)
        return await self._forwarder.rewrite(request, where, lambda body: _placed(body, place))


def _placed(review: bytes, place: Place) -> bytes:
    """Add to a SelfSubjectReview what Milo adds to the user of a request below such a path."""
    document = json.loads(review)
    user = document["status"]["userInfo"]
    user["extra"] = {**user.get("extra", {}), **place.extra}
    return json.dumps(document).encode()
