"""CustomResourceDefinitions for tests: installed from files or documents, or made from a model."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import yaml

from kcontroller.api.objects import Object
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from typing import TypeAlias

    from kcontroller.api.models import Resource

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # A CRD takes 12 ms without libyaml.
_KIND: Final = "CustomResourceDefinition"
_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ENDINGS: Final = frozenset({".yaml", ".yml", ".json"})
_OK: Final = 200
_CREATED: Final = 201
_CONFLICT: Final = 409

Document: TypeAlias = "Mapping[str, Any] | Object"
Source: TypeAlias = "str | Path | Document | type[Resource[Any, Any]] | Iterable[str | Path | Document | type]"
"""A file, a folder, a document, a `Resource` class, or several of them."""


class Asks(Protocol):
    """A server that can be asked: the embedded one, or an `ApiServer` of a `ControlPlane`."""

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the decoded answer."""
        ...


def install_crds(server: Asks, *sources: Source, within: float = 10.0) -> tuple[str, ...]:
    """Create CustomResourceDefinitions, or replace those that are there, and wait until all are served.

    Args:
        server: the embedded server, or one of a `ControlPlane`.
        sources: files, folders (every YAML and JSON file in them and below), documents, or `Resource` classes, for
            which `open_crd` makes one. Other kinds of objects in a file are passed over.
        within: seconds.

    Returns:
        Their names.

    Raises:
        ValueError: there is no CustomResourceDefinition in a source, or the server refuses one; the text says why.
        FileNotFoundError: there is no such file or folder.
        AssertionError: one was not served in time.
    """
    __tracebackhide__ = True
    documents = [document for source in sources for document in _documents(source)]
    for document in documents:
        _put(server, document)
    for document in documents:
        _wait_until_served(server, document, within)
    return tuple(document["metadata"]["name"] for document in documents)


def open_crd(kind: type[Resource[Any, Any]]) -> dict[str, Any]:
    """Make the definition of a `Resource` class, with a status subresource.

    The schema is open: any spec and status are stored as they are, nothing is validated or defaulted.
    """
    mapping = kind.resource
    gvk = mapping.gvk
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": _KIND,
        "metadata": {"name": f"{mapping.plural}.{gvk.group}"},
        "spec": {
            "group": gvk.group,
            "scope": "Namespaced" if mapping.namespaced else "Cluster",
            "names": {
                "plural": mapping.plural,
                "singular": gvk.kind.lower(),
                "kind": gvk.kind,
                "listKind": f"{gvk.kind}List",
            },
            "versions": [
                {
                    "name": gvk.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}
                    },
                }
            ],
        },
    }


def _documents(source: Any) -> list[dict[str, Any]]:
    if isinstance(source, str | Path):
        found = [each for each in _read(Path(source)) if each.get("kind") == _KIND]
    elif isinstance(source, type):
        return [open_crd(source)]
    elif isinstance(source, Object):
        found = [source.data]
    elif isinstance(source, Mapping):
        found = [dict(source)]
    else:
        return [document for each in source for document in _documents(each)]
    if not found or any(each.get("kind") != _KIND for each in found):
        where = f"{source}" if isinstance(source, str | Path) else f"a {found[0].get('kind')}"
        msg = f"no {_KIND} in {where}"
        raise ValueError(msg)
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        msg = f"no file or folder {path}"
        raise FileNotFoundError(msg)
    files = sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS) if path.is_dir() else [path]
    found = [document for file in files for document in _parsed(file, file.stat().st_mtime_ns)]
    return [copy.deepcopy(document) for document in found if isinstance(document, dict)]


@lru_cache(maxsize=64)
def _parsed(file: Path, _changed: int) -> list[Any]:
    # Every test installs the same few files, and YAML is slow to read.
    try:
        return list(yaml.load_all(file.read_text(encoding="utf-8"), Loader=_LOADER))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{file} is no YAML: {error}"
        raise ValueError(msg) from None


def _put(server: Asks, document: dict[str, Any]) -> None:
    status, answer = server.request("POST", _PATH, document)
    if status == _CONFLICT:
        path = f"{_PATH}/{document['metadata']['name']}"
        _status, there = server.request("GET", path)
        version = there["metadata"]["resourceVersion"]
        replacement = {**document, "metadata": {**document["metadata"], "resourceVersion": version}}
        status, answer = server.request("PUT", path, replacement)
    if status not in {_OK, _CREATED}:
        why = answer.get("message", answer) if isinstance(answer, dict) else answer
        msg = f"the server refuses {document.get('metadata', {}).get('name')}: {status} {why}"
        raise ValueError(msg)


def _wait_until_served(server: Asks, document: dict[str, Any], within: float) -> None:
    spec = document["spec"]
    versions = [version["name"] for version in spec["versions"] if version.get("served")]

    def served() -> None:
        for version in versions:
            path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
            status, _answer = server.request("GET", f"{path}?limit=1")
            assert status == _OK, f"GET {path} answers {status}"  # noqa: S101 - what `eventually` waits for
            status, found = server.request("GET", f"/apis/{spec['group']}/{version}")
            assert status == _OK, f"discovery of {spec['group']}/{version} answers {status}"  # noqa: S101
            named = [each["kind"] for each in found["resources"]]
            assert spec["names"]["kind"] in named, f"discovery names {named}"  # noqa: S101

    eventually(served, within)
