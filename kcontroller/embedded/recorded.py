"""The built-in kinds, as ``kcontroller.testing.recording`` took them from a real kube-apiserver."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.kinds import Kind, Subresource
from kcontroller.embedded.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILE: Final = Path(__file__).parent / "data" / "kubernetes-1.36.3.json.gz"
_ANYWHERE: Final = ("metadata.name", "metadata.namespace")
# What the real server says in its Warning header of every request for these.
_DEPRECATED: Final = {
    "v1/componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
    "v1/endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
# Resources that have the objects of another group's resource of the same name (the server's storage factory).
_SHARED: Final = {"events.k8s.io/v1/events": ""}


@dataclass(frozen=True, slots=True)
class FieldLabels:
    """What a field selector may name, and what is said of any other: ``%s`` stands for the label."""

    fields: tuple[str, ...]
    refusal: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the real server serves.

    Attributes:
        kinds: one for each resource and version, subresources inside; `Kind.selectable` leaves out name and namespace.
        groups: names in the order of discovery; the core group is the empty one.
        version: the answer of ``/version``.
        definitions: the schemas of all types. A ``default`` in them is one that a write applies.
        labels: all field labels of a kind, by ``apiVersion/plural``.
        created: fields that a plain new object has beyond its schema's defaults, by ``apiVersion/Kind``.
    """

    kinds: tuple[Kind, ...]
    groups: tuple[str, ...]
    version: Mapping[str, str]
    definitions: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, FieldLabels]
    created: Mapping[str, Mapping[str, Any]]


@cache
def load() -> Recorded:
    """Read the data, once in a process: about 15 ms. Nobody may change what it holds."""
    data = json.loads(gzip.decompress(_FILE.read_bytes()))
    labels = {at: FieldLabels(tuple(entry["fields"]), entry["refusal"]) for at, entry in data["selectable"].items()}
    schemas = {
        (kind["group"], kind["version"], kind["kind"]): Schema(node, data["definitions"], builtin=True)
        for node in data["definitions"].values()
        for kind in node.get("x-kubernetes-group-version-kind", ())
    }
    preferred = {group["name"]: group["versions"][0] for group in data["groups"]}
    return Recorded(
        kinds=tuple(_kinds(data, preferred, schemas, labels)),
        groups=tuple(preferred),
        version=data["version"],
        definitions=data["definitions"],
        labels=labels,
        created=data["created"],
    )


def _kinds(
    data: Mapping[str, Any],
    preferred: Mapping[str, str],
    schemas: Mapping[tuple[str, str, str], Schema],
    labels: Mapping[str, FieldLabels],
) -> Iterator[Kind]:
    for group in data["groups"]:
        for version in group["versions"]:
            api_version = f"{group['name']}/{version}".removeprefix("/")
            entries = data["resources"][api_version]
            for entry in entries:
                if "/" in entry["name"]:
                    continue
                at = f"{api_version}/{entry['name']}"
                yield Kind(
                    group=group["name"],
                    version=version,
                    kind=entry["kind"],
                    plural=entry["name"],
                    singular=entry["singularName"],
                    namespaced=entry["namespaced"],
                    storage_version=preferred[group["name"]],
                    schema=schemas[group["name"], version, entry["kind"]],
                    verbs=tuple(entry["verbs"]),
                    short_names=tuple(entry.get("shortNames", ())),
                    categories=tuple(entry.get("categories", ())),
                    subresources=_subresources(entries, f"{entry['name']}/", group["name"], version),
                    columns=tuple(data["tables"].get(at, ())),
                    selectable=tuple(field for field in labels[at].fields if field not in _ANYWHERE)
                    if at in labels
                    else (),
                    deprecation=_DEPRECATED.get(at, ""),
                    shared_with=_SHARED.get(at),
                )


def _subresources(entries: list[Mapping[str, Any]], prefix: str, group: str, version: str) -> Mapping[str, Subresource]:
    return {
        entry["name"].removeprefix(prefix): Subresource(
            entry["kind"], entry.get("group", group), entry.get("version", version), tuple(entry["verbs"])
        )
        for entry in entries
        if entry["name"].startswith(prefix)
    }
