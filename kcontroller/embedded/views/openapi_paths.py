"""The ``paths`` of the OpenAPI documents: which operations a kind has, with their parameters and media types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kcontroller.embedded.kinds import Kind

    Name = Callable[[str, str, str], str]

_V3: Final = "#/components/schemas/"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PATCHES: Final = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_ANSWERS: Final = ("application/json", "application/yaml")
# verb: method, the action it is known by, and whether it is said of the collection.
_COLLECTION: Final = {
    "list": ("get", "list"),
    "create": ("post", "post"),
    "deletecollection": ("delete", "deletecollection"),
}
_OBJECT: Final = {
    "get": ("get", "get"),
    "create": ("post", "post"),
    "update": ("put", "put"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
}
_STRING_QUERIES: Final = {
    "list": ("continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch"),
    "deletecollection": ("continue", "dryRun", "fieldSelector", "labelSelector", "propagationPolicy"),
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation"),
    "delete": ("dryRun", "propagationPolicy"),
}
_OTHER_QUERIES: Final = {
    "list": {
        "allowWatchBookmarks": "boolean",
        "limit": "integer",
        "sendInitialEvents": "boolean",
        "timeoutSeconds": "integer",
        "watch": "boolean",
    },
    "deletecollection": {"gracePeriodSeconds": "integer", "limit": "integer"},
    "patch": {"force": "boolean"},
    "delete": {"gracePeriodSeconds": "integer"},
}


def paths_of(kinds: Iterable[Kind], name: Name, prefix: str) -> dict[str, Any]:
    """Write the paths of kinds.

    Args:
        kinds: what is served.
        name: gives the name of the schema of a group, version and kind.
        prefix: of references to schemas; tells version 3 from version 2.
    """
    return {path: item for kind in kinds for path, item in _paths(kind, name, prefix)}


def _paths(kind: Kind, name: Name, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    inside = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    writer = _Writer(kind, name, prefix)
    yield inside, writer.item(_COLLECTION, kind.verbs, _named(inside, prefix))
    if kind.namespaced and "list" in kind.verbs:
        yield f"{root}/{kind.plural}", writer.item(_COLLECTION, ("list",), [])
    one = f"{inside}/{{name}}"
    if {"get", "update", "patch", "delete"} & set(kind.verbs):
        yield one, writer.item({v: o for v, o in _OBJECT.items() if v != "create"}, kind.verbs, _named(one, prefix))
    for sub, about in kind.subresources.items():
        path = f"{one}/{sub}"
        writer = _Writer(kind, name, prefix, (about.group, about.version, about.kind))
        yield path, writer.item(_OBJECT, about.verbs, _named(path, prefix))


def _named(path: str, prefix: str) -> list[dict[str, Any]]:
    return [
        {"name": part, "in": "path", "required": True, **_typed("string", prefix)}
        for part in ("name", "namespace")
        if f"{{{part}}}" in path
    ]


def _typed(kind: str, prefix: str) -> dict[str, Any]:
    typed = {"type": kind, "uniqueItems": True}
    return {"schema": typed} if prefix == _V3 else typed


class _Writer:
    """Writes the operations of one kind, or of one of its subresources."""

    def __init__(self, kind: Kind, name: Name, prefix: str, of: tuple[str, str, str] | None = None) -> None:
        group, version, shown = of or (kind.group, kind.version, kind.kind)
        self._gvk = {"group": group, "version": version, "kind": shown}
        self._schema = name(group, version, shown)
        self._list = name(kind.group, kind.version, kind.list_name) if kind.builtin else f"{self._schema}List"
        self._prefix = prefix
        self._patches = (*_PATCHES, _STRATEGIC) if kind.builtin else _PATCHES
        self._known = of is None or not shown.endswith("Options")

    def item(
        self, operations: dict[str, tuple[str, str]], verbs: Iterable[str], parameters: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Write the operations of a path for the verbs that there are."""
        verbs = set(verbs)
        written: dict[str, Any] = {
            method: self._operation(action) for verb, (method, action) in operations.items() if verb in verbs
        }
        return {**written, "parameters": parameters} if parameters else written

    def _operation(self, action: str) -> dict[str, Any]:
        answered = self._list if action == "list" else f"{_META}Status" if "delete" in action else self._schema
        queries = dict.fromkeys(_STRING_QUERIES.get(action, ()), "string") | _OTHER_QUERIES.get(action, {})
        parameters = [
            {"name": query, "in": "query", **_typed(kind, self._prefix)} for query, kind in sorted(queries.items())
        ]
        operation: dict[str, Any] = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": self._gvk}
        body, taken = self._body(action)
        if self._prefix == _V3:
            operation["responses"] = {"200": {"description": "OK", "content": self._content(_ANSWERS, answered)}}
            if body:
                operation["requestBody"] = {"content": self._content(taken, body)}
        else:
            operation |= {"produces": list(_ANSWERS), "consumes": list(taken)}
            operation["responses"] = {"200": {"description": "OK", **self._referred(answered)}}
            if body:
                parameters.append({"name": "body", "in": "body", **self._referred(body)})
        return {**operation, "parameters": parameters} if parameters else operation

    def _body(self, action: str) -> tuple[str, tuple[str, ...]]:
        match action:
            case "patch":
                return f"{_META}Patch", self._patches
            case "post" | "put":
                return self._schema, ("*/*",)
            case "delete" | "deletecollection":
                return f"{_META}DeleteOptions", ("*/*",)
            case _:
                return "", ("*/*",)

    def _content(self, media: Iterable[str], schema: str) -> dict[str, Any]:
        return dict.fromkeys(media, self._referred(schema))

    def _referred(self, schema: str) -> dict[str, Any]:
        # The options of exec, proxy and others are queries, which have no schema.
        return {"schema": {"$ref": f"{self._prefix}{schema}"} if self._known else {"type": "string"}}
