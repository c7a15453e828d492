"""The refusals of the API: a ``Status`` with code, reason, message and details, worded as kube-apiserver words it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kcontroller.embedded.kinds import Kind

_MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one field was refused; `reason` is a CauseType of apimachinery such as ``FieldValueInvalid``."""

    reason: str
    message: str
    field: str


class Refusal(Exception):
    """An answer that is a ``Status`` of failure.

    Args:
        code: the HTTP status.
        reason: the StatusReason of apimachinery, such as ``NotFound``.
        message: what people read.
        details: name, group, kind, causes, as the API gives them.
        metadata: the ListMeta of the Status; carries the continue token of an expired list.
        headers: further headers of the answer, such as ``Retry-After``.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata or {}
        self.headers = headers or {}
        self.warnings: tuple[str, ...] = ()
        """For the ``Warning`` header: what was seen in the body before it was refused."""

    def document(self) -> dict[str, Any]:
        """Write the Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": dict(self.metadata),
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if not self.reason:
            del status["reason"]
        if self.details is not None:
            status["details"] = dict(self.details)
        return {**status, "code": self.code}


def _details(kind: Kind, name: str, **more: Any) -> dict[str, Any]:
    details = {"name": name, "group": kind.group, "kind": kind.plural, **more}
    return {field: value for field, value in details.items() if value not in ("", None)}


def bad_request(message: str) -> Refusal:
    """400: the request cannot be understood."""
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    """401: no credential, or one that nobody knows."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, name: str, why: str) -> Refusal:
    """403: admission or authorization says no."""
    message = f'{kind.resource} "{name}" is forbidden: {why}' if name else f"{kind.resource} is forbidden: {why}"
    return Refusal(403, "Forbidden", message, details=_details(kind, name))


def not_found(kind: Kind, name: str) -> Refusal:
    """404: no object of that name."""
    return Refusal(404, "NotFound", f'{kind.resource} "{name}" not found', details=_details(kind, name))


def not_served() -> Refusal:
    """404: no such resource."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})


def not_supported(kind: Kind, verb: str) -> Refusal:
    """405: the resource does not have that verb, said by the storage of custom resources."""
    message = f'{verb} is not supported on resources of kind "{kind.resource}"'
    return Refusal(405, "MethodNotAllowed", message, details=_details(kind, ""))


def method_not_allowed() -> Refusal:
    """405: the resource does not have that verb."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, details={})


def already_exists(kind: Kind, name: str, *, going: bool = False, generated: bool = False) -> Refusal:
    """409: a create for a name that is taken, be it by an object that is going.

    With a generateName the server takes the name for one that it made itself, and asks to try again.
    """
    start = "object is being deleted: " if going else ""
    message = f'{start}{kind.resource} "{name}" already exists'
    if generated:
        message = f"{message}, the server was not able to generate a unique name for the object"
        details = _details(kind, name, retryAfterSeconds=1)
        return Refusal(409, "AlreadyExists", message, details=details, headers={"Retry-After": "1"})
    return Refusal(409, "AlreadyExists", message, details=_details(kind, name))


def conflict(kind: Kind, name: str, why: str = _MODIFIED, *, called: str = "") -> Refusal:
    """409: the write was made for another version, uid or state of the object; `called` stands for the plural."""
    called = called or kind.plural
    qualified = f"{called}.{kind.group}" if kind.group else called
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return Refusal(409, "Conflict", message, details={**_details(kind, name), "kind": called})


def expired(message: str, *, continue_token: str = "") -> Refusal:
    """410: the version asked for is no longer kept."""
    metadata = {"continue": continue_token} if continue_token else {}
    return Refusal(410, "Expired", message, metadata=metadata)


def too_old(version: int, oldest: int) -> Refusal:
    """410: a watch from before the window."""
    return expired(f"too old resource version: {version} ({oldest})")


def invalid(kind: Kind, name: str, causes: Iterable[Cause], *, called: str = "") -> Refusal:
    """422: fields were refused; the message joins them as apimachinery's aggregate does.

    `called` stands for the kind where the server names it otherwise: by its plural, or as the client did. The group
    is that of what is stored: its validation speaks.
    """
    causes = tuple(causes)
    called = called or kind.kind
    lines = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    said = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    qualified = f"{called}.{kind.storage_group}" if kind.storage_group else called
    details = {
        "name": name,
        "group": kind.storage_group,
        "kind": called,
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    }
    details = {field: value for field, value in details.items() if value}
    return Refusal(422, "Invalid", f'{qualified} "{name}" is invalid: {said}', details=details)


def too_many_requests(message: str, *, retry_after: int) -> Refusal:
    """429 with ``Retry-After``, in seconds."""
    headers = {"Retry-After": str(retry_after)}
    return Refusal(429, "TooManyRequests", message, details={"retryAfterSeconds": retry_after}, headers=headers)


def internal_error(message: str) -> Refusal:
    """500: the server's own fault."""
    return Refusal(500, "InternalError", f"Internal error occurred: {message}")
