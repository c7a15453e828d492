"""A patch that is no apply: read, applied to an object, and held against the object's kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded import bodies, gotext, recorded, validation
from kcontroller.embedded.bodies import syntax
from kcontroller.embedded.patches import json_patch, strategic, strategic_types
from kcontroller.embedded.statuses import Cause, Refusal, bad_request

if TYPE_CHECKING:
    from kcontroller.embedded.kinds import Kind

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

_MOST_OPERATIONS: Final = 10_000
_OPERATION: Final = "handlers.jsonPatchOp"
_MAP: Final = "map[string]interface {}"
_META: Final = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_META_FIELDS: Final = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_ORDER: Final = {name: place for place, name in enumerate(_META_FIELDS)}
_DECODING: Final = "error decoding patch: "
_POINT: Final = re.compile(rb"[0-9][.eE]")
_INAPPLICABLE: Final = "the server rejected our request due to an error in our request"


def patched(kind: Kind, live: dict[str, Any], body: bytes, content_type: str) -> dict[str, Any]:
    """Apply a patch to an object; the result is a copy, not yet pruned, defaulted or validated.

    Args:
        kind: in the version of the request.
        live: the object as it is, or what a subresource such as ``scale`` shows of it.
        body: the patch.
        content_type: says which kind of patch it is; parameters are not looked at.

    Raises:
        Refusal: 400 for a patch that cannot be read and for an object without a name, 413 for too many operations, 415
            for a kind of patch that the resource does not take, 422 for one that cannot be applied or does not leave an
            object of the kind, 500 (kube-apiserver's answer) for a strategic merge patch that does not fit.
    """
    document = msgspec.json.decode(msgspec.json.encode(live))
    match content_type.partition(";")[0]:
        case "application/merge-patch+json":
            patch = _read(body, _DECODING)
            if patch is None:
                raise bad_request("Invalid JSON Patch")
            _expect_map(patch, _DECODING)
            result = _whole_numbers(_merged(document, patch), body)
            _check(kind, live, result)
        case "application/json-patch+json":
            result = _whole_numbers(_json_patched(document, body), body)
            _check(kind, live, result)
        case "application/strategic-merge-patch+json" if kind.builtin:
            result = _strategically(kind, live, document, body)
        case _:
            raise _unsupported(kind)
    metadata = result.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name") or not result.get("apiVersion"):
        name = live["metadata"]["name"]
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    whole: dict[str, Any] = result
    return whole


def check_type(kind: Kind, content_type: str) -> None:
    """Look at the kind of a patch, before anything else is looked at.

    Raises:
        Refusal: 415 if the resource does not take it.
    """
    known = {JSON_PATCH, MERGE_PATCH, *((STRATEGIC_MERGE_PATCH,) if kind.builtin else ())}
    if content_type.partition(";")[0] not in known:
        raise _unsupported(kind)


def _unsupported(kind: Kind) -> Refusal:
    if kind.builtin:  # go-restful is asked first, and says no more.
        return Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    accepted = f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY}"
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return Refusal(415, "UnsupportedMediaType", message)


def _read(body: bytes, before: str) -> Any:
    """Decode JSON; `before` starts what is said of a fault."""
    fault = ""
    try:
        document = msgspec.json.decode(body)
        # Later steps walk documents recursively.
        if body.count(b"[") + body.count(b"{") > bodies.MAX_DEPTH:
            fault = syntax.fault_of(body, max_depth=bodies.MAX_DEPTH)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault = syntax.fault_of(body, max_depth=bodies.MAX_DEPTH)
        if not fault:
            try:  # Go reads what is not quite text, too, such as half of a surrogate pair.
                document = bodies.decode(b'{"":%s}' % body, bodies.JSON)[""]
            except Refusal as refusal:
                fault = refusal.message
    if fault:
        raise bad_request(f"{before}{fault}")
    return document


def _whole_numbers(value: Any, body: bytes) -> Any:
    """Write numbers such as 1.0 as they come out of Go again: as 1."""
    return gotext.without_points(value) if _POINT.search(body) else value


def _expect_map(patch: Any, before: str) -> None:
    if not isinstance(patch, dict):
        raise bad_request(f"{before}json: cannot unmarshal {gotext.json_type_of(patch)} into Go value of type {_MAP}")


def _merged(live: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386) as evanphx/json-patch does: nulls in lists that replace a map stay."""
    if not isinstance(live, dict):
        return _without_nulls(patch)
    if not isinstance(patch, dict):
        return patch
    for name, value in patch.items():
        if value is None:
            live.pop(name, None)
        else:
            live[name] = _merged(live.get(name), value)
    return live


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _json_patched(document: dict[str, Any], body: bytes) -> Any:
    operations = _operations(body)
    if len(operations) > _MOST_OPERATIONS:
        message = (
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{_MOST_OPERATIONS}, got {len(operations)}"
        )
        raise Refusal(413, "RequestEntityTooLarge", message)
    try:
        result = json_patch.patched(document, operations)
    except json_patch.Inapplicable:
        raise Refusal(422, "Invalid", _INAPPLICABLE, details={}) from None
    # Operations can nest what no body nests; nothing later walks deeper than a body goes.
    if sum(str((each or {}).get("path")).count("/") for each in operations) > bodies.MAX_DEPTH and _is_deep(result):
        raise Refusal(422, "Invalid", _INAPPLICABLE, details={})
    return result


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(bodies.MAX_DEPTH):
        containers = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return False
    return True


def _operations(body: bytes) -> list[dict[str, Any] | None]:
    before = f"{_DECODING}json: cannot unmarshal"
    operations = _read(body, _DECODING)
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise bad_request(f"{before} {gotext.json_type_of(operations)} into Go value of type []{_OPERATION}")
    for operation in operations:
        if not isinstance(operation, dict | None):
            raise bad_request(f"{before} {gotext.json_type_of(operation)} into Go value of type {_OPERATION}")
        for name in ("op", "path", "from"):
            value = (operation or {}).get(name)
            if not isinstance(value, str | None):
                raise bad_request(
                    f"{before} {gotext.json_type_of(value)} into Go struct field jsonPatchOp.{name} of type string"
                )
    return operations


def _strategically(kind: Kind, live: dict[str, Any], document: dict[str, Any], body: bytes) -> dict[str, Any]:
    patch = _read(body, "")
    patch = {} if patch is None else patch
    _expect_map(patch, "")
    result: dict[str, Any] = _whole_numbers(strategic.patched(kind.schema, document, patch), body)
    # The Go type of the object knows what it is; what the patch says of that is not looked at.
    result.update({name: live[name] for name in ("apiVersion", "kind") if name in live})
    fault = ""
    if live.get("kind") == kind.kind:
        fault = strategic_types.fault_of(kind.schema, result) or _decoding_fault(kind, result)
    if fault:
        raise refused(gotext.plain(patch), fault)
    return result


def _check(kind: Kind, live: dict[str, Any], result: Any) -> None:
    """Refuse what is no object of the kind after a patch, as decoding it again would."""
    if not isinstance(result, dict):
        fault = f"json: cannot unmarshal {gotext.json_type_of(result)} into Go value of type {_META}"
        raise refused(_text(kind, result), f"couldn't get version/kind; json parse error: {fault}")
    for name in ("apiVersion", "kind"):
        if not isinstance(result.get(name), str | None):
            said = gotext.json_type_of(result[name])
            fault = f"json: cannot unmarshal {said} into Go struct field .{name} of type string"
            raise refused(_text(kind, result), f"couldn't get version/kind; json parse error: {fault}")
    api_version = result.get("apiVersion") or ""
    if api_version.count("/") > 1:
        raise refused(_text(kind, result), f"unexpected GroupVersion string: {api_version}")
    is_own = live.get("kind") == kind.kind
    if kind.builtin or not is_own:
        _check_builtin(kind, live, result)
    else:
        _check_custom(kind, result)
    fault = _decoding_fault(kind, result) if is_own else ""
    if fault:
        raise refused(_text(kind, result), fault)


def _check_builtin(kind: Kind, live: dict[str, Any], result: dict[str, Any]) -> None:
    result["kind"] = result.get("kind") or live["kind"]
    version, name = result.get("apiVersion"), result["kind"]
    if version and (version, name) != (live["apiVersion"], live["kind"]):
        fault = f'no kind "{name}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        if any((known.api_version, known.kind) == (version, name) for known in recorded.load().kinds):
            fault = f"converting ({kind.version}.{name}) to (core.{kind.kind}): unknown conversion"
        raise refused(_text(kind, result), fault)


def _check_custom(kind: Kind, result: dict[str, Any]) -> None:
    if not result.get("kind"):
        raise refused(_text(kind, result), f"Object 'Kind' is missing in '{_text(kind, result)}'")
    if not result.get("apiVersion"):
        said = "Object 'apiVersion' is missing in 'object has no apiVersion field'"
        raise Refusal(500, "InternalError", f"Internal error occurred: {said}", details={"causes": [{"message": said}]})
    group = result["apiVersion"].rpartition("/")[0]
    wanted = {"apiVersion": kind.api_version, "kind": kind.kind}
    causes = [
        {"reason": "FieldValueInvalid", "message": f'Invalid value: "{result[name]}": must be {value}', "field": name}
        for name, value in wanted.items()
        if result[name] != value
    ]
    if causes:
        metadata = result.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        said = ", ".join(f"{cause['field']}: {cause['message']}" for cause in causes)
        qualified = f"{result['kind']}.{group}" if group else result["kind"]
        details = {"name": name, "group": group, "kind": result["kind"], "causes": causes}
        message = f'{qualified} "{name}" is invalid: {said if len(causes) == 1 else f"[{said}]"}'
        raise Refusal(422, "Invalid", message, details={key: value for key, value in details.items() if value})


def _decoding_fault(kind: Kind, result: dict[str, Any]) -> str:
    try:
        validation.decode(kind, result)
    except Refusal as refusal:
        return refusal.message.partition(f" cannot be handled as a {kind.kind}: ")[2] or refusal.message
    return ""


def shown(kind: Kind, result: dict[str, Any], body: bytes, content_type: str) -> str:
    """Give the text that a refusal quotes: the patched document, or a strategic merge patch itself."""
    if content_type.partition(";")[0] == STRATEGIC_MERGE_PATCH:
        return gotext.plain(msgspec.json.decode(body))
    return _text(kind, result)


def refused(value: str, fault: str) -> Refusal:
    """422: what a patch made of the object cannot be decoded."""
    cause = Cause("FieldValueInvalid", f"Invalid value: {gotext.quoted(value)}: {fault}", "patch")
    details = {"causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field}]}
    return Refusal(422, "Invalid", f' "" is invalid: {cause.field}: {cause.message}', details=details)


def _text(kind: Kind, result: Any) -> str:
    """Write an object as the server quotes it: custom resources sorted, the metadata of Go types in their order."""
    if not isinstance(result, dict):
        return msgspec.json.encode(result).decode()
    return msgspec.json.encode({name: _ordered(kind, name, result[name]) for name in sorted(result)}).decode()


def _ordered(kind: Kind, name: str, value: Any) -> Any:
    if not kind.builtin:
        return _sorted(value)
    if name != "metadata" or not isinstance(value, dict):
        return value
    return {field: value[field] for field in sorted(value, key=lambda field: _ORDER.get(field, len(_ORDER)))}


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return {name: _sorted(value[name]) for name in sorted(value)} if isinstance(value, dict) else value
