"""What a real kube-apiserver 1.36.3 answered to wrong documents, and the same question put to the embedded server."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcontroller.embedded import recorded, validation
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.validation import metadata, structural

if TYPE_CHECKING:
    from kcontroller.embedded.statuses import Cause

REAL: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parent / "data" / "refusals-1.36.3.json.gz").read_bytes())
)
"""Requests by topic, each with the code, and the causes or the message of the answer."""

WIDGET = Kind("a.example.com", "v1", "Widget", "widgets", "widget", True, "v1", Schema(REAL["schema"]), builtin=False)


def builtin(api_version: str, kind: str) -> Kind:
    return next(each for each in recorded.load().kinds if (each.api_version, each.kind) == (api_version, kind))


def widget(**fields: Any) -> dict[str, Any]:
    meta = {"name": "w", "namespace": "default"}
    return {"apiVersion": "a.example.com/v1", "kind": "Widget", "metadata": meta, **fields}


def expected(case: dict[str, Any]) -> Any:
    """The causes sorted: where the real order is that of a Go map, it is not the same twice."""
    if case["code"] < 300:
        return []
    return sorted(case["causes"]) if "causes" in case else case["message"]


def written(causes: list[Cause]) -> list[list[str]]:
    return sorted([cause.reason, cause.field, cause.message] for cause in causes)


def refused(kind: Kind, document: dict[str, Any], *, strict: bool = False) -> Any:
    """Take a new document through the steps of a create; its causes, or the message of a 400."""
    document = copy.deepcopy(document)
    try:
        validation.decode(kind, document)
    except Refusal as refusal:
        return refusal.message if refusal.code == 400 else refusal.code
    unknown = structural.prune(kind.schema, document)
    structural.default(kind.schema, document)
    if strict and unknown:
        said = ", ".join(f'unknown field "{path}"' for path in unknown)
        return (
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: {said}'
        )
    if kind.namespaced:
        document["metadata"].setdefault("namespace", "default")
    else:
        document["metadata"].pop("namespace", None)
    return written([*metadata.check(kind, document), *validation.validate(kind, document)])
