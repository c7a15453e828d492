"""What the cluster and user entries of a kubeconfig mean: TLS, credentials, impersonation.

An entry without a folder came over the network: it is data only, and can neither run programs nor read files here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from kcontroller.errors import ConfigError
from kcontroller.process.logs import Log
from kcontroller.transport.config import ClientCertificate, TLSConfig
from kcontroller.transport.credentials import (
    ANONYMOUS,
    CertificateFiles,
    Joined,
    StaticCredentials,
    TokenFile,
    basic,
    bearer,
)
from kcontroller.transport.exec_plugin import ExecCredentials, ExecEntry, ExecPolicy
from kcontroller.transport.files import WatchedFile, check_certificate, check_key, read_file
from kcontroller.transport.urls import is_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Credentials

_log: Final = Log("kcontroller.transport.kubeconfig")

_EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
_HEADER_TEXT: Final = re.compile(r"[\x20-\x7e]*")
_TOKEN_CHARACTERS: Final = "!#$&'*+-.^_`|~"  # noqa: S105 - RFC 9110's "token", what a header name may hold


class ContextEntry(msgspec.Struct, frozen=True, rename="kebab"):
    """One of ``contexts``."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _Extension(msgspec.Struct, frozen=True):
    name: str = ""
    extension: Any = None


class ClusterEntry(msgspec.Struct, frozen=True, rename="kebab"):
    """One of ``clusters``."""

    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[_Extension, ...] = ()

    def __repr__(self) -> str:
        return "ClusterEntry(...)"


class UserEntry(msgspec.Struct, frozen=True, rename="kebab"):
    """One of ``users``."""

    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec_: ExecEntry | None = msgspec.field(default=None, name="exec")
    auth_provider: Any = None
    as_: str = msgspec.field(default="", name="as")
    as_uid: str = ""
    as_groups: tuple[str, ...] = ()
    as_user_extra: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return "UserEntry(...)"


msgspec.json.Decoder(tuple[ContextEntry, ClusterEntry, UserEntry])  # Learnt now, and not by two threads at once.

Entry = TypeVar("Entry", ClusterEntry, UserEntry)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands.

    Attributes:
        where: how messages name it: ``user "admin" in /home/me/.kube/config``.
        folder: what its paths are relative to; None if it must be data only.
    """

    where: str
    folder: Path | None

    def path(self, value: str, option: str) -> Path:
        """Give the path that an option names; raises ConfigError in an entry that must be data only."""
        if self.folder is None:
            instead = "token" if option == "tokenFile" else f"{option}-data"
            msg = f"{self.where}: {option} names a file, which is refused here; use {instead} instead"
            raise ConfigError(msg)
        return self.folder / value

    def pem(self, value: str, option: str, check: Callable[..., bytes]) -> bytes:
        """Decode the base64 of an option's ``-data`` form and check it; raises ConfigError."""
        what = f"{self.where}: {option}-data"
        try:
            data = base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            msg = f"{what} is not base64; encode it again (base64 -w0)"
            raise ConfigError(msg) from None
        return check(data, what=what)


def tls_of(cluster: ClusterEntry, place: Place, *, clock: Clock) -> TLSConfig:
    """Say how the server proves who it is; a CA file is read now, and again while we run."""
    ca, ca_file = None, None
    option = "certificate-authority"
    if cluster.certificate_authority_data:
        ca = place.pem(cluster.certificate_authority_data, option, check_certificate)
    elif cluster.certificate_authority:
        path = place.path(cluster.certificate_authority, option)
        ca_file = WatchedFile(path, what=f"{place.where}: {option}", check=check_certificate, clock=clock)
        ca_file.read()
    if cluster.insecure_skip_tls_verify:
        if ca or ca_file:
            msg = f"{place.where} has insecure-skip-tls-verify and a certificate-authority; remove one of them"
            raise ConfigError(msg)
        if place.folder is None:
            msg = f"{place.where}: insecure-skip-tls-verify is refused here; add the certificate-authority-data"
            raise ConfigError(msg)
        _log.warning("%s: insecure-skip-tls-verify is set: anybody on the way can read the credentials", place.where)
    if cluster.tls_server_name and not is_host(cluster.tls_server_name):
        msg = f"{place.where}: tls-server-name must be a host name or an address, as the certificate has it; correct it"
        raise ConfigError(msg)
    return TLSConfig(ca, cluster.tls_server_name, not cluster.insecure_skip_tls_verify, ca_file)


def credentials_of(user: UserEntry, place: Place, *, cluster: dict[str, object], policy: ExecPolicy) -> Credentials:
    """Choose the credentials: client certificate, and tokenFile, token, username or exec, the first that is there.

    Args:
        user: the entry.
        place: where it stands.
        cluster: from `exec_cluster_of`, for plugins that ask for it.
        policy: whether and how a plugin runs.
    """
    certificate = _certificate_of(user, place, policy.clock)
    header = _header_of(user, place, policy.clock)
    is_data = place.folder is None  # What a token hides today may run when the token is gone.
    if user.exec_ is not None and (header is None or is_data):
        header = _exec_of(user.exec_, place, cluster=cluster, policy=policy)
    elif user.auth_provider is not None and (header is None or is_data):
        name = user.auth_provider.get("name") if isinstance(user.auth_provider, dict) else None
        msg = f"{place.where}: auth-provider {name!r} is not supported; use an exec plugin such as kubelogin"
        raise ConfigError(msg)
    parts = [part for part in (certificate, header) if part is not None]
    if not parts:
        return ANONYMOUS
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))


def _header_of(user: UserEntry, place: Place, clock: Clock) -> Credentials | None:
    if user.token_file:
        source = TokenFile(place.path(user.token_file, "tokenFile"), what=f"{place.where}: tokenFile", clock=clock)
        source.authorization()
        return source
    if user.token and user.username:
        msg = f"{place.where} has a token and a username; remove one of them"
        raise ConfigError(msg)
    if user.token:
        return StaticCredentials(bearer(user.token, what=f"{place.where}: token"))
    if user.username:
        return StaticCredentials(basic(user.username, user.password, what=place.where))
    return None


def _certificate_of(user: UserEntry, place: Place, clock: Clock) -> Credentials | None:
    certificate = user.client_certificate_data or user.client_certificate
    key = user.client_key_data or user.client_key
    if not certificate and not key:
        return None
    if not certificate or not key:
        there, missing = ("client-certificate", "client-key")[:: 1 if certificate else -1]
        msg = f"{place.where} has a {there} but no {missing}; add {missing} or {missing}-data"
        raise ConfigError(msg)
    if not user.client_certificate_data and not user.client_key_data:
        paths = place.path(certificate, "client-certificate"), place.path(key, "client-key")
        source = CertificateFiles(*paths, what=place.where, clock=clock)
        source.client_certificate()
        return source
    # Half data, half file cannot be rotated together, so the file is read once.
    return StaticCredentials(
        certificate=ClientCertificate(
            _pem(place, user.client_certificate_data, user.client_certificate, "client-certificate", check_certificate),
            _pem(place, user.client_key_data, user.client_key, "client-key", check_key),
        )
    )


def _pem(place: Place, data: str, path: str, option: str, check: Callable[..., bytes]) -> bytes:
    if data:
        return place.pem(data, option, check)
    what = f"{place.where}: {option}"
    return check(read_file(place.path(path, option), what=what), what=what)


def _exec_of(entry: ExecEntry, place: Place, *, cluster: dict[str, object], policy: ExecPolicy) -> Credentials:
    if place.folder is None:
        msg = f"{place.where}: exec runs a program, which is refused here; use a token"
        raise ConfigError(msg)
    return ExecCredentials(entry, where=place.where, folder=place.folder, cluster=cluster, policy=policy)


def exec_cluster_of(cluster: ClusterEntry, tls: TLSConfig) -> dict[str, object]:
    """Make the ``spec.cluster`` of an ExecCredential: the entry with the CA as data and its ``config``."""
    ca = tls.ca_pem()
    told = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(ca).decode("ascii") if ca else "",
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": next((item.extension for item in cluster.extensions if item.name == _EXEC_EXTENSION), None),
    }
    return {key: value for key, value in told.items() if value}


def impersonation_of(user: UserEntry, place: Place) -> tuple[str, ...]:
    """Give the header lines of ``as``, ``as-uid``, ``as-groups`` and ``as-user-extra``; raises ConfigError."""
    lines = [f"Impersonate-User: {user.as_}"] if user.as_ else []
    lines += [f"Impersonate-Uid: {user.as_uid}"] if user.as_uid else []
    lines += [f"Impersonate-Group: {group}" for group in user.as_groups]
    for key, values in sorted(user.as_user_extra.items()):
        lines += [f"Impersonate-Extra-{quote(key.lower(), safe=_TOKEN_CHARACTERS)}: {value}" for value in values]
    if lines and not user.as_:
        msg = f"{place.where} has as-uid, as-groups or as-user-extra without as; add as: with the user's name"
        raise ConfigError(msg)
    if not all(_HEADER_TEXT.fullmatch(line) for line in lines):
        msg = f"{place.where}: as, as-groups and as-user-extra may hold printable ASCII characters only"
        raise ConfigError(msg)
    return tuple(lines)
