"""Patches: a body and the content type that says how the server reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
STRATEGIC: Final = "application/strategic-merge-patch+json"


class Patch(msgspec.Struct, frozen=True):
    """A patch ready to be sent."""

    content_type: str
    body: bytes


def merge(document: Mapping[str, Any]) -> Patch:
    """An RFC 7386 merge patch: null removes, lists are replaced as a whole."""
    return Patch(MERGE, msgspec.json.encode(document))


def json(operations: Sequence[Mapping[str, Any]]) -> Patch:
    """An RFC 6902 JSON patch."""
    return Patch(JSON, msgspec.json.encode(operations))


def strategic(document: Mapping[str, Any]) -> Patch:
    """A strategic merge patch, for built-in kinds only; custom resources refuse it with 415."""
    return Patch(STRATEGIC, msgspec.json.encode(document))


def apply(document: Mapping[str, Any]) -> Patch:
    """A server-side apply (KEP-555): the fields the sender wants to own."""
    return Patch(APPLY, msgspec.json.encode(document))
