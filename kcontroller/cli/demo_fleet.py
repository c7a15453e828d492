"""The fleet of ``kcontroller demo``: an embedded API server, and projects with a control plane each.

Everything is asked for as any user of the API would ask: projects are created, the Widget's CRD is created and becomes
established. What finds the projects is the same provider that ``kcontroller run --provider milo`` uses.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import yaml

from kcontroller.api import conditions
from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports, WriteOptions
from kcontroller.embedded.milo import GROUP, Milo, control_plane_path
from kcontroller.embedded.server import EmbeddedServer
from kcontroller.errors import ControlPlaneError, Stopped
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, bearer
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_API_VERSION: Final = f"{GROUP}/v1alpha1"
_PROJECT: Final = f"{_API_VERSION} Project"
_CRD: Final = "apiextensions.k8s.io/v1 CustomResourceDefinition"
_MILO: Final = Milo(readiness="manual", cold_storage=False)  # Cold storage costs each first list a second.
_PATIENCE_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.02


class Fleet:
    """A server that runs while its ``with`` block does; `projects` makes its control planes.

    Args:
        wait: waits so many seconds, or less and says True if the demo should end.
    """

    root: Config

    def __init__(self, wait: Callable[[float], bool]) -> None:
        self._wait = wait
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the server."""
        server = self._stack.enter_context(EmbeddedServer(milo=_MILO))
        token = bearer(server.token, what="the token of the embedded API server")
        tls = TLSConfig(ca=server.ca_pem.encode())
        self.root = Config(server.url, StaticCredentials(token), tls, source="the embedded API server")
        self._root_user = self.user(self.root)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stack.close()

    def user(self, config: Config) -> Client:
        """Make a client that asks the server each time, as kubectl does."""
        requester = Requester(config)
        self._stack.callback(requester.close)
        port = DirectPort(requester, RestMapper(requester))
        return Client(Ports(reader=port, live=port, writer=port), WriteOptions(field_owner="demo"))

    def projects(self, count: int) -> dict[str, Client]:
        """Make the projects, which are ready at once, and return a user of each control plane."""
        names = [f"project-{number}" for number in range(1, count + 1)]
        owner = {"kind": "Organization", "name": _MILO.organization}
        for name in names:
            project = {
                "apiVersion": _API_VERSION,
                "kind": "Project",
                "metadata": {"name": name},
                "spec": {"ownerRef": owner},
            }
            self._root_user.create(Object(project))
            self.set_ready(name, ready=True)
        return {name: self.user(self.root.with_server(self.root.server + control_plane_path(name))) for name in names}

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Say that a project is ready or not, as Milo's own controller does elsewhere."""
        project = self._root_user.get(_PROJECT, Key("", name))
        conditions.set(project, "Ready", ready, reason="Ready" if ready else "Suspended")
        self._root_user.status.patch(project)

    def install(self, file: Path) -> None:
        """Create a CRD and wait until it is established; it is one for all control planes."""
        crd = Object(yaml.safe_load(file.read_text(encoding="utf-8")))
        self._root_user.create(crd)
        name = crd.metadata.name
        self._until(f"CustomResourceDefinition {name} is established", partial(self._is, _CRD, name, "Established"))

    def _is(self, kind: str, name: str, condition: str) -> bool:
        return conditions.is_true(self._root_user.get(kind, Key("", name)), condition)

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            if self._wait(_LOOK_SECONDS):
                msg = f"ended before {what}"
                raise Stopped(msg)
            if time.monotonic() > deadline:
                msg = f"waited {_PATIENCE_SECONDS:g} s in vain until {what}"
                raise ControlPlaneError(msg)
