"""JSON schemas for kubeconform, made from the definitions of the real server that the embedded one carries.

They are stricter than the server's own: what a definition does not name is refused, as strict field validation does.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import kcontroller.embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = "kubernetes-1.36.3.json.gz"
LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"

_KIND = "x-kubernetes-group-version-kind"


def write(folder: Path) -> None:
    """Write one file for each kind into `folder`, by the names that kubeconform looks for."""
    (package,) = kcontroller.embedded.__path__
    with gzip.open(f"{package}/data/{DATA}", "rt", encoding="utf-8") as file:
        definitions = {name: _strict(schema) for name, schema in json.load(file)["definitions"].items()}
    for name, schema in definitions.items():
        kinds = schema.get(_KIND, [])
        if len(kinds) == 1:  # Those of many kinds are helpers, such as DeleteOptions.
            document = {"$ref": f"#/definitions/{name}", "definitions": _reachable(name, definitions)}
            (folder / _file_name(**kinds[0])).write_text(json.dumps(document), encoding="utf-8")


def _file_name(*, group: str, version: str, kind: str) -> str:
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], version))) + ".json"


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if isinstance(made.get("$ref"), str):
        return {"$ref": f"#/definitions/{made['$ref']}"}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def _reachable(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ahead = [name]
    while ahead:
        current = ahead.pop()
        if current not in found:
            found[current] = definitions[current]
            ahead += _references(definitions[current])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
