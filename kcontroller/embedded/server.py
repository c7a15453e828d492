"""The embedded API server as tests and commands start it: a thread, a port, certificates and users.

::

    with EmbeddedServer() as server:
        server.url, server.ca_pem, server.token
        server.write_kubeconfig(Path("kubeconfig"))
        server.request("GET", "/api/v1/namespaces")
"""

from __future__ import annotations

import asyncio
import http.client
import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from kcontroller.embedded import recorded
from kcontroller.embedded.boot import boot
from kcontroller.embedded.faults import Faults
from kcontroller.embedded.requests import RequestLog
from kcontroller.embedded.web.app import App
from kcontroller.embedded.web.certificates import Certificates
from kcontroller.embedded.web.frontends import HOST, FrontEnd
from kcontroller.embedded.web.identity import Identity
from kcontroller.embedded.web.kubeconfigs import kubeconfig, write_private
from kcontroller.embedded.web.loop_thread import LoopThread, not_running
from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from kcontroller.embedded.api import Api
    from kcontroller.embedded.milo import Milo

_CALL_SECONDS: Final = 10.0

T = TypeVar("T")


def _utc() -> datetime:
    return datetime.now(UTC)


class EmbeddedServer:
    """One API server in a thread of this process, on 127.0.0.1.

    Args:
        port: where it listens; 0 picks a free port.
        window: how many changes each resource keeps for watches; older versions are answered with 410.
        controllers: whether namespaces are emptied and dependents follow their owners, as kube-controller-manager does.
        milo: serve Milo's projects and their control planes; None for a plain cluster.
        token: of ``admin``; by default a random one.
        users: users with their groups, besides ``admin`` and ``nobody``; see `kcontroller.embedded.identity`.
        anonymous: whether requests without a token are those of ``system:anonymous``; by default they get 401.
        now: the server's clock, UTC.
        body_seconds: how long a client may take to send a body.
        write_seconds: how long a watch waits for a client that does not read.

    Attributes:
        faults: rules for what goes wrong.
        requests: the log of what was asked.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        window: int = 10_000,
        controllers: bool = True,
        milo: Milo | None = None,
        token: str = "",
        users: Mapping[str, Sequence[str]] | None = None,
        anonymous: bool = False,
        now: Callable[[], datetime] = _utc,
        body_seconds: float = 30.0,
        write_seconds: float = 30.0,
    ) -> None:
        """Make the users; nothing runs before `start`."""
        self.faults = Faults(self._faults_changed)
        self.requests = RequestLog()
        self._identity = Identity(users, token=token, anonymous=anonymous)
        self._port = port
        self._milo = milo
        self._boot = partial(boot, now=now, window=window, controllers=controllers, options=milo)
        self._limits = {"body_seconds": body_seconds, "write_seconds": write_seconds}
        self._thread = LoopThread()
        self._certificates: Certificates | None = None
        self._server_tls: ssl.SSLContext | None = None
        self._client_tls: ssl.SSLContext | None = None
        self._app: App | None = None
        self._fronts: list[FrontEnd] = []

    def start(self) -> Self:
        """Start and wait until requests are answered; does nothing if it runs.

        Raises:
            ControlPlaneError: the port is taken, or the server was stopped before.
        """
        if self._thread.is_running:
            return self
        if self._app is not None:
            msg = "the embedded API server was stopped; make a new one (restart() instead of stop() keeps the objects)"
            raise ControlPlaneError(msg)
        self._certificates = Certificates.make()
        self._server_tls = self._certificates.server_context()
        self._client_tls = self._certificates.client_context()
        try:
            self._thread.start(self._opened, self._closed)
        except BaseException:
            self._app = None  # Nothing has been served; it may be tried again.
            raise
        return self

    def stop(self) -> None:
        """End watches and connections, and the thread; a second call does nothing.

        Raises:
            ControlPlaneError: the thread did not end in five seconds.
        """
        self._thread.stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def restart(self) -> None:
        """Cut every connection and listen anew; port, certificates, tokens and objects stay."""
        self._thread.wait(self._restarted())

    def front_end(self) -> FrontEnd:
        """Open another address on the same objects, which can be frozen; closed with the server."""
        return self._thread.wait(self._opened_at(0))

    @property
    def url(self) -> str:
        """``https://127.0.0.1:<port>``."""
        return f"https://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def ca_pem(self) -> str:
        """The certificate authority, as PEM."""
        if self._certificates is None:
            raise not_running()
        return self._certificates.ca_pem

    @property
    def token(self) -> str:
        """The bearer token of ``admin``."""
        return self.user_token("admin")

    def user_token(self, user: str) -> str:
        """Give the bearer token of a user.

        Raises:
            ControlPlaneError: there is no such user.
        """
        try:
            return self._identity.token_of(user)
        except KeyError:
            known = ", ".join(self._identity.names())
            msg = f"no user {user!r}; there are {known}; name more in EmbeddedServer(users=...)"
            raise ControlPlaneError(msg) from None

    def rotate_token(self, user: str) -> str:
        """Give a user another bearer token, which is returned; the old one is refused from now on.

        Raises:
            ControlPlaneError: there is no such user.
        """
        self.user_token(user)
        return self._identity.rotate(user)

    @property
    def api(self) -> Api:
        """The verbs and the store; for functions that `call` runs."""
        if self._app is None:
            raise not_running()
        return self._app.api

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(front.connections for front in self._fronts)

    @property
    def failures(self) -> list[Exception]:
        """What went wrong in the server itself: each was answered with 500, or broke a control loop."""
        if self._app is None:
            return []
        return [*self._app.failures, *self._app.api.loops.failures, *self._thread.failures]

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the server's loop and return its result; its exception is raised here.

        Raises:
            ControlPlaneError: the server does not run.
            TimeoutError: no result within ten seconds.
        """
        return self._thread.call(function)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str = "admin",
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        """Ask the server by the standard library alone; returns the status and the decoded JSON (or the text).

        Raises:
            OSError: no answer within ten seconds.
        """
        connection = http.client.HTTPSConnection(HOST, self.port, timeout=_CALL_SECONDS, context=self._client_tls)
        headers = {
            "Authorization": f"Bearer {self.user_token(user)}",
            "Content-Type": content_type,
            "Accept": accept,
            "User-Agent": "embedded-request",
        }
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def kubeconfig(self, *planes: str, user: str = "admin") -> str:
        """Write a kubeconfig with the context ``embedded`` for the root and one for each project, the root current.

        Args:
            planes: names of projects.
            user: whose token it has.
        """
        token = self.user_token(user)
        return kubeconfig(self.url, self.ca_pem, user=user, token=token, planes=planes)

    def write_kubeconfig(self, path: Path, plane: str = "", *, user: str = "admin") -> Path:
        """Write a kubeconfig, readable by its owner only, whose current context is a control plane; returns `path`.

        Args:
            path: the file; what is in it is replaced.
            plane: a project; empty for the root.
            user: whose token it has.

        Raises:
            OSError: the file cannot be written.
        """
        planes = (plane,) if plane else ()
        token = self.user_token(user)
        text = kubeconfig(self.url, self.ca_pem, user=user, token=token, planes=planes, current=plane)
        write_private(path, text)
        return path

    async def _opened(self) -> None:
        known = recorded.load()
        api = self._boot(known, soon=asyncio.get_running_loop().call_soon)
        has_milo = self._milo is not None
        self._app = App(api, self._identity, self.faults, self.requests, known, milo=has_milo, **self._limits)
        self._port = (await self._opened_at(self._port)).port

    async def _opened_at(self, port: int) -> FrontEnd:
        assert self._app is not None  # noqa: S101 - made first on the loop
        assert self._server_tls is not None  # noqa: S101 - made before the loop
        front = FrontEnd(self._app, self._server_tls, port=port, thread=self._thread)
        await front.serve()
        self._fronts.append(front)
        return front

    async def _closed(self) -> None:
        for front in self._fronts:
            await front.end()

    async def _restarted(self) -> None:
        for front in self._fronts:
            await front.end()
            await front.serve()

    def _faults_changed(self) -> None:
        if self._app is not None and self._thread.is_running:
            self._thread.soon(self._app.look_at_faults)
