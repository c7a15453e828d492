"""What a server is encrypted with: the certificate of a folder, read again when it changes, or one made here.

Both give an `ssl.SSLContext` that speaks TLS 1.2 or newer; a new one takes effect with the next connection.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.transport.files import PEM_PERIOD, WatchedFile, check_certificate, check_key

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

_LIFETIME: Final = timedelta(days=365)
_RENEWED_AFTER: Final = _LIFETIME / 2
_TRIED_AFTER: Final = timedelta(hours=1)
_CLOCKS_APART: Final = timedelta(hours=1)
_LOCAL_ADDRESSES: Final = ("127.0.0.1", "::1")

_log: Final = Log("kcontroller.serving.tls")


class CertificateFolder:
    """``tls.crt`` and ``tls.key`` of a folder, as a Secret of type ``kubernetes.io/tls`` is mounted.

    The files are looked at every few seconds, and only when somebody connects. A pair that is of no use keeps the last
    good one in place, as controller-runtime's certificate watcher does: a rotation may be half done. It is tried again
    with the next look: what was wrong may have been a lack of file descriptors.

    Args:
        folder: where they are.
        option: what errors name, such as ``--metrics-cert-dir``.
        metrics: where readings are counted.
        clock: the time between two looks.
    """

    def __init__(self, folder: Path, *, option: str, metrics: Metrics, clock: Clock = SYSTEM_CLOCK) -> None:
        self._certificate = WatchedFile(folder / "tls.crt", what=option, check=check_certificate, clock=clock)
        self._key = WatchedFile(folder / "tls.key", what=option, check=check_key, clock=clock)
        self._folder = folder
        self._option = option
        self._metrics = metrics
        self._clock = clock
        self._loaded: tuple[bytes, bytes] | None = None
        self._tried: tuple[bytes, bytes] | None = None
        self._again = 0.0
        self._trouble = ""
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Give what the next connection is encrypted with; for one thread at a time.

        Raises:
            ConfigError: there is no certificate yet, or it is of no use.
        """
        found = (self._certificate.read(), self._key.read())
        now = self._clock.monotonic()
        if self._context is None or (found != self._loaded and (found != self._tried or now >= self._again)):
            self._tried, self._again = found, now + PEM_PERIOD
            self._load(found)
        assert self._context is not None  # noqa: S101 - `_load` raises without a first one
        return self._context

    def _load(self, found: tuple[bytes, bytes]) -> None:
        self._metrics.certificate_readings.inc()
        context = _server_context()
        try:
            # Read by OpenSSL, which takes no bytes. Without a password it would ask the terminal for one.
            context.load_cert_chain(self._certificate.path, self._key.path, password="")
        except (OSError, ValueError) as error:
            self._metrics.certificate_errors.inc()
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            msg = f"{self._option}: tls.crt and tls.key in {self._folder} are of no use together: {reason}; renew both"
            if self._context is None:
                raise ConfigError(msg) from None
            if msg != self._trouble:
                _log.warning("%s; keeping the last pair", msg)
            self._trouble = msg
            return
        self._context, self._loaded, self._trouble = context, found, ""


class SelfSigned:
    """A certificate that is made here and signs itself, so that what is sent cannot be read along.

    Nobody can verify who serves it; for that there is `CertificateFolder`. It is made anew after half of its year.

    Args:
        option: what an error names.
        clock: the time between two of them.
    """

    def __init__(self, *, option: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._option = option
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._until = 0.0

    def context(self) -> ssl.SSLContext:
        """Give what the next connection is encrypted with; for one thread at a time.

        Raises:
            ConfigError: the package ``cryptography`` is not there, or no temporary file can be written.
        """
        now = self._clock.monotonic()
        if self._context is None or now >= self._until:
            try:
                self._context, lasts = self._made(), _RENEWED_AFTER
            except OSError as error:
                reason = error.strerror or type(error).__name__
                msg = f"{self._option}: no certificate can be made: {reason}; let TMPDIR name a folder to write in"
                if self._context is None:
                    raise ConfigError(msg) from error
                _log.warning("%s; keeping the last one", msg)
                lasts = _TRIED_AFTER
            self._until = now + lasts.total_seconds()
        return self._context

    def _made(self) -> ssl.SSLContext:
        password = secrets.token_bytes(32)
        try:
            pem = _self_signed(password)
        except ModuleNotFoundError as error:
            msg = (
                f"{self._option}: there is no certificate; name a folder with tls.crt and tls.key (--metrics-cert-dir),"
                " or install kcontroller[secure-metrics], with which one is made here"
            )
            raise ConfigError(msg) from error
        context = _server_context()
        # OpenSSL takes a file only. It is gone at once, and the key in it is encrypted.
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name, password=password)
        return context


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _self_signed(password: bytes) -> bytes:
    """Make a key and its certificate, as PEM; the key is encrypted."""
    # An extra, and two megabytes that only this needs.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kcontroller")])
    names = {"localhost", socket.gethostname()}
    alternatives = [x509.DNSName(each) for each in sorted(names) if each.isascii()]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_APART)
        .not_valid_after(now + _LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName(
                [*alternatives, *(x509.IPAddress(ip_address(each)) for each in _LOCAL_ADDRESSES)]
            ),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    encryption = serialization.BestAvailableEncryption(password)
    return certificate.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)
