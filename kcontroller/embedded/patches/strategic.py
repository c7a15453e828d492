"""Strategic merge patch: a merge patch that knows which lists are merged, and which field tells their items apart.

Follows ``strategicpatch`` of apimachinery, with its directives: ``$patch``, ``$retainKeys``,
``$deleteFromPrimitiveList/LIST`` and ``$setElementOrder/LIST``. What is wrong with a patch is said in its words; Go
leaves to chance which of several faults it meets first, here it is the first in the patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import gotext
from kcontroller.embedded.patches.strategic_lists import (
    DIRECTIVE,
    among,
    element_type,
    equal,
    fault,
    find,
    interleaved,
    left_behind,
    no_merge_key,
    parted,
    without_doubles,
    wrong_type,
)
from kcontroller.embedded.statuses import Refusal, bad_request

if TYPE_CHECKING:
    from kcontroller.embedded.schemas import Schema

_RETAIN_KEYS: Final = "$retainKeys"
_DELETE: Final = "$deleteFromPrimitiveList"
_ORDER: Final = "$setElementOrder"

_Map = dict[str, Any]
_List = list[Any]


def patched(schema: Schema, live: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch; both documents are used up.

    Args:
        schema: of the whole object; the fields say how they are merged.
        live: the object as it is.
        patch: as it was sent.

    Raises:
        Refusal: 400, 422 or 500, as kube-apiserver answers.
    """
    return _merge_map(live, patch, schema)


def _unknown_directive(item: _Map) -> Refusal:
    return fault(f"unknown patch type: {gotext.plain(item[DIRECTIVE])} in map: {gotext.plain(item)}")


class _Field:
    """How one field is merged."""

    __slots__ = ("key", "merges", "replaces", "schema")

    def __init__(self, parent: Schema | None, name: str) -> None:
        if parent is None or not parent.properties:
            msg = "merging an object in json but data type is not struct, instead is: map"
            raise fault(msg)
        found = parent.field(name) if name in parent.properties else None
        if found is None:
            struct = parent.reference.rpartition(".")[2]
            raise fault(f"unable to find api field in struct {struct} for the json field {gotext.quoted(name)}")
        strategies = str(found.node.get("x-kubernetes-patch-strategy") or "").split(",")
        self.schema = found
        self.merges = "merge" in strategies
        self.replaces = "replace" in strategies
        self.key = found.merge_key


def _merge_map(live: _Map, patch: _Map, schema: Schema | None) -> _Map:
    if DIRECTIVE in patch:
        match patch[DIRECTIVE]:
            case "replace":
                del patch[DIRECTIVE]
                return patch
            case "delete":
                return {}
        raise _unknown_directive(patch)
    _retain_keys(live, patch)
    for name in [name for name in patch if name.startswith(_ORDER)]:
        _merge_in_order(live, patch, name, schema)
    for name, value in patch.items():
        if name.startswith(_DELETE):
            _delete_from(live, _list_named(name, _DELETE), value, schema)
        elif value is None:
            live.pop(name, None)
        elif isinstance(value, dict) and isinstance(live.get(name), dict):
            field = _Field(schema, name)
            live[name] = value if field.replaces else _merge_map(live[name], value, field.schema)
        elif isinstance(value, list) and isinstance(live.get(name), list):
            live[name] = _merge_list(live[name], value, _Field(schema, name))
        else:
            _discard_nulls(value)
            _set_without_directives(live, name, value)
    return live


def _delete_from(live: _Map, name: str, value: Any, schema: Schema | None) -> None:
    if value is None:
        live.pop(name, None)
    elif isinstance(value, list) and isinstance(live.get(name), list):
        _Field(schema, name)
        items = live[name]
        if items or value:
            element_type(items, value)
        live[name] = [item for item in items if not among(item, value)]


def _list_named(directive: str, prefix: str) -> str:
    start, _, name = directive.partition("/")
    if start != prefix or not name:
        kind = "primitive list" if prefix == _DELETE else "setElementOrder list"
        raise bad_request(f"invalid patch format of {kind}")
    return name


def _retain_keys(live: _Map, patch: _Map) -> None:
    if _RETAIN_KEYS not in patch:
        return
    kept = patch.pop(_RETAIN_KEYS)
    fine = isinstance(kept, list) and all(
        value is None or name.startswith((_DELETE, _ORDER)) or name in kept for name, value in patch.items()
    )
    if not fine:
        raise bad_request("invalid patch format of retainKeys")
    for name in [name for name in live if name not in kept]:
        del live[name]


def _merge_in_order(live: _Map, patch: _Map, directive: str, schema: Schema | None) -> None:
    """Merge a list whose order the patch states, and take both out of the patch."""
    order = patch.pop(directive)
    if not isinstance(order, list):
        raise wrong_type("[]interface {}", order)
    name = _list_named(directive, _ORDER)
    ours, theirs = live.get(name, []), patch.get(name, [])
    for items in (ours, theirs):
        if not isinstance(items, list):
            raise wrong_type("[]interface {}", items)
    field = _Field(schema, name)
    _check_order(theirs, order, field.key)
    if name not in live and name not in patch:
        return
    if name not in patch:
        merged = list(ours)
    elif name not in live:
        merged = [item for item in theirs if not (isinstance(item, dict) and DIRECTIVE in item)]
        for item in merged:
            _remove_directives(item)
    else:
        merged = _merge_list(list(ours), theirs, field)
    is_map = element_type(ours, theirs) is dict
    if is_map and field.merges and name in live and name in patch:
        ours = left_behind(ours, theirs, field.key)
    of_patch, others = parted(merged, order, field.key)
    live[name] = interleaved(of_patch, others, order, ours, field.key if is_map else "")
    patch.pop(name, None)


def _check_order(items: _List, order: _List, key: str) -> None:
    if not order or not items:
        return
    if key:
        for item in items:
            if not isinstance(item, dict):
                raise wrong_type("map[string]interface {}", item)
    kept = [item for item in items if not (isinstance(item, dict) and DIRECTIVE in item)] if key else items
    at = 0
    for place in order:
        if at < len(kept) and _same_name(kept[at], place, key):
            at += 1
    if at < len(kept):
        raise fault(
            f"The order in patch list:\n{gotext.plain(items)}\n doesn't match {_ORDER} list:\n{gotext.plain(order)}\n"
        )


def _same_name(left: Any, right: Any, key: str) -> bool:
    if not key:
        return equal(left, right)
    for item in (left, right):
        if not isinstance(item, dict):
            raise wrong_type("map[string]interface {}", item)
        if key not in item:
            raise no_merge_key(item, key)
    return equal(left[key], right[key])


def _merge_list(live: _List, patch: _List, field: _Field) -> _List:
    if not field.merges:
        return patch
    if not live and not patch:
        return live
    if element_type(live, patch) is not dict:
        merged = without_doubles(live + patch)
        of_patch, others = parted(merged, patch, "")
        return interleaved(of_patch, others, patch, live, "")
    key = field.key
    if not key:
        raise fault("cannot merge lists without merge key for struct")
    live, patch = _follow_directives(live, patch, key)
    merged = list(live)
    for item in patch:
        if key not in item:
            raise no_merge_key(item, key)
        at = find(merged, key, item[key])
        if at < 0:
            merged.append(item)
        else:
            merged[at] = _merge_map(merged[at], item, field.schema.items)
    of_patch, others = parted(merged, patch, key)
    return interleaved(of_patch, others, patch, live, key)


def _follow_directives(live: _List, patch: _List, key: str) -> tuple[_List, _List]:
    """Delete what items with ``$patch: delete`` name; with ``$patch: replace`` the patch is the whole list."""
    kept, replaces = [], False
    for item in patch:
        match item.get(DIRECTIVE, ""):
            case "":
                kept.append(item)
            case "delete":
                if key not in item:
                    raise no_merge_key(item, key)
                live = [other for other in live if not (key in other and equal(other[key], item[key]))]
            case "replace":
                replaces = True
            case "merge":
                raise fault("merging lists cannot yet be specified in the patch")
            case _:
                raise _unknown_directive(item)
    return (kept, []) if replaces else (live, kept)


def _discard_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for name in [name for name, inner in value.items() if inner is None]:
            del value[name]
        for inner in value.values():
            _discard_nulls(inner)
    elif isinstance(value, list):
        for inner in value:
            _discard_nulls(inner)


def _set_without_directives(live: _Map, name: str, value: Any) -> None:
    if isinstance(value, dict) and DIRECTIVE in value:
        live.pop(name, None)
    else:
        live[name] = _remove_directives(value)


def _remove_directives(value: Any) -> Any:
    """Clean what is taken over whole; a map with ``$patch`` in it goes."""
    if isinstance(value, dict):
        for name in [name for name, inner in value.items() if isinstance(inner, dict) and DIRECTIVE in inner]:
            del value[name]
        for name, inner in value.items():
            value[name] = _remove_directives(inner)
    elif isinstance(value, list):
        return [_remove_directives(inner) for inner in value if not (isinstance(inner, dict) and DIRECTIVE in inner)]
    return value
