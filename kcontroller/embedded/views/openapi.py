"""The OpenAPI documents, version 3 for each group and version, version 2 for everything, made of the kinds' schemas.

They hold what kubectl explain, apply, create and validation read: every schema with its extensions, and for each path
the operations with their kind, action, parameters and media types. Built-in types have no descriptions, as none are
recorded. Only JSON is offered; a client that accepts nothing but protobuf gets 406.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views import openapi_protobuf
from kcontroller.embedded.views.openapi_paths import paths_of
from kcontroller.embedded.views.representation import clauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kcontroller.embedded.kinds import Catalog, Kind
    from kcontroller.embedded.recorded import Recorded

_V3: Final = "#/components/schemas/"
_V2: Final = "#/definitions/"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SHARED: Final = tuple(f"{_META}{name}" for name in ("DeleteOptions", "ListMeta", "ObjectMeta", "Patch", "Status"))
_SCALE: Final = "io.k8s.api.autoscaling.v1.Scale"
_ACCEPTED: Final = frozenset({"application/json", "*/*", "application/*"})
_V3_ONLY: Final = frozenset({"default", "nullable", "oneOf", "anyOf", "allOf", "not"})
_KEPT: Final = 256
# In version 2 these are strings, whatever else may stand there.
_STRINGS: Final = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
}

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class OpenApi:
    """The answers below ``/openapi``.

    Args:
        catalog: what is served.
        recorded: the built-in types and the version.
    """

    def __init__(self, catalog: Catalog, recorded: Recorded) -> None:
        self._catalog = catalog
        self._definitions = recorded.definitions
        self._release = recorded.version.get("gitVersion", "")
        self._names = {
            (of["group"], of["version"], of["kind"]): name
            for name, definition in recorded.definitions.items()
            for of in definition.get("x-kubernetes-group-version-kind", ())
        }
        # Kinds are compared by identity and never change: a document holds as long as its kinds are the same ones.
        self._kept: dict[tuple[str, tuple[Kind, ...]], bytes] = {}

    def answer(self, path: str, accept: str, visible: Callable[[Kind], bool]) -> tuple[bytes, str] | None:
        """Answer a GET; None if there is no document.

        Args:
            path: below the control plane.
            accept: the header.
            visible: which kinds this control plane shows.

        Raises:
            Refusal: 406 if the client does not accept JSON.
        """
        path = path.rstrip("/")
        kinds = tuple(kind for kind in self._catalog if visible(kind))
        match path.split("/")[1:]:
            case ["openapi", "v3"]:
                body = self._keep("", kinds, lambda: self._index(kinds))
                return body, "text/plain; charset=utf-8"
            case ["openapi", "v3", *place] if place:
                at = "/".join(place)
                kinds = tuple(kind for kind in kinds if _place(kind) == at)
                if not kinds:
                    return None
                body = self._keep(at, kinds, lambda: self._version_3(kinds))
            case ["openapi", "v2"] if any(media == openapi_protobuf.ACCEPTED for media, _ in clauses(accept)):
                # kubectl reads version 2 in this form alone.
                encoded = self._keep("v2 as protobuf", kinds, lambda: openapi_protobuf.encode(self._version_2(kinds)))
                return encoded, openapi_protobuf.MEDIA_TYPE
            case ["openapi", "v2"]:
                body = self._keep("v2", kinds, lambda: _encode(self._version_2(kinds)))
            case _:
                return None
        if accept and not any(media in _ACCEPTED for media, _ in clauses(accept)):
            raise Refusal(406, "NotAcceptable", "only the following media types are accepted: application/json")
        return body, "application/json"

    def _keep(self, at: str, kinds: tuple[Kind, ...], make: Callable[[], bytes]) -> bytes:
        if len(self._kept) > _KEPT:
            self._kept.clear()
        body = self._kept.get((at, kinds))
        if body is None:
            body = self._kept[at, kinds] = make()
        return body

    def _index(self, kinds: tuple[Kind, ...]) -> bytes:
        places: dict[str, list[Kind]] = {}
        for kind in kinds:
            places.setdefault(_place(kind), []).append(kind)
        urls = {
            at: {"serverRelativeURL": f"/openapi/v3/{at}?hash={self._hash(found)}"}
            for at, found in sorted(places.items())
        }
        return _encode({"paths": urls})

    def _hash(self, kinds: Iterable[Kind]) -> str:
        # Made of what the document is made of, so that no document need be made for its hash.
        told = hashlib.sha512(self._release.encode())
        for kind in kinds:
            own = b"" if kind.builtin else _encode(kind.schema.node)
            told.update(f"{kind.api_version} {kind.plural} {kind.kind} {','.join(kind.subresources)}".encode() + own)
        return told.hexdigest().upper()

    def _version_3(self, kinds: tuple[Kind, ...]) -> bytes:
        schemas = {name: _reference(schema, _V3) for name, schema in self._schemas(kinds).items()}
        return _encode(
            {
                "openapi": "3.0.0",
                "info": {"title": "Kubernetes", "version": self._release},
                "paths": paths_of(kinds, self._definition, _V3),
                "components": {"schemas": schemas},
            }
        )

    def _version_2(self, kinds: tuple[Kind, ...]) -> dict[str, Any]:
        schemas = {name: _STRINGS.get(name) or _reference(schema, _V2) for name, schema in self._schemas(kinds).items()}
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self._release},
            "paths": paths_of(kinds, self._definition, _V2),
            "definitions": schemas,
        }

    def _definition(self, group: str, version: str, kind: str) -> str:
        """Name the schema of a kind."""
        return self._names.get((group, version, kind)) or custom_name(group, version, kind)

    def _schemas(self, kinds: Iterable[Kind]) -> dict[str, Any]:
        """Collect the schemas of kinds, of their lists and of all that these refer to."""
        found: dict[str, Any] = {}
        wanted = list(_SHARED)
        for kind in kinds:
            name = self._definition(kind.group, kind.version, kind.kind)
            wanted += [
                self._names[key]
                for one in kind.subresources.values()
                if (key := (one.group, one.version, one.kind)) in self._names
            ]
            if kind.builtin:
                listed = self._names.get((kind.group, kind.version, kind.list_name))
                wanted += [name, listed] if listed else [name]
            else:
                found[name] = _custom_schema(kind)
                found[f"{name}List"] = _custom_list(kind, name)
        while wanted:
            name = wanted.pop()
            if name not in found:
                found[name] = self._definitions[name]
                wanted += _references(found[name])
        return found


def custom_name(group: str, version: str, kind: str) -> str:
    """Name the schema of a custom resource: ``com.example.v1.Widget``."""
    return ".".join([*reversed(group.split(".")), version, kind])


def _place(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _custom_schema(kind: Kind) -> dict[str, Any]:
    node = kind.schema.node
    head = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"{_META}ObjectMeta"},
    }
    return {
        **node,
        "properties": {**node.get("properties", {}), **head},
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.kind)],
    }


def _custom_list(kind: Kind, name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": f"{_META}ListMeta"},
            "items": {"type": "array", "items": {"$ref": name}},
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.list_name)],
    }


def _gvk(kind: Kind, name: str) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": name}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def _reference(node: Any, prefix: str) -> Any:
    """Write references as this version of OpenAPI has them, and leave out what it has not."""
    if isinstance(node, list):
        return [_reference(item, prefix) for item in node]
    if not isinstance(node, dict):
        return node
    written = {
        field: {name: _reference(inner, prefix) for name, inner in value.items()}
        if field == "properties"
        else _reference(value, prefix)
        for field, value in node.items()
        if field != "default" and not (prefix == _V2 and field in _V3_ONLY)
    }
    if prefix == _V3 and "default" in node:
        written["default"] = node["default"]
    name = written.pop("$ref", None)
    if not isinstance(name, str):
        return written
    # Defaults of one place are recorded as properties beside the reference; only the type is of interest to clients.
    written.pop("properties", None)
    link = {"$ref": f"{prefix}{name}"}
    return {**written, "allOf": [link]} if written and prefix == _V3 else {**written, **link}
