"""Control planes below the paths of Milo's API server, one for each Project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo.kinds import GROUP, Project
from kcontroller.multicluster.providers.milo.templates import Unfit
from kcontroller.multicluster.providers.names import is_subdomain
from kcontroller.process.logs import one_line

if TYPE_CHECKING:
    from kcontroller.multicluster.providers.milo.templates import Values
    from kcontroller.transport.config import Config

_IN_A_PROJECT: Final = re.compile(r"/projects/[^/]+/control-plane(/|$)")
_IN_AN_ORGANIZATION: Final = re.compile(r"/organizations/([^/]+)/control-plane(/|$)")
_SHOWN: Final = 128


@dataclass(frozen=True, slots=True)
class External:
    """Below the path that Milo's API server has for a project; discovered by its Project.

    Attributes:
        server: how that server is reached, if not as the hub; the path of a project is joined to the server's own.
    """

    kind: ClassVar[type[Project]] = Project
    condition: ClassVar[str] = "Ready"
    uid_label: ClassVar[str] = ""

    server: Config | None = None

    def endpoints(self, hub: Config) -> Paths:
        """See `Mode`."""
        for config in (hub, self.server or hub):
            # Milo takes the first project that it finds in a path: each of them would be that one.
            if _IN_A_PROJECT.search(_path_of(config)):
                msg = f"provider milo: {config.server} is one project; name a context of the API that has the Projects"
                raise ConfigError(msg)
        return Paths(self.server or hub)


@dataclass(frozen=True, slots=True)
class Paths:
    """Control planes below the path of a server."""

    server: Config

    def config_of(self, values: Values) -> Config:
        """See `Endpoints`."""
        if not is_subdomain(values.name):
            msg = f"its name cannot stand in a path: {one_line(values.name[:_SHOWN])!r}"
            raise Unfit(msg)
        return self.server.with_server(self.server.server + control_plane_path(values.name))


def control_plane_path(project: str) -> str:
    """Give the path of a Project's control plane, below that of the server."""
    return f"/apis/{GROUP}/v1alpha1/projects/{project}/control-plane"


def organization_of(config: Config) -> str:
    """The Organization whose control plane a server is, by its path; "" if it is none's."""
    found = _IN_AN_ORGANIZATION.search(_path_of(config))
    return found[1] if found else ""


def _path_of(config: Config) -> str:
    return unquote(config.base_path)  # As Milo's router sees it.
