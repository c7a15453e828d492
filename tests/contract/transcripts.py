"""What differs between any two runs is named by its order instead: the rest of two transcripts can be compared.

Masked are uids, times near now, versions, continue tokens, generated names, ages in tables, the server's address
and the prefix of its keys in etcd, which is kube-apiserver's default here.
A version becomes its rank among the versions of the case's objects (``v1`` < ``v2``); the version of a list or a
bookmark becomes the newest of these that it includes (``at v2``), since other writers move it as well.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIME: Final = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ADDRESS: Final = re.compile(r"\b127\.0\.0\.1:\d+\b")
_STORAGE: Final = re.compile(r"(?<=Key: )/envtest-\d+/")
_AGE: Final = re.compile(r"\d+s")
_OLDEST: Final = re.compile(r"(?<=too old resource version: )(\d+) \(\d+\)")
_CURRENT: Final = re.compile(r"(?<=, current: )\d+")
_SPOKEN_VERSION: Final = re.compile(r"(?i)(resource ?version[^0-9]{1,40}?)(\d+)\b")
_SUFFIX: Final = r"[bcdfghjklmnpqrstvwxz2456789]{5}\b"
_NEAR: Final = timedelta(days=1)


def normalised(exchanges: list[dict[str, Any]], unrecorded: list[Any], own: str) -> list[dict[str, Any]]:
    """Mask what differs between runs; the same value has the same name throughout.

    Args:
        exchanges: what is masked.
        unrecorded: further bodies that the case saw; their versions may have been asked for.
        own: the case's namespace, a long name that is written as ``<own>`` to keep the record short.
    """
    versions = _Versions(exchanges, unrecorded)
    labels = _Labels()
    prefixes = sorted({text for field, text in _strings(exchanges) if field == "generateName" and text})
    generated = re.compile("|".join(f"(?<={re.escape(prefix)}){_SUFFIX}" for prefix in prefixes)) if prefixes else None

    def text(value: str) -> str:
        value = _UID.sub(lambda found: labels.of("uid", found[0]), value)
        value = _TIME.sub(_masked_time, value)
        value = _OLDEST.sub(r"\1 (<oldest>)", value)
        value = _CURRENT.sub("<current>", value)
        value = _ADDRESS.sub("<server>", value)
        value = _STORAGE.sub("/registry/", value)
        value = _SPOKEN_VERSION.sub(lambda found: found[1] + versions.included(found[2]), value)
        if generated:
            value = generated.sub(lambda found: labels.of("generated", found[0]), value)
        for token in versions.tokens:
            if token in value:
                value = value.replace(token, labels.of("continue", token))
        return value.replace(own, "<own>")

    return [_walked(exchange, text, versions) for exchange in exchanges]


def _walked(node: Any, text: Callable[[str], str], versions: _Versions) -> Any:
    match node:
        case dict():
            # In the order of names, so that labels do not depend on how a server orders its fields.
            return {text(name): _field(node, name, text, versions) for name in sorted(node)}
        case list():
            return [_walked(item, text, versions) for item in node]
        case str():
            return text(node)
        case _:
            return node


def _field(owner: dict[str, Any], name: str, text: Callable[[str], str], versions: _Versions) -> Any:
    value = owner[name]
    if name == "metadata" and isinstance(value, dict) and isinstance(value.get("resourceVersion"), str):
        version = value["resourceVersion"]
        named = versions.included(version) if _is_list(owner) else versions.exact(version)
        return {**_walked({**value, "resourceVersion": ""}, text, versions), "resourceVersion": named}
    if name == "query" and "resourceVersion" in value:
        return _walked({**value, "resourceVersion": versions.included(value["resourceVersion"])}, text, versions)
    if name == "managedFields" and isinstance(value, list):
        # They are sorted by their times first, and whether these differ depends on when a second ends.
        return _walked(sorted(value, key=_manager), text, versions)
    if name == "cells":
        return [
            "<age>" if isinstance(cell, str) and _AGE.fullmatch(cell) else _walked(cell, text, versions)
            for cell in value
        ]
    if name == "object" and owner.get("type") == "BOOKMARK":
        return _walked({**value, "bookmark": True}, text, versions)
    return _walked(value, text, versions)


def _manager(entry: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(entry.get(part, "")) for part in ("operation", "manager", "subresource", "apiVersion"))


def _is_list(document: dict[str, Any]) -> bool:
    """Whether the version is that of a moment, not of one object."""
    return "items" in document or "rows" in document or "bookmark" in document


def _masked_time(found: re.Match[str]) -> str:
    moment = datetime.fromisoformat(found[0][:19]).replace(tzinfo=UTC)
    if abs(datetime.now(UTC) - moment) > _NEAR:
        return found[0]
    return "<time with microseconds>" if found[1] else "<time>"


class _Labels:
    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def of(self, what: str, value: str) -> str:
        if value not in self._known:
            self._counts[what] = self._counts.get(what, 0) + 1
            self._known[value] = f"<{what} {self._counts[what]}>"
        return self._known[value]


class _Versions:
    """The versions and continue tokens that the server gave out."""

    def __init__(self, exchanges: list[dict[str, Any]], unrecorded: list[Any]) -> None:
        recorded = list(_documents(exchanges))
        seen = [*recorded, *_documents(unrecorded)]
        self.tokens = {
            str(document["metadata"]["continue"]) for document in seen if document["metadata"].get("continue")
        }
        exact = {int(_version(document)) for document in recorded if not _is_list(document) and _version(document)}
        self._ranks = {version: rank for rank, version in enumerate(sorted(exact), 1)}
        self._known = {int(_version(document)) for document in seen if _version(document)}

    def exact(self, version: str) -> str:
        return f"v{self._ranks[int(version)]}" if version.isdigit() and int(version) in self._ranks else version

    def included(self, version: str) -> str:
        if not version.isdigit() or int(version) not in self._known:
            return version
        return f"at v{sum(rank <= int(version) for rank in self._ranks)}"


def _documents(node: Any) -> Iterator[dict[str, Any]]:
    """Find everything that has metadata."""
    if isinstance(node, list):
        for item in node:
            yield from _documents(item)
    elif isinstance(node, dict):
        if isinstance(node.get("metadata"), dict):
            yield node
        bookmark = node.get("type") == "BOOKMARK"
        for name, value in node.items():
            yield from _documents({**value, "bookmark": True} if bookmark and name == "object" else value)


def _version(document: dict[str, Any]) -> str:
    version = str(document["metadata"].get("resourceVersion", ""))
    return version if version.isdigit() else ""


def _strings(node: Any, field: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _strings(item, field)
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _strings(value, name)
    elif isinstance(node, str):
        yield field, node
