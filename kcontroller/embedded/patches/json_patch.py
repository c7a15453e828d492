"""JSON Patch (RFC 6902) as kube-apiserver applies it, with github.com/evanphx/json-patch v4.

It is more lenient than the RFC, and clients have come to rely on that: ``replace`` of an absent field adds it, ``test``
of an absent field for null holds, a negative index counts from the end, and what stands before the first slash of a
path is not looked at. That is why no library for the RFC does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_INDEX: Final = re.compile(r"[+-]?[0-9]+")
_MOST_COPIED: Final = 3 * 1024 * 1024
"""The most bytes that all copies of one patch may have (JSONPatchMaxCopyBytes)."""


class Inapplicable(Exception):
    """An operation cannot be applied; the server does not tell why."""


def patched(document: Any, operations: Sequence[dict[str, Any] | None]) -> Any:
    """Apply operations in their order; the document is used up.

    Args:
        document: any JSON.
        operations: their ``op``, ``path`` and ``from`` are strings or null.

    Raises:
        Inapplicable: an operation cannot be applied, or a test failed.
    """
    root = [document]  # So that the whole document is replaced like any other value.
    copied = 0
    for operation in operations:
        given = operation or {}
        match given.get("op"):
            case "add":
                _add(root[0], _path(given), given.get("value"))
            case "remove":
                _remove(root[0], _path(given))
            case "replace":
                _replace(root, _path(given), given.get("value"))
            case "move":
                source = _path(given, "from")
                value = _get(root[0], source)
                _remove(root[0], source)
                _add(root[0], _path(given), value)
            case "copy":
                raw = msgspec.json.encode(_get(root[0], _path(given, "from")))
                copied += len(raw)
                if copied > _MOST_COPIED:
                    raise Inapplicable
                _add(root[0], _path(given), msgspec.json.decode(raw))
            case "test":
                _test(root[0], _path(given), given.get("value"))
            case _:
                raise Inapplicable
    return root[0]


def _path(operation: dict[str, Any], name: str = "path") -> str:
    path = operation.get(name)
    if path is None:
        raise Inapplicable
    return str(path)


def _find(document: Any, path: str) -> tuple[Any, str]:
    """Give the map or list that a path ends in, and the last step."""
    _, *steps = path.split("/")
    if not steps:
        raise Inapplicable
    *outer, last = (step.replace("~1", "/").replace("~0", "~") for step in steps)
    for step in outer:
        document = _child(document, step)
    if not isinstance(document, dict | list):
        raise Inapplicable
    return document, last


def _child(container: Any, step: str) -> Any:
    if isinstance(container, dict):
        return container.get(step)
    if isinstance(container, list):
        return container[_index(step, len(container))]
    raise Inapplicable


def _index(step: str, length: int) -> int:
    index = int(step) if _INDEX.fullmatch(step) else length
    if not -length <= index < length:
        raise Inapplicable
    return index % length


def _get(document: Any, path: str) -> Any:
    return _child(*_find(document, path))


def _add(document: Any, path: str, value: Any) -> None:
    container, step = _find(document, path)
    if isinstance(container, dict):
        container[step] = value
    elif step == "-":
        container.append(value)
    else:
        container.insert(_index(step, len(container) + 1), value)


def _remove(document: Any, path: str) -> None:
    container, step = _find(document, path)
    if isinstance(container, list):
        del container[_index(step, len(container))]
    elif step in container:
        del container[step]
    else:
        raise Inapplicable


def _replace(root: list[Any], path: str, value: Any) -> None:
    if not path:
        if not isinstance(value, dict | list):
            raise Inapplicable
        root[0] = value
        return
    container, step = _find(root[0], path)
    container[step if isinstance(container, dict) else _index(step, len(container))] = value


def _test(document: Any, path: str, value: Any) -> None:
    if not _same(_get(document, path) if path else document, value):
        raise Inapplicable


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
