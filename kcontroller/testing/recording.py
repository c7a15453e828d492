"""Asks a real kube-apiserver what it serves and writes the data that the embedded server is made of.

::

    .venv/bin/python -m kcontroller.testing.recording       # after a new version in testing/binaries.py

What is kept of discovery, OpenAPI and table output is everything but the descriptions of fields; what stays
is small enough to read at every start of the embedded server. Field selectors are tried one by one, with every field of
a kind that is no list. Defaults are learned as `recorded_defaults` says, which also tells what that cannot cover; the
OpenAPI's own defaults of zero value are dropped, as they say how Go prints a field and not what a write leaves: a
``default`` in the data is one that is applied.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import kcontroller.embedded
from kcontroller.testing.binaries import KUBERNETES_VERSION
from kcontroller.testing.control_plane import ControlPlane
from kcontroller.testing.recorded_defaults import Defaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing.control_plane import ApiServer

_TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1"
_REFERENCE: Final = "#/components/schemas/"
# Said of every kind that can be created with options, or of none at all: no use to the embedded server.
_DROPPED: Final = frozenset({"description", "externalDocs", "example", "title"})
_GROUP_PATH: Final = re.compile(r"(api|apis/[^/]+)/v[^/]+")
_OK: Final = 200
# Deep enough for `spec.a` and `involvedObject.a`. Three labels are not named after fields.
_FIELD_DEPTH: Final = 2
_OTHER_FIELDS: Final = ("metadata.name", "metadata.namespace", "source", "spec.host", "status.successful")
_ZERO_VALUES: Final[tuple[Any, ...]] = ({}, [], "", 0, False, None)
_NO_FIELD: Final = "kcontroller.invented"


def record(server: ApiServer) -> dict[str, Any]:
    """Ask for everything; about fifty requests."""
    groups = [{"name": "", "versions": ["v1"]}]
    for group in _get(server, "/apis")["groups"]:
        preferred = group["preferredVersion"]["version"]
        versions = [version["version"] for version in group["versions"]]
        groups.append({"name": group["name"], "versions": sorted(versions, key=lambda v: v != preferred)})
    definitions: dict[str, Any] = {}
    for path, entry in _get(server, "/openapi/v3")["paths"].items():
        if _GROUP_PATH.fullmatch(path):
            schemas = _get(server, entry["serverRelativeURL"])["components"]["schemas"]
            definitions.update({name: _slim(schema) for name, schema in schemas.items()})
    document: dict[str, Any] = {
        "version": _get(server, "/version"),
        "groups": groups,
        "resources": {},
        "tables": {},
        "selectable": {},
        "definitions": dict(sorted(definitions.items())),
    }
    collections = {}
    for group in groups:
        for version in group["versions"]:
            api_version = f"{group['name']}/{version}".removeprefix("/")
            path = f"/apis/{api_version}" if group["name"] else f"/api/{version}"
            entries = [_slim(entry) for entry in _get(server, path)["resources"]]
            document["resources"][api_version] = entries
            for entry in entries:
                if "list" in entry["verbs"] and "/" not in entry["name"]:
                    at = f"{api_version}/{entry['name']}"
                    table = _get(server, f"{path}/{entry['name']}?limit=1", accept=_TABLE)
                    document["tables"][at] = table["columnDefinitions"]
                    document["selectable"][at] = _selectable(server, f"{path}/{entry['name']}", definitions, at)
                if "create" in entry["verbs"] and "/" not in entry["name"]:
                    namespace = "/namespaces/default" if entry["namespaced"] else ""
                    collections[f"{api_version}/{entry['kind']}"] = f"{path}{namespace}/{entry['name']}"
    return document | _learned(server, definitions, collections)


def _learned(server: ApiServer, definitions: dict[str, Any], collections: dict[str, str]) -> dict[str, Any]:
    defaults = Defaults(definitions)
    defaults.learn(server, collections)
    click.echo(f"{defaults.write()} defaults")
    return {"created": defaults.created}


def _selectable(server: ApiServer, path: str, definitions: dict[str, Any], at: str) -> dict[str, Any]:
    """Try every field; what a wrong one is told differs from kind to kind."""
    api_version, plural = at.rsplit("/", 1)
    group, _, version = api_version.rpartition("/")
    suffix = {"group": group, "version": version}
    names = {
        fields["kind"]: name
        for name, definition in definitions.items()
        for fields in definition.get("x-kubernetes-group-version-kind", ())
        if fields.items() >= suffix.items()
    }
    kind = next(e["kind"] for e in _get(server, path.rsplit("/", 1)[0])["resources"] if e["name"] == plural)
    candidates = {*_OTHER_FIELDS, *_fields(definitions, definitions[names[kind]])}
    offered = [field for field in sorted(candidates) if _try_field(server, path, field)[0] == _OK]
    _, refused = _try_field(server, path, _NO_FIELD)
    return {"fields": offered, "refusal": refused["message"].replace(_NO_FIELD, "%s")}


def _try_field(server: ApiServer, path: str, field: str) -> tuple[int, Any]:
    return server.request("GET", f"{path}?limit=1&fieldSelector={field}%3Dx")


def _fields(definitions: dict[str, Any], node: dict[str, Any], depth: int = _FIELD_DEPTH) -> Iterator[str]:
    for name, inner in node.get("properties", {}).items():
        target = definitions[inner["$ref"]] if "$ref" in inner else inner
        if "properties" in target and depth > 1:
            yield from (f"{name}.{deeper}" for deeper in _fields(definitions, target, depth - 1))
        else:
            yield name


def _get(server: ApiServer, path: str, *, accept: str = "application/json") -> Any:
    status, document = server.request("GET", path, accept=accept)
    if status != _OK:
        msg = f"GET {path} answered {status}"
        raise click.ClickException(msg)
    return document


def _slim(node: Any) -> Any:
    """Drop descriptions, and write ``allOf: [{$ref}]`` as the plain reference that it stands for."""
    if isinstance(node, list):
        return [_slim(item) for item in node]
    if not isinstance(node, dict):
        return node
    # Below `properties` the names are the fields' own: one of them is `description`.
    slim = {
        name: {field: _slim(inner) for field, inner in value.items()} if name == "properties" else _slim(value)
        for name, value in node.items()
        if name not in _DROPPED or not isinstance(value, str)
    }
    if slim.get("default") in _ZERO_VALUES:
        slim.pop("default", None)
    match slim.pop("allOf", None):
        case [{"$ref": str(reference)}]:
            slim["$ref"] = reference
        case None:
            pass
        case other:
            slim["allOf"] = other
    if "$ref" in slim:
        slim["$ref"] = str(slim["$ref"]).removeprefix(_REFERENCE)
    return slim


@click.command()
def main() -> None:
    """Write kcontroller/embedded/data anew from a real kube-apiserver."""
    with ControlPlane(1) as plane:
        document = record(plane.servers[0])
    target = Path(kcontroller.embedded.__file__).parent / "data" / f"kubernetes-{KUBERNETES_VERSION}.json.gz"
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    target.write_bytes(gzip.compress(text, mtime=0))
    click.echo(f"{target}: {len(document['definitions'])} definitions, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
