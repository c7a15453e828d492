"""What clients are told is served: the discovery documents, plain and aggregated, and the version.

Documents are kept as bytes until the catalog changes, one for each set of kinds that a control plane shows.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded.kinds import ALL_VERBS
from kcontroller.embedded.views.representation import clauses, negotiate, to_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kcontroller.embedded.kinds import Catalog, Kind, Subresource
    from kcontroller.embedded.recorded import Recorded

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The media type of aggregated discovery; the only answers that have an ETag."""

_GENERIC: Final = frozenset({"application/json", "application/yaml", "*/*", "application/*"})
_CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES: Final = {"alpha": 0, "beta": 1, None: 2}
_LAST: Final = 0x10FFFF
_KEPT: Final = 64

_encode: Final = msgspec.json.Encoder().encode


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Give the key that sorts versions as Kubernetes does, the best last: v1alpha1, v1beta2, v1, v2.

    What is no such version comes before all that are, so that they are shown last and by the alphabet.
    """
    found = _VERSION.fullmatch(version)
    if not found:
        return (-1, 0, 0, "".join(chr(_LAST - ord(sign)) for sign in version) + chr(_LAST))
    return (_STAGES[found[2]], int(found[1]), int(found[3] or 0), "")


def etag(body: bytes) -> str:
    """Give the ETag of an aggregated document."""
    return f'"{hashlib.sha512(body).hexdigest().upper()}"'


class Discovery:
    """The answers below ``/api`` and ``/apis`` that are no resources, and ``/version``.

    Args:
        catalog: what is served.
        recorded: for the version.
        address: host and port that ``/api`` tells clients; they do not use it.
    """

    def __init__(self, catalog: Catalog, recorded: Recorded, *, address: str = "127.0.0.1:443") -> None:
        self._catalog = catalog
        self._version = _encode(recorded.version)
        self._address = address
        self._generation = -1
        self._kept: dict[tuple[str, str, tuple[Kind, ...]], bytes | None] = {}

    def answer(self, path: str, accept: str, visible: Callable[[Kind], bool]) -> tuple[bytes, str] | None:
        """Answer a GET; None if the path is no discovery document.

        Args:
            path: below the control plane.
            accept: the header.
            visible: which kinds this control plane shows.

        Raises:
            Refusal: 406.
        """
        path = path.rstrip("/")
        parts = path.split("/")[1:]
        if path == "/version":
            return self._version, "application/json"
        if not parts or parts[0] not in {"api", "apis"} or len(parts) > (2 if parts[0] == "api" else 3):
            return None
        aggregated = len(parts) == 1 and _wants_aggregated(accept)
        content_type = AGGREGATED if aggregated else negotiate(accept).content_type
        body = self._document(path, content_type, tuple(kind for kind in self._catalog if visible(kind)))
        return None if body is None else (body, content_type)

    def _document(self, path: str, content_type: str, kinds: tuple[Kind, ...]) -> bytes | None:
        if self._generation != self._catalog.generation or len(self._kept) > _KEPT:
            self._kept.clear()
            self._generation = self._catalog.generation
        at = (path, content_type, kinds)
        if at not in self._kept:
            document = self._make(path, kinds, aggregated=content_type == AGGREGATED)
            body = None if document is None else _encode(document) + b"\n"
            self._kept[at] = to_yaml(body) if body and content_type == "application/yaml" else body
        return self._kept[at]

    def _make(self, path: str, kinds: tuple[Kind, ...], *, aggregated: bool) -> dict[str, Any] | None:
        groups = [group for group in self._catalog.groups() if any(kind.group == group for kind in kinds)]
        document: dict[str, Any] | None = None
        match path.split("/")[1:]:
            case ["api"] if aggregated:
                document = _aggregated([_aggregated_group("", kinds)] if "" in groups else [])
            case ["apis"] if aggregated:
                document = _aggregated([_aggregated_group(group, kinds) for group in groups if group])
            case ["api"]:
                address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}
                document = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}
            case ["apis"]:
                listed = [_group(group, kinds) for group in groups if group]
                document = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
            case ["apis", group] if group and group in groups:
                document = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, kinds)}
            case ["api", version]:
                document = _resources("", version, kinds)
            case ["apis", group, version] if group:
                document = _resources(group, version, kinds)
        return document


def _wants_aggregated(accept: str) -> bool:
    """Whether aggregated discovery comes before everything else that can be had."""
    for media, options in clauses(accept):
        if media == "application/json" and options.get("as") == "APIGroupDiscoveryList":
            if (options.get("g"), options.get("v")) == ("apidiscovery.k8s.io", "v2"):
                return True
        elif media in _GENERIC and "as" not in options:
            return False
    return False


def _versions(group: str, kinds: Iterable[Kind]) -> list[str]:
    found = {kind.version for kind in kinds if kind.group == group}
    return sorted(found, key=version_priority, reverse=True)


def _of(group: str, version: str, kinds: Iterable[Kind]) -> list[Kind]:
    found = [kind for kind in kinds if kind.group == group and kind.version == version]
    # Built-in kinds are recorded in their order; custom ones come in the order of creation and are shown by name.
    return [kind for kind in found if kind.builtin] + sorted(
        (kind for kind in found if not kind.builtin), key=lambda kind: kind.plural
    )


def _group(group: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in _versions(group, kinds)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str, kinds: Iterable[Kind]) -> dict[str, Any] | None:
    found = _of(group, version, kinds)
    if not found:
        return None
    listed = [entry for kind in found for entry in _entries(kind)]
    head = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {"kind": "APIResourceList"}
    return {**head, "groupVersion": f"{group}/{version}".removeprefix("/"), "resources": listed}


def _entries(kind: Kind) -> Iterator[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    entry |= _names(kind)
    if "list" in kind.verbs and kind.plural != "componentstatuses":
        entry["storageVersionHash"] = _storage_hash(kind)
    yield entry
    for name, subresource in kind.subresources.items():
        entry = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
        if not _is_own(kind, subresource):
            entry |= {"group": subresource.group, "version": subresource.version}
        yield {**entry, "kind": subresource.kind, "verbs": list(subresource.verbs)}


def _storage_hash(kind: Kind) -> str:
    stored = f"{kind.group}/{kind.storage_version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _verbs(kind: Kind) -> list[str]:
    return list(kind.verbs if kind.builtin or set(kind.verbs) != set(ALL_VERBS) else _CUSTOM_VERBS)


def _names(kind: Kind) -> dict[str, Any]:
    names = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {field: value for field, value in names.items() if value}


def _is_own(kind: Kind, subresource: Subresource) -> bool:
    return (subresource.group, subresource.version) == (kind.group, kind.version)


def _aggregated(items: list[dict[str, Any]]) -> dict[str, Any]:
    head = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}}
    return {**head, "items": items}


def _aggregated_group(group: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    kinds = tuple(kinds)
    versions = [
        {
            "version": version,
            "resources": [_aggregated_resource(kind) for kind in _of(group, version, kinds)],
            "freshness": "Current",
        }
        for version in _versions(group, kinds)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind, kind.kind, kind.group, kind.version),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
        **_names(kind),
    }
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": name,
                "responseKind": _response_kind(kind, one.kind, one.group, one.version),
                "verbs": list(one.verbs),
            }
            for name, one in kind.subresources.items()
        ]
    return resource


def _response_kind(of: Kind, kind: str, group: str, version: str) -> dict[str, str]:
    if of.builtin and (group, version) == (of.group, of.version):  # Built-in kinds name only what is not their own.
        group = version = ""
    return {"group": group, "version": version, "kind": kind}
