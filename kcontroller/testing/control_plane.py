"""Real control planes for tests: one etcd, and any number of kube-apiservers that share nothing else.

::

    with ControlPlane(count=2) as plane:
        plane.servers[0].url, plane.servers[0].ca_pem, plane.servers[0].token
        plane.kubeconfig            # contexts envtest-0 and envtest-1
        plane.kill(0)               # a crash; plane.start(0) brings it back on the same port with its data

Every server has its own etcd prefix, port, certificate authority and (without ``one_login=True``) tokens, so that a
credential or an object that turns up on the wrong one is seen. Authorization is RBAC. There are no controllers: no
garbage collection, no default service accounts, namespaces stay ``Terminating``.

Nothing of the framework but `errors` is used, so that a fault in it cannot hide here.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import secrets
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from kcontroller.errors import ControlPlaneError
from kcontroller.testing import binaries as _binaries
from kcontroller.testing.processes import Guardian, PortReservation, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from kcontroller.testing.binaries import Binaries

USERS: Final[dict[str, tuple[str, ...]]] = {"admin": ("system:masters",), "nobody": ()}
"""The users of every server and their groups: one that may do everything, one that may do nothing."""

_PROBE_SECONDS: Final = 2.0
_REQUEST_SECONDS: Final = 10.0
_OK: Final = 200
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


class ApiServer:
    """Address and credentials of one kube-apiserver; `ControlPlane` starts and ends it.

    Attributes:
        context: its context in the kubeconfig, ``envtest-<number>``.
        url: ``https://127.0.0.1:<port>``, the same for its whole life.
    """

    def __init__(
        self,
        context: str,
        port: int,
        directory: Path,
        *,
        users: Mapping[str, Sequence[str]],
        tokens: Mapping[str, str],
    ) -> None:
        """Write the tokens of the users; the certificates are made by the server at its first start."""
        self.context = context
        self.url = f"https://127.0.0.1:{port}"
        self._port = port
        self._certificate = directory / "apiserver.crt"
        self._tokens = tokens
        self._tls: ssl.SSLContext | None = None
        rows = [f'{token},{user},{user},"{",".join(users[user])}"\n' for user, token in self._tokens.items()]
        _write_private(directory / "tokens.csv", "".join(rows))

    @property
    def ca_pem(self) -> str:
        """The certificate authority that signed the serving certificate, as PEM."""
        # The file holds the serving certificate and, last, the authority that the server made for it.
        text = self._certificate.read_text(encoding="ascii")
        _serving, authority = _CERTIFICATE.findall(text)
        return str(authority)

    @property
    def token(self) -> str:
        """The bearer token of ``admin``."""
        return self.user_token("admin")

    def user_token(self, user: str) -> str:
        """Give the bearer token of a user.

        Raises:
            ControlPlaneError: there is no such user.
        """
        if user not in self._tokens:
            msg = f"no user {user!r}; there are {', '.join(sorted(self._tokens))}; name more in ControlPlane(users=...)"
            raise ControlPlaneError(msg)
        return self._tokens[user]

    def write_kubeconfig(self, path: Path, *, user: str = "admin") -> Path:
        """Write a kubeconfig with this server's context alone, readable by its owner only; returns `path`."""
        _write_private(path, _kubeconfig([self], user=user))
        return path

    def request(
        self, method: str, path: str, body: object = None, *, user: str = "admin", accept: str = "application/json"
    ) -> tuple[int, Any]:
        """Ask the server by the standard library alone; returns the status and the decoded JSON (or the text).

        Raises:
            OSError: no answer within ten seconds, or a certificate that cannot be verified.
        """
        data = None if body is None else json.dumps(body)
        status, text = self._exchange(method, path, data, user=user, accept=accept, seconds=_REQUEST_SECONDS)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def ready(self) -> bool:
        """Whether ``/readyz`` answers that the server is ready."""
        if not self._certificate.exists():
            return False
        try:
            return self._exchange("GET", "/readyz", None, user="admin", seconds=_PROBE_SECONDS)[0] == _OK
        except (OSError, http.client.HTTPException, ValueError):
            return False  # Not listening yet, or the certificate is half written.

    def _exchange(
        self, method: str, path: str, data: str | None, *, user: str, seconds: float, accept: str = "*/*"
    ) -> tuple[int, str]:
        if self._tls is None:
            self._tls = ssl.create_default_context(cadata=self.ca_pem)
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=seconds, context=self._tls)
        headers = {"Authorization": f"Bearer {self.user_token(user)}", "Content-Type": "application/json"}
        headers["Accept"] = accept
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


class ControlPlane:
    """A fresh etcd and `count` kube-apiservers, ended and removed with the ``with`` block or by `stop`.

    Should this process be killed, they end too. They listen on 127.0.0.1 only.

    Args:
        count: number of kube-apiservers.
        users: users besides `USERS`, with their groups.
        one_login: let every server take the same tokens, as Milo does for its projects.
        arguments: further arguments for every kube-apiserver; the last of two equal flags wins.
        binaries: the programs; by default those that `binaries.find` finds.

    Attributes:
        servers: the kube-apiservers.
        etcd: the store of all of them; may be killed, paused and started like any process.
        directory: holds data, logs and credentials; removed at the end.
        kubeconfig: a file with one context for each server, the first one current.
    """

    servers: tuple[ApiServer, ...]
    etcd: ServerProcess
    directory: Path
    kubeconfig: Path

    def __init__(
        self,
        count: int = 1,
        *,
        users: Mapping[str, Sequence[str]] | None = None,
        one_login: bool = False,
        arguments: Sequence[str] = (),
        binaries: Binaries | None = None,
    ) -> None:
        """Start everything and wait until all servers are ready, three seconds for one on two cores.

        Raises:
            ControlPlaneError: the programs are missing, or did not become ready; carries the last lines of the log.
        """
        found = binaries or _binaries.find()
        if found is None:
            msg = "the real kube-apiserver and etcd are not on this machine; run `bin/envtest build` first"
            raise ControlPlaneError(msg)
        with ExitStack() as cleanup:
            self._processes: list[ServerProcess] = []
            self.directory = Path(tempfile.mkdtemp(prefix="kcontroller-envtest-"))
            self._guardian = Guardian(self.directory)
            cleanup.callback(self._guardian.close)
            everybody = {**USERS, **(users or {})}
            first = _make_tokens(everybody)
            tokens = [first if one_login or not number else _make_tokens(everybody) for number in range(count)]
            self._start_all(found, everybody, tokens, tuple(arguments), cleanup)
            self.kubeconfig = self.directory / "kubeconfig"
            _write_private(self.kubeconfig, _kubeconfig(self.servers))
            self._cleanup = cleanup.pop_all()

    def _start_all(
        self,
        programs: Binaries,
        users: Mapping[str, Sequence[str]],
        tokens: Sequence[Mapping[str, str]],
        arguments: tuple[str, ...],
        cleanup: ExitStack,
    ) -> None:
        store = self._reserve(cleanup)
        self.etcd = ServerProcess(
            "etcd",
            _etcd_command(programs, store.port, self.directory),
            log=self.directory / "etcd.log",
            ready=lambda: _etcd_ready(store.port),
            guardian=self._guardian,
        )
        cleanup.callback(self.etcd.kill)
        self.etcd.launch()
        servers = []
        for number, tokens_here in enumerate(tokens):
            port = self._reserve(cleanup).port
            directory = self.directory / f"server-{number}"
            directory.mkdir()
            server = ApiServer(f"envtest-{number}", port, directory, users=users, tokens=tokens_here)
            process = ServerProcess(
                f"kube-apiserver {number}",
                [*_apiserver_command(programs, store.port, number, port, directory), *arguments],
                log=directory / "kube-apiserver.log",
                ready=server.ready,
                guardian=self._guardian,
            )
            cleanup.callback(process.kill)
            servers.append(server)
            self._processes.append(process)
        self.servers = tuple(servers)
        self.etcd.wait_ready()
        for process in self._processes:
            process.launch()
        for process in self._processes:
            process.wait_ready()

    @staticmethod
    def _reserve(cleanup: ExitStack) -> PortReservation:
        reservation = PortReservation()
        cleanup.callback(reservation.close)
        return reservation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all servers and remove their files; a second call does nothing."""
        self._cleanup.close()

    def process(self, number: int) -> ServerProcess:
        """Give the process of a server, for its pid, log and state."""
        return self._processes[number]

    def start(self, number: int) -> None:
        """Start a server that was ended, on the same port with the same data, and wait until it is ready."""
        self._processes[number].start()

    def restart(self, number: int) -> None:
        """End a server in its own way and start it again."""
        self.terminate(number)
        self.start(number)

    def kill(self, number: int) -> None:
        """End a server with SIGKILL, as a crash would."""
        self._processes[number].kill()

    def terminate(self, number: int) -> None:
        """End a server in its own way, with SIGTERM: it refuses new connections and lets requests finish."""
        self._processes[number].terminate()

    def pause(self, number: int) -> None:
        """Freeze a server: its connections stay open and nothing answers."""
        self._processes[number].pause()

    def resume(self, number: int) -> None:
        """Let a paused server go on."""
        self._processes[number].resume()


def _make_tokens(users: Iterable[str]) -> dict[str, str]:
    return {user: secrets.token_urlsafe(24) for user in users}


def _etcd_command(programs: Binaries, port: int, directory: Path) -> list[str]:
    url = f"http://127.0.0.1:{port}"
    return [
        str(programs.etcd),
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--socket-reuse-port",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver_command(programs: Binaries, store: int, number: int, port: int, directory: Path) -> list[str]:
    # At its first start the server makes certificates; their key signs the tokens of service accounts as well.
    key = directory / "apiserver.key"
    return [
        str(programs.kube_apiserver),
        f"--etcd-servers=http://127.0.0.1:{store}",
        f"--etcd-prefix=/envtest-{number}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--permit-port-sharing",
        f"--cert-dir={directory}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        # It waits for a controller to make each namespace's default account, and there is none.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--profiling=false",
    ]


def _etcd_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _kubeconfig(servers: Sequence[ApiServer], *, user: str = "admin") -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": server.context, "cluster": _cluster(server)} for server in servers],
        "users": [{"name": server.context, "user": {"token": server.user_token(user)}} for server in servers],
        "contexts": [
            {"name": server.context, "context": {"cluster": server.context, "user": server.context}}
            for server in servers
        ],
        "current-context": servers[0].context if servers else "",
    }
    return yaml.safe_dump(document, sort_keys=False)


def _cluster(server: ApiServer) -> dict[str, str]:
    authority = base64.b64encode(server.ca_pem.encode()).decode()
    return {"server": server.url, "certificate-authority-data": authority}


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
