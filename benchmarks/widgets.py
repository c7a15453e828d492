"""Widgets of about 1 KB on the wire: their definition and their bodies. Gadgets are the same by another name."""

from __future__ import annotations

import random
from typing import Any, Final

GROUP: Final = "bench.example.com"
NAMESPACES: Final = 20

_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty")

_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer", "format": "int64"}
_STRINGS: Final = {"type": "object", "additionalProperties": _STRING}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def definition(kind: str) -> dict[str, Any]:
    """Define a kind."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
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


def widget(number: int, kind: str = "Widget") -> dict[str, Any]:
    """Make the body of one; the same number gives the same body."""
    rng = random.Random(number)  # noqa: S311 - contents, not secrets
    team, tier = rng.choice(_WORDS), rng.choice(_WORDS)
    name = f"{kind.lower()}-{number:06}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": team, "tier": tier}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
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
    """Name the namespace of an object."""
    return f"bench-{number % NAMESPACES:02}"
