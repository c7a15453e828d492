"""The configuration of a pod: its service account, as client-go's ``rest.InClusterConfig`` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import TokenFile
from kcontroller.transport.files import WatchedFile, check_certificate
from kcontroller.transport.proxies import proxy_from_environ

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kcontroller.process.clock import Clock

_WHERE: Final = "in-cluster service account"


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Whether the environment is a pod's: the API server's service is in it."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT"))


def load(folder: Path, *, environ: Mapping[str, str], clock: Clock = SYSTEM_CLOCK) -> Config:
    """Read the service account mounted at `folder`; token and CA are read again while we run.

    Raises ConfigError if token or CA cannot be read (``automountServiceAccountToken: false``, for example).
    """
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    token = TokenFile(folder / "token", what=_WHERE, clock=clock)
    token.authorization()
    ca = WatchedFile(folder / "ca.crt", what=f"{_WHERE}: CA", check=check_certificate, clock=clock)
    ca.read()
    return Config(
        server,
        token,
        tls=TLSConfig(ca_file=ca),
        proxy=proxy_from_environ(server, environ),
        namespace=_namespace(folder / "namespace"),
        source=_WHERE,
    )


def _namespace(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "default"
    except (OSError, UnicodeDecodeError):
        return "default"
