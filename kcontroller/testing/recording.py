"""Asks a real kube-apiserver what it serves and writes the data that the embedded server is made of.

::

    .venv/bin/python -m kcontroller.testing.recording       # after a new version in testing/binaries.py

What is kept of each group's discovery, OpenAPI and table output is everything but the descriptions; what stays is small
enough to read at every start of the embedded server.
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

if TYPE_CHECKING:
    from kcontroller.testing.control_plane import ApiServer

_TABLE: Final = "application/json;as=Table;g=meta.k8s.io;v=v1"
_REFERENCE: Final = "#/components/schemas/"
# Said of every kind that can be created with options, or of none at all: no use to the embedded server.
_DROPPED: Final = frozenset({"description", "externalDocs", "example", "title"})
_GROUP_PATH: Final = re.compile(r"(api|apis/[^/]+)/v[^/]+")


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
    resources, tables = {}, {}
    for group in groups:
        for version in group["versions"]:
            api_version = f"{group['name']}/{version}".removeprefix("/")
            path = f"/apis/{api_version}" if group["name"] else f"/api/{version}"
            resources[api_version] = [_slim(entry) for entry in _get(server, path)["resources"]]
            for entry in resources[api_version]:
                if "list" in entry["verbs"] and "/" not in entry["name"]:
                    table = _get(server, f"{path}/{entry['name']}?limit=1", accept=_TABLE)
                    tables[f"{api_version}/{entry['name']}"] = table["columnDefinitions"]
    return {
        "version": _get(server, "/version"),
        "groups": groups,
        "resources": resources,
        "tables": tables,
        "definitions": dict(sorted(definitions.items())),
    }


def _get(server: ApiServer, path: str, *, accept: str = "application/json") -> Any:
    status, document = server.request("GET", path, accept=accept)
    if status != 200:  # noqa: PLR2004 - OK
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
    match slim.pop("allOf", None):
        case [{"$ref": str(reference)}]:
            slim["$ref"] = reference
        case None:
            pass
        case other:
            slim["allOf"] = other
    if "$ref" in slim:
        slim["$ref"] = slim["$ref"].removeprefix(_REFERENCE)
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
