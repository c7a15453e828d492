"""A certificate authority and a serving certificate that live as long as one embedded server, and never on a disk."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

HOSTS: Final = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
"""DNS names of the serving certificate; its addresses are 127.0.0.1 and ::1."""

_LIFE: Final = timedelta(days=365)
_SKEW: Final = timedelta(hours=1)  # Containers and virtual machines may be behind the clock of this machine.


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a server needs for TLS, and what its clients trust.

    Attributes:
        ca_pem: the certificate authority.
        serving_pem: the serving certificate.
        key_pem: its private key; not in `repr`.
    """

    ca_pem: str
    serving_pem: str
    key_pem: str = field(repr=False)

    @classmethod
    def make(cls, hosts: Iterable[str] = HOSTS) -> Certificates:
        """Make a new authority and a certificate for loopback and these names, P-256 both, in a few milliseconds."""
        now = datetime.now(UTC)
        authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority_name, name = _name("kcontroller-embedded-ca"), _name("kube-apiserver")
        identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        authority = (
            _builder(authority_name, authority_name, authority_key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        serving = (
            _builder(name, authority_name, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(_pem(authority), _pem(serving), private.decode("ascii"))

    def server_context(self) -> ssl.SSLContext:
        """Make the server's side of TLS: 1.2 or newer, HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Clients keep their connections, so that tickets would only be bytes in every handshake.
        context.num_tickets = 0
        with tempfile.TemporaryDirectory(prefix="kcontroller-embedded-") as directory:  # Only its owner may look in.
            chain = Path(directory) / "serving.pem"
            chain.write_text(self.key_pem + self.serving_pem, encoding="ascii")
            context.load_cert_chain(chain)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Make the client's side of TLS, which trusts this authority alone."""
        return ssl.create_default_context(cadata=self.ca_pem)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
