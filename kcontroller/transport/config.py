"""What a connection to an API server needs, and where it comes from.

`load_config` looks in controller-runtime's order: the file that was named, ``$KUBECONFIG``, the pod's service account,
``~/.kube/config``. A `Config` is a value: two that are equal lead to the same server with the same rights (files count
by path). No ``repr`` and no error of this room shows a token, password, key or proxy password.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.transport.urls import base_path_of, host_of, normalise_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kcontroller.process.clock import Clock
    from kcontroller.transport.files import WatchedFile

SERVICE_ACCOUNT_DIR: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_log: Final = Log("kcontroller.transport.config")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its private key, both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


class Credentials(Protocol):
    """Who we are to an API server.

    Safe to call from any thread. A call may block while a file is read or a plugin runs, which has a time limit; what
    then fails raises `ConnectFailed`: nothing was sent.
    """

    def authorization(self) -> str | None:
        """Give the whole value of the Authorization header (``Bearer x``, ``Basic y``): printable ASCII, or None."""
        ...

    def client_certificate(self) -> ClientCertificate | None:
        """Give the certificate of the next connection, or None. The same object as long as nothing changed."""
        ...

    def invalidate(self) -> None:
        """Say that the server answered 401: the next call reads or runs again, once for all threads.

        A plugin does not run more often than every five seconds, whoever asks.
        """
        ...


@dataclass(frozen=True, slots=True)
class TLSConfig:
    """How the server proves who it is.

    Attributes:
        ca: the PEM certificates that may sign the server's; None means `ca_file`, or the system's bundle.
        server_name: the name expected in the certificate; "" means the host of the URL.
        verify: False trusts anyone (``insecure-skip-tls-verify``).
        ca_file: instead of `ca`, a file that may be replaced while we run.
    """

    ca: bytes | None = field(default=None, repr=False)
    server_name: str = ""
    verify: bool = True
    ca_file: WatchedFile | None = None

    def ca_pem(self) -> bytes | None:
        """Give the PEM certificates as they are now, the same object as long as nothing changed; None: system bundle.

        Reads the file again at most every five seconds. Safe to call from any thread.
        """
        return self.ca if self.ca_file is None else self.ca_file.read()


@dataclass(frozen=True, slots=True)
class Config:
    """One API server and how to reach it.

    Attributes:
        server: ``https://host:port/base`` in the normal form of `urls.normalise_server`: without trailing slash and
            default port.
        credentials: who we are.
        tls: how the server proves who it is.
        proxy: the URL of a proxy, decided when this was loaded; "" means none, whatever the environment says.
        namespace: the context's, or the pod's.
        source: where it came from, for messages: ``context "kind" of /home/me/.kube/config``.
        extra_headers: whole header lines for every request (``Impersonate-User: jane``).
    """

    server: str
    credentials: Credentials = field(repr=False)
    tls: TLSConfig = TLSConfig()
    proxy: str = field(default="", repr=False)
    namespace: str = "default"
    source: str = ""
    extra_headers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring the server into normal form; raises ConfigError if it is not an HTTP URL."""
        object.__setattr__(self, "server", normalise_server(self.server, where=self.source or "configuration"))

    @property
    def host(self) -> str:
        """``host:port``, the port always there: the label of metrics."""
        return host_of(self.server)

    @property
    def base_path(self) -> str:
        """The path before ``/api`` and ``/apis``, without trailing slash; "" for most servers."""
        return base_path_of(self.server)

    def with_server(self, server: str) -> Config:
        """Make the configuration of another server (or base path) that takes the same credentials.

        Proxy and TLS stay as they are. Raises ConfigError if credentials for https would travel over http.
        """
        other = replace(self, server=server)
        if self.server.startswith("https:") and not other.server.startswith("https:"):
            msg = f"{self.source or 'configuration'}: server {other.server} would get credentials in clear; use https"
            raise ConfigError(msg)
        return other


def load_config(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
    exec_allow: Sequence[str] | None = None,
    exec_timeout: float = 60.0,
    service_account_dir: Path = SERVICE_ACCOUNT_DIR,
    clock: Clock = SYSTEM_CLOCK,
) -> Config:
    """Find the configuration in controller-runtime's order; what is named explicitly must exist.

    Args:
        kubeconfig: a file, before anything else.
        context: which context of that file; also passes over the service account, which has none.
        environ: the environment, by default the process's.
        exec_allow: commands (absolute paths or names on PATH) that a kubeconfig may run; () none; None every one on a
            workstation, none in a pod.
        exec_timeout: seconds such a command may take.
        service_account_dir: where the pod's token is mounted.
        clock: the time by which credentials are renewed.

    Raises:
        ConfigError: one line that names the file, the entry and the remedy.
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("HOME") or Path.home()) / ".kube" / "config"
    in_pod = bool(environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT"))

    def from_files(*paths: Path) -> Config:
        from kcontroller.transport import exec_plugin  # noqa: PLC0415 - a pod needs no YAML
        from kcontroller.transport import kubeconfig as reader  # noqa: PLC0415

        policy = exec_plugin.ExecPolicy(exec_allow, exec_timeout, environ, clock)
        return reader.load(paths, context=context, policy=policy)

    if kubeconfig:
        return from_files(Path(kubeconfig))
    if environ.get("KUBECONFIG"):
        return from_files(*(Path(path) for path in environ["KUBECONFIG"].split(os.pathsep) if path))
    if in_pod and not context:
        from kcontroller.transport import incluster  # noqa: PLC0415 - needs this module's types

        try:
            return incluster.load(service_account_dir, environ=environ, clock=clock)
        except ConfigError as error:
            if not home.exists():
                raise
            _log.warning("no in-cluster configuration, using %s: %s", home, error)
    if home.exists():
        return from_files(home)
    named = f" with a context {context!r}" if context else ""
    msg = (
        f"no kubeconfig{named} found: no --kubeconfig was given, $KUBECONFIG is not set, "
        f"this is {'a pod, which has no contexts' if in_pod else 'not a pod'}, "
        f"and {home} does not exist; name a file with --kubeconfig"
    )
    raise ConfigError(msg)


def config_from_data(data: bytes, *, source: str, context: str | None = None, clock: Clock = SYSTEM_CLOCK) -> Config:
    """Read a kubeconfig that came over the network, such as from a Secret, as data only.

    Refuses what would run programs or read files here (exec, auth-provider, paths) and servers without https.
    No proxy of the environment is used; `source` names it in messages.
    """
    from kcontroller.transport import kubeconfig as reader  # noqa: PLC0415 - needs this module's types

    return reader.load_data(data, source=source, context=context, clock=clock)
