"""The virtual kinds of authentication.k8s.io and authorization.k8s.io: created, answered, never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import statuses
from kcontroller.embedded.web.identity import AUTHENTICATED, Attributes, is_powerful

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kcontroller.embedded.calls import Call, User
    from kcontroller.embedded.web.identity import Identity

AUDIENCE: Final = "https://kubernetes.default.svc"
"""What tokens are for."""

_SPEC: Final = "spec"
_EXACTLY_ONE: Final = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
_INFO_PATHS: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_PATHS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*")


def answers(call: Call) -> bool:
    """Whether a call is for one of these kinds."""
    return (call.kind.group, call.kind.plural) in _REVIEWS and call.verb == "create"


def answer(identity: Identity, call: Call, document: dict[str, Any], now: str) -> dict[str, Any]:
    """Answer a review: the document with its status.

    Args:
        identity: the users of the server.
        call: the create.
        document: the review that was sent.
        now: the time, as metav1.Time is written.

    Raises:
        Refusal: the review asks nothing, or two things at once.
    """
    review = _REVIEWS[call.kind.group, call.kind.plural]
    shell = {"kind": call.kind.kind, "apiVersion": call.kind.api_version, "metadata": {}}
    return review(identity, call, shell, document.get(_SPEC) or {}, now)


def _own_user(_: Identity, call: Call, shell: dict[str, Any], __: Mapping[str, Any], now: str) -> dict[str, Any]:
    return {**shell, "metadata": {"creationTimestamp": now}, "status": {"userInfo": _info(call.user)}}


def _token(identity: Identity, _: Call, shell: dict[str, Any], spec: Mapping[str, Any], __: str) -> dict[str, Any]:
    if not spec.get("token"):
        raise statuses.bad_request("token is required for TokenReview in authentication")
    user = identity.by_token(spec["token"])
    audiences = spec.get("audiences") or [AUDIENCE]
    if user is None or AUDIENCE not in audiences:
        status: dict[str, Any] = {"user": {}, "error": "invalid bearer token"}
    else:
        status = {"authenticated": True, "user": _info(user), "audiences": [AUDIENCE]}
    return {**shell, "spec": dict(spec), "status": status}


def _own_access(_: Identity, call: Call, shell: dict[str, Any], spec: Mapping[str, Any], __: str) -> dict[str, Any]:
    _check_attributes(call, spec)
    return {**shell, "spec": dict(spec), "status": _verdict(spec, call.user.groups)}


def _access(_: Identity, call: Call, shell: dict[str, Any], spec: Mapping[str, Any], __: str) -> dict[str, Any]:
    _check_attributes(call, spec)
    if not spec.get("user") and not spec.get("groups"):
        raise _invalid(call, "spec.user", 'Invalid value: "": at least one of user or group must be specified')
    return {**shell, "spec": dict(spec), "status": _verdict(spec, spec.get("groups") or ())}


def _local_access(
    identity: Identity, call: Call, shell: dict[str, Any], spec: Mapping[str, Any], now: str
) -> dict[str, Any]:
    namespace = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if spec.get("resourceAttributes") is not None and namespace != call.namespace:
        why = f'Invalid value: "{namespace}": must match metadata.namespace'
        raise _invalid(call, "spec.resourceAttributes.namespace", why)
    return _access(identity, call, {**shell, "metadata": {"namespace": call.namespace}}, spec, now)


def _own_rules(_: Identity, call: Call, shell: dict[str, Any], spec: Mapping[str, Any], __: str) -> dict[str, Any]:
    if not spec.get("namespace"):
        raise statuses.bad_request("no namespace on request")
    resources = [
        _rule("authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        _rule("authentication.k8s.io", "selfsubjectreviews"),
    ]
    paths: list[dict[str, Any]] = [
        {"verbs": ["get"], "nonResourceURLs": sorted({*_DISCOVERY_PATHS, *_INFO_PATHS})},
        {"verbs": ["get"], "nonResourceURLs": list(_INFO_PATHS)},
    ]
    if is_powerful(call.user.groups):
        resources.insert(0, {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        paths.insert(0, {"verbs": ["*"], "nonResourceURLs": ["*"]})
    status = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
    # The real server leaves the namespace out of its answer, too.
    return {**shell, "spec": {}, "status": status}


def _rule(group: str, *resources: str) -> dict[str, Any]:
    return {"verbs": ["create"], "apiGroups": [group], "resources": list(resources)}


def _check_attributes(call: Call, spec: Mapping[str, Any]) -> None:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        path, verb = other.get("path", ""), other.get("verb", "")
        shown = f'{{"Path":"{path}","Verb":"{verb}"}}'
        why = f"Invalid value: {shown}: cannot be specified in combination with resourceAttributes"
        raise _invalid(call, "spec.nonResourceAttributes", why)
    if resource is None and other is None:
        raise _invalid(call, "spec.resourceAttributes", f"Invalid value: null: {_EXACTLY_ONE}")


def _invalid(call: Call, field: str, message: str) -> statuses.Refusal:
    """422 as the real server words it here: without the kind."""
    said = f'.{call.kind.group} "" is invalid: {field}: {message}'
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]
    return statuses.Refusal(422, "Invalid", said, details={"group": call.kind.group, "causes": causes})


def _verdict(spec: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    resource, other = spec.get("resourceAttributes") or {}, spec.get("nonResourceAttributes")
    if other is not None:
        attributes = Attributes(other.get("verb", ""), path=other.get("path", ""))
    else:
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        attributes = Attributes(**{name: resource.get(name, "") for name in names})
    if not attributes.allowed_to(groups):
        return {"allowed": False}
    if is_powerful(groups):
        return {"allowed": True}
    role = "system:discovery" if attributes.path else "system:basic-user"
    reason = f'RBAC: allowed by ClusterRoleBinding "{role}" of ClusterRole "{role}" to Group "{AUTHENTICATED}"'
    return {"allowed": True, "reason": reason}


def _info(user: User) -> dict[str, Any]:
    info = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": _extra(user)}
    return {name: value for name, value in info.items() if value}


def _extra(user: User) -> dict[str, list[str]]:
    return {name: list(values) for name, values in sorted(user.extra.items())}


_REVIEWS: Final[Mapping[tuple[str, str], Callable[..., dict[str, Any]]]] = {
    ("authentication.k8s.io", "selfsubjectreviews"): _own_user,
    ("authentication.k8s.io", "tokenreviews"): _token,
    ("authorization.k8s.io", "localsubjectaccessreviews"): _local_access,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): _own_access,
    ("authorization.k8s.io", "selfsubjectrulesreviews"): _own_rules,
    ("authorization.k8s.io", "subjectaccessreviews"): _access,
}
