"""The official client, configured for one of our clusters, for code that is written against it.

Imported only when asked for: the package costs 35 MB and a quarter of a second.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcontroller.transport.config import ClientCertificate, Config


def kubernetes_client(config: Config) -> Any:
    """Make a ``kubernetes.client.ApiClient`` with the same server, verification, proxy and credentials.

    Its requests carry a token that is current at that moment. A client certificate is written once to a private file
    that is removed when the process ends, because the package takes paths only; it does not follow rotation.
    """
    from kubernetes import client  # noqa: PLC0415 - see the module

    host, name = config.server, config.tls.server_name
    if config.resolve:  # The package has no word for it: the address is asked, and must prove the name.
        scheme, _, hostname = config.origin.rpartition(":")[0].partition("://")
        host, name = f"{scheme}://{config.resolve}{config.base_path}", name or hostname
    settings = client.Configuration(host=host, proxy=config.proxy, no_proxy="")
    settings.verify_ssl = config.tls.verify
    authority = config.tls.ca_pem()
    settings.ca_cert_data = authority.decode("ascii", "ignore") if authority else None  # Bytes would be read as DER.
    settings.tls_server_name = name or None
    certificate = config.credentials.client_certificate()
    if certificate is not None:
        settings.cert_file = settings.key_file = _as_file(certificate)

    class AuthorizedClient(client.ApiClient):
        def update_params_for_auth(self, headers: dict[str, str], *_arguments: Any, **_more: Any) -> None:
            """Put our header on every request, instead of the package's own idea of tokens."""
            value = config.credentials.authorization()
            if value is not None:
                headers["authorization"] = value
            for line in config.extra_headers:
                name, _, text = line.partition(":")
                headers[name] = text.strip()

    return AuthorizedClient(settings)


def _as_file(certificate: ClientCertificate) -> str:
    handle, name = tempfile.mkstemp(
        prefix="kcontroller-", suffix=".pem"
    )  # mkstemp makes it readable by its owner only.
    with os.fdopen(handle, "wb") as file:
        file.write(certificate.certificate.rstrip() + b"\n" + certificate.key)
    atexit.register(lambda: Path(name).unlink(missing_ok=True))
    return name
