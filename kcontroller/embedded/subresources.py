"""Creates that are no objects of their own: a Pod's binding and eviction, and a service account's token."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.embedded import bodies, deletion, statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.store import Stored

_SUCCESS: Final = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
_AUDIENCE: Final = "https://kubernetes.default.svc"
_AN_HOUR: Final = 3600
_TEN_MINUTES: Final = 600


def create(backend: Backend, call: Call, body: bytes, content_type: str) -> dict[str, Any]:
    """Answer a POST to a subresource; returns the document of the answer.

    Raises:
        Refusal: 404 where the subresource takes no POST or the object is not there, 400 for a body of another kind.
    """
    rule = _RULES.get((call.kind.storage, call.subresource))
    if rule is None:
        raise statuses.method_not_allowed()
    document = bodies.decode(body, content_type)
    wanted = call.kind.subresources[call.subresource].kind
    stated = document.get("kind") or wanted
    if stated != wanted:
        version = str(document.get("apiVersion") or call.kind.version).rpartition("/")[2]
        start = f'{stated} in version "{version}" cannot be handled as a {wanted}'
        raise statuses.bad_request(f"{start}: converting ({version}.{stated}) to ({wanted}): unknown conversion")
    stored = backend.find(call.plane, call.kind, Key(call.namespace, call.name))
    if stored is None:
        raise statuses.not_found(call.kind, call.name)
    return rule(backend, call, stored, document)


def _bind(backend: Backend, call: Call, stored: Stored, binding: dict[str, Any]) -> dict[str, Any]:
    target = binding.get("target") or {}
    if not target.get("name"):
        raise statuses.Refusal(500, "", "target.name: Required value")
    document = stored.document()
    node = document["spec"].get("nodeName")
    if node:
        raise statuses.conflict(
            call.kind, call.name, f'pod {call.name} is already assigned to node "{node}"', called="pods/binding"
        )
    document["spec"]["nodeName"] = target["name"]
    conditions = document.setdefault("status", {}).setdefault("conditions", [])
    now = backend.timestamp()
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    conditions[:] = [*(each for each in conditions if each.get("type") != "PodScheduled"), scheduled]
    if not call.dry_run:
        backend.store.put(call.plane, call.kind.storage, document)
    return {**_SUCCESS, "code": 201}


def _evict(backend: Backend, call: Call, stored: Stored, eviction: dict[str, Any]) -> dict[str, Any]:
    chosen = deletion.Options.of(call, eviction.get("deleteOptions"))
    deletion.delete(backend, call, stored, chosen)
    return {**_SUCCESS, "code": 201}


def _token(backend: Backend, call: Call, stored: Stored, request: dict[str, Any]) -> dict[str, Any]:
    """Make a token that reads like one; the server itself knows only its users' own tokens."""
    spec = request.get("spec") or {}
    seconds = spec.get("expirationSeconds") or _AN_HOUR
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < _TEN_MINUTES:
        said = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        cause = statuses.Cause("FieldValueInvalid", said, "spec.expirationSeconds")
        raise statuses.invalid(call.kind, call.name, [cause], called="TokenRequest")
    audiences = spec.get("audiences") or [_AUDIENCE]
    now = backend.now()
    claims = {
        "aud": audiences,
        "exp": int(now.timestamp()) + seconds,
        "iat": int(now.timestamp()),
        "iss": _AUDIENCE,
        "kubernetes.io": {"namespace": call.namespace, "serviceaccount": {"name": call.name, "uid": stored.uid}},
        "sub": f"system:serviceaccount:{call.namespace}:{call.name}",
    }
    parts = (msgspec.json.encode({"alg": "none"}), msgspec.json.encode(claims), secrets.token_bytes(16))
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    expires = (now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": call.name,
            "namespace": call.namespace,
            "uid": stored.uid,
            "creationTimestamp": backend.timestamp(),
        },
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef")},
        "status": {"token": token, "expirationTimestamp": expires},
    }


_RULES: Final[dict[tuple[str, str], Callable[[Backend, Call, Stored, dict[str, Any]], dict[str, Any]]]] = {
    ("pods", "binding"): _bind,
    ("pods", "eviction"): _evict,
    ("serviceaccounts", "token"): _token,
}
