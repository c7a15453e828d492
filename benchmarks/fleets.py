"""A server that stands for many clusters: a namespace with ConfigMaps for each, and kubeconfigs that lead there.

The certificate authority comes alone (``private``), or in a bundle as large as those of systems (``system``).
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import certifi

from benchmarks.filling import create

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.filling import Call
    from kcontroller.testing.control_plane import ApiServer

TRUSTS: Final = ("private", "system")

_CONNECTIONS: Final = 24
_HUB: Final = "hub"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster is reached.

    Attributes:
        url: the server, or a proxy of it.
        ca_pem: who may have signed its certificate.
    """

    url: str
    ca_pem: str


def cluster(number: int) -> str:
    """Name a cluster."""
    return f"cluster-{number:04}"


def path(number: int, which: int) -> str:
    """Name where a ConfigMap of a cluster is found."""
    return f"{_collection(number)}/settings-{which:02}"


def namespace_path(number: int) -> str:
    """Name what all paths of a cluster begin with."""
    return f"/api/v1/namespaces/bench-{number:04}/"


def fill(server: ApiServer, clusters: int, *, objects: int = 1) -> None:
    """Create a namespace for each cluster, with so many ConfigMaps.

    Raises:
        RuntimeError: the server refused one; the text says why.
    """
    trust = ssl.create_default_context(cadata=server.ca_pem)

    def calls(number: int) -> Iterator[Call]:
        body = {"metadata": {"name": _namespace(number)}}
        yield "POST", "/api/v1/namespaces", "application/json", body
        for which in range(objects):
            body = {"metadata": {"name": f"settings-{which:02}"}, "data": {"colour": "blue", "size": "4"}}
            yield "POST", _collection(number), "application/json", body

    batches = [range(first, clusters, _CONNECTIONS) for first in range(min(_CONNECTIONS, clusters))]
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fill") as pool:
        for _size in pool.map(lambda numbers: create(server, trust, calls, numbers), batches):
            pass


def authorities(server: ApiServer, trust: str) -> str:
    """Give the PEM certificates of a kind of trust; the server's authority is the last."""
    bundle = Path(certifi.where()).read_text(encoding="utf-8") if trust == "system" else ""
    return f"{bundle}\n{server.ca_pem}" if bundle else server.ca_pem


def write_kubeconfig(file: Path, server: ApiServer, places: Mapping[Place, range]) -> Path:
    """Write a kubeconfig, readable by its owner only; returns its path.

    Args:
        file: where.
        server: its token is everybody's.
        places: where which clusters are reached. Each becomes a context with its namespace; the current context,
            which has none, leads to the first place.
    """
    contexts: list[dict[str, Any]] = [_context(_HUB, 0)]
    for at, numbers in enumerate(places.values()):
        contexts += [_context(cluster(number), at, _namespace(number)) for number in numbers]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"place-{at}", "cluster": _entry(place)} for at, place in enumerate(places)],
        "users": [{"name": "user", "user": {"token": server.token}}],
        "contexts": contexts,
        "current-context": _HUB,
    }
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        json.dump(document, opened)  # Which is YAML.
    return file


def _entry(place: Place) -> dict[str, str]:
    return {"server": place.url, "certificate-authority-data": base64.b64encode(place.ca_pem.encode()).decode()}


def _context(name: str, place: int, namespace: str = "default") -> dict[str, Any]:
    return {"name": name, "context": {"cluster": f"place-{place}", "user": "user", "namespace": namespace}}


def _namespace(number: int) -> str:
    return f"bench-{number:04}"


def _collection(number: int) -> str:
    return f"{namespace_path(number)}configmaps"
