"""Twenty thousand Widgets of about 1 KB: their definition, their bodies, and a server full of them."""

from __future__ import annotations

import http.client
import json
import random
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kcontroller.testing.crds import install_crds

if TYPE_CHECKING:
    from kcontroller.testing.control_plane import ApiServer

GROUP: Final = "bench.example.com"
NAMESPACES: Final = 20

_CONNECTIONS: Final = 24  # More do not make two cores of kube-apiserver faster.
_BATCH: Final = 200
_CREATED: Final = 201
_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty")

_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer", "format": "int64"}
_STRINGS: Final = {"type": "object", "additionalProperties": _STRING}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


DEFINITION: Final[dict[str, Any]] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"widgets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": _object(
                        spec=_object(
                            replicas=_INTEGER,
                            image=_STRING,
                            args={"type": "array", "items": _STRING},
                            env={"type": "array", "items": _object(name=_STRING, value=_STRING)},
                            selector=_STRINGS,
                            paused={"type": "boolean"},
                        ),
                        status={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    )
                },
            }
        ],
    },
}


def widget(number: int) -> dict[str, Any]:
    """Make the body of one Widget; the same number gives the same body."""
    rng = random.Random(number)  # noqa: S311 - contents, not secrets
    team, tier = rng.choice(_WORDS), rng.choice(_WORDS)
    name = f"widget-{number:06}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": team, "tier": tier}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {
            "name": name,
            "namespace": namespace(number),
            "labels": labels,
            "annotations": {"example.com/checksum": f"{rng.getrandbits(128):032x}"},
        },
        "spec": {
            "replicas": 1 + number % 9,
            "image": f"registry.example.com/{team}/{tier}:1.{number % 40}.{number % 7}",
            "args": ["--listen=:8080", f"--shard={number % 64}"],
            "env": [
                {"name": f"{word.upper()}_URL", "value": f"http://{word}.{team}"} for word in rng.sample(_WORDS, 2)
            ],
            "selector": {"app.kubernetes.io/name": name},
        },
    }


def namespace(number: int) -> str:
    """Name the namespace of a Widget."""
    return f"bench-{number % NAMESPACES:02}"


def fill(server: ApiServer, objects: int) -> float:
    """Define the kind and create so many Widgets; returns the mean size of one on the wire, in bytes.

    Raises:
        RuntimeError: the server refused one; the text says why.
    """
    install_crds(server, DEFINITION, within=30)
    for number in range(min(NAMESPACES, objects)):
        server.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace(number)}})
    trust = ssl.create_default_context(cadata=server.ca_pem)
    batches = [range(start, min(start + _BATCH, objects)) for start in range(0, objects, _BATCH)]
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fill") as pool:
        sizes = pool.map(lambda numbers: _create(server, trust, numbers), batches)
        return sum(sizes) / objects


def _create(server: ApiServer, trust: ssl.SSLContext, numbers: range) -> int:
    address = urlsplit(server.url)
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=60, context=trust)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    size = 0
    try:
        for number in numbers:
            path = f"/apis/{GROUP}/v1/namespaces/{namespace(number)}/widgets?fieldManager=bench"
            connection.request("POST", path, json.dumps(widget(number)), headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != _CREATED:
                msg = f"creating widget {number}: {answer.status} {body[:300].decode(errors='replace')}"
                raise RuntimeError(msg)
            size += len(body)
    finally:
        connection.close()
    return size
