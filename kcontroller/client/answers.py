"""What an API server's answers say: errors, lists and discovery documents, decoded without I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.api.objects import without_none
from kcontroller.errors import ApiError, error_type

if TYPE_CHECKING:
    from collections.abc import Mapping


SUCCESS: Final = range(200, 300)
"""The statuses whose body is the answer; the API server redirects nobody."""


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] | None = None
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[msgspec.Raw] | None = None


class _ApiResource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False
    group: str | None = None
    version: str | None = None


class _ApiResourceList(msgspec.Struct, rename="camel"):
    group_version: str = ""
    resources: list[_ApiResource] | None = None


_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_decode_list = msgspec.json.Decoder(_List).decode
msgspec.json.Decoder(_Status)  # Learnt now, and not by two threads at once; see `api.codec`.
_decode_resources = msgspec.json.Decoder(_ApiResourceList).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def api_error(
    status: int, body: bytes, *, verb: str, resource: str, headers: Mapping[str, str] | None = None
) -> ApiError:
    """Make the exception for an answer that is no success; a body that is no Status becomes its text, on one line."""
    parsed = _status_of(body)
    details = parsed.details or _Details()
    retry_after = (headers or {}).get("retry-after", "")
    seconds = float(retry_after) if _SECONDS.fullmatch(retry_after) else details.retry_after_seconds
    causes = tuple(cause.reason for cause in details.causes or ())
    return error_type(status, parsed.reason, causes)(
        " ".join(parsed.message.split()),
        status=status,
        reason=parsed.reason,
        verb=verb,
        resource=resource,
        retry_after=seconds,
        causes=causes,
    )


def status_error(raw: bytes, *, verb: str, resource: str) -> ApiError:
    """Make the exception for a Status object that came as an ERROR event of a watch; its own code counts."""
    return api_error(_status_of(raw).code or 500, raw, verb=verb, resource=resource)


def _status_of(body: bytes) -> _Status:
    try:
        return msgspec.convert(without_none(_decode_any(body)), _Status)
    except (ValueError, RecursionError):  # Not only a DecodeError: invalid UTF-8 and deep nesting have their own.
        return _Status(message=body[:256].decode("utf-8", "replace"))


def list_page(body: bytes) -> tuple[str, str, list[msgspec.Raw]]:
    """Split a list into (resourceVersion, continue token, items); the items are views into `body`.

    Raises:
        msgspec.DecodeError: the body is not a list.
    """
    page = _decode_list(body)
    return page.metadata.resource_version, page.metadata.continue_ or "", page.items or []


def stamped(raw: bytes | msgspec.Raw, gvk: GVK) -> bytes:
    """Copy an item and give it apiVersion and kind, which the items of a built-in kind's list lack."""
    members: dict[str, Any] = _decode_members(raw)
    if "kind" in members and "apiVersion" in members:
        return bytes(raw)
    head = {"apiVersion": gvk.api_version, "kind": gvk.kind}
    return msgspec.json.encode(head | members)


def mapping_in(body: bytes, gvk: GVK) -> ResourceMapping | None:
    """Find a kind in the discovery document of its group and version; None if the server does not serve it.

    Raises:
        msgspec.DecodeError: the body is not an APIResourceList.
    """
    for resource in _decode_resources(body).resources or ():
        if resource.kind == gvk.kind and "/" not in resource.name:
            return ResourceMapping(gvk, resource.name, resource.namespaced)
    return None
