"""URL paths of resources. A name from outside can never leave its segment.

The checks are those of apimachinery's ``IsValidPathSegmentName``; what passes is percent-encoded as well.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.api.keys import GVK, Key, ResourceMapping

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")
_COLLECTIONS_KEPT: Final = 1024


def segment(text: str, what: str) -> str:
    """Encode one path segment.

    Raises:
        ValueError: it is empty, "." or "..", holds "/" or "%", or a control character.
    """
    if _PLAIN.fullmatch(text):
        return text
    if not text or text in {".", ".."} or any(mark in text for mark in "/%") or not text.isprintable():
        msg = f"{what} {text[:80]!r} cannot be part of a path"
        raise ValueError(msg)
    return quote(text, safe="")


def group_version_path(gvk: GVK) -> str:
    """``/api/v1`` or ``/apis/apps/v1``: where discovery lists the resources of a group and version."""
    version = segment(gvk.version, "version")
    return f"/apis/{segment(gvk.group, 'group')}/{version}" if gvk.group else f"/api/{version}"


@lru_cache(_COLLECTIONS_KEPT)
def collection_path(resource: ResourceMapping, namespace: str = "") -> str:
    """Path of all objects of a resource, in one namespace or (with "") in all.

    Raises:
        ValueError: a namespace for a cluster-scoped resource, or a hostile one.
    """
    plural = segment(resource.plural, "resource")
    if not namespace:
        return f"{group_version_path(resource.gvk)}/{plural}"
    if not resource.namespaced:
        msg = f"{resource} is cluster-scoped, but namespace {namespace!r} was given"
        raise ValueError(msg)
    return f"{group_version_path(resource.gvk)}/namespaces/{segment(namespace, 'namespace')}/{plural}"


def creation_path(resource: ResourceMapping, key: Key) -> str:
    """Path that a new object is posted to.

    Raises:
        ValueError: the namespace is missing or not allowed, or hostile.
    """
    if resource.namespaced and not key.namespace:
        msg = f"{resource} {key.name!r} lives in a namespace, but none was given"
        raise ValueError(msg)
    return collection_path(resource, key.namespace)


def object_path(resource: ResourceMapping, key: Key, subresource: str = "") -> str:
    """Path of one object, or of a subresource of it such as ``status``.

    Raises:
        ValueError: the namespace is missing or not allowed, or a part is hostile.
    """
    path = f"{creation_path(resource, key)}/{segment(key.name, 'name')}"
    for part in subresource.split("/") if subresource else ():
        path += f"/{segment(part, 'subresource')}" if part else ""
    return path


def with_query(path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """Append the parameters that are not empty."""
    pairs = "&".join(
        [f"{name}={value if _PLAIN.fullmatch(value) else quote(value, safe='')}" for name, value in parameters if value]
    )
    return f"{path}?{pairs}" if pairs else path
