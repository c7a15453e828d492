"""Who we are to an API server: fixed, from files, or from whatever else can be asked.

Every kind of credentials is two sources, one for the Authorization header and one for the client certificate.
Plugins bring both from one source (`exec_plugin`).
"""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.config import ClientCertificate
from kcontroller.transport.files import PEM_PERIOD, WatchedFile, check_certificate, check_key
from kcontroller.transport.refresh import Fresh, Refreshing

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Credentials

TOKEN_PERIOD: Final = 50.0  # client-go: cached for a minute, read again ten seconds before it is over.
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")


def bearer(token: str, *, what: str) -> str:
    """Make the header value of a token, stripped; raises ConfigError for what cannot stand in a header."""
    token = token.strip()
    if not _HEADER_VALUE.fullmatch(token):
        problem = "contains spaces, control or non-ASCII characters" if token else "is empty"
        msg = f"{what} {problem}; write the token alone"
        raise ConfigError(msg)
    return f"Bearer {token}"


def basic(username: str, password: str, *, what: str) -> str:
    """Make the header value of a user name and password (RFC 7617, UTF-8)."""
    if ":" in username:
        msg = f"{what}: the username must not contain ':'"
        raise ConfigError(msg)
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Credentials that never change; without arguments, an anonymous caller.

    Attributes:
        header: the whole value of the Authorization header, from `bearer` or `basic`.
        certificate: the certificate of every connection.
    """

    header: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None

    def authorization(self) -> str | None:
        """Give the header value that was set."""
        return self.header

    def client_certificate(self) -> ClientCertificate | None:
        """Give the certificate that was set."""
        return self.certificate

    def invalidate(self) -> None:
        """Do nothing: there is nothing to ask again."""


ANONYMOUS: Final = StaticCredentials()


class TokenFile:
    """A bearer token from a file that is replaced while we run, such as a mounted service account token.

    Read again at most every 50 s, and at once after a 401. If it cannot be read, the last token is kept and a warning
    logged.
    """

    def __init__(self, path: Path, *, what: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._what = f"{what}: {path}"
        self._file = WatchedFile(path, what=what, check=_check_token, period=TOKEN_PERIOD, clock=clock)

    def __eq__(self, other: object) -> bool:
        """Equal by path: a rotated token is no other identity."""
        return isinstance(other, TokenFile) and self._file == other._file

    def __hash__(self) -> int:
        return hash(self._file)

    def authorization(self) -> str:
        """Give the header value; raises ConfigError if the file never held a token."""
        return bearer(self._file.read().decode("utf-8", "replace"), what=self._what)

    def client_certificate(self) -> None:
        """Give none."""

    def invalidate(self) -> None:
        """Read the file again at the next call."""
        self._file.invalidate()


class CertificateFiles:
    """A client certificate and key from files that may be replaced while we run.

    Read again at most every five seconds. A rotation that is caught between its two files keeps the old pair until both
    are there.
    """

    def __init__(self, certificate: Path, key: Path, *, what: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._certificate = WatchedFile(
            certificate, what=f"{what}: client-certificate", check=check_certificate, clock=clock
        )
        self._key = WatchedFile(key, what=f"{what}: client-key", check=check_key, clock=clock)
        self._last: ClientCertificate | None = None
        self._unfit: ClientCertificate | None = None
        self._pair = Refreshing(self._load, hold=0, clock=clock)

    def __eq__(self, other: object) -> bool:
        """Equal by paths: a renewed certificate is no other identity."""
        return isinstance(other, CertificateFiles) and (self._certificate, self._key) == (
            other._certificate,
            other._key,
        )

    def __hash__(self) -> int:
        return hash((self._certificate, self._key))

    def authorization(self) -> None:
        """Give none."""

    def client_certificate(self) -> ClientCertificate:
        """Give the pair as it is now, the same object as long as nothing changed."""
        return self._pair.get()

    def _load(self) -> Fresh[ClientCertificate]:
        pair = ClientCertificate(self._certificate.load().value, self._key.load().value)
        last = self._last
        if last is None or (pair not in (last, self._unfit) and self._fits(pair)):
            self._last = last = pair
        return Fresh(last, PEM_PERIOD)

    def _fits(self, pair: ClientCertificate) -> bool:
        """Whether these two, and not one of them and its predecessor, are what the files hold."""
        certificate, key = self._certificate.path, self._key.path
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
            if pair == ClientCertificate(certificate.read_bytes(), key.read_bytes()):
                return True
        except OSError:  # As every SSLError is.
            pass
        self._unfit = pair
        return False

    def invalidate(self) -> None:
        """Read the files again at the next call."""
        self._pair.invalidate()


@dataclass(frozen=True, slots=True)
class Joined:
    """The first header value and the first certificate that any of several credentials has."""

    parts: tuple[Credentials, ...]

    def authorization(self) -> str | None:
        """Ask the parts in order."""
        return next((value for part in self.parts if (value := part.authorization())), None)

    def client_certificate(self) -> ClientCertificate | None:
        """Ask the parts in order."""
        return next((value for part in self.parts if (value := part.client_certificate())), None)

    def invalidate(self) -> None:
        """Tell all parts."""
        for part in self.parts:
            part.invalidate()


def _check_token(data: bytes, *, what: str) -> bytes:
    bearer(data.decode("utf-8", "replace"), what=what)
    return data
