"""Objects as rows of a ``Table``, the form in which kubectl asks for what it prints.

A custom resource is shown by its ``additionalPrinterColumns``; a built-in kind by the columns that are recorded and the
cells of `cells`, or by name and age alone where those are not known.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import recorded, statuses
from kcontroller.embedded.views import jsonpath
from kcontroller.embedded.views.ages import since
from kcontroller.embedded.views.cells import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kcontroller.embedded.kinds import Kind

_BORN: Final = frozenset({"Age", "Created At"})
_INCLUDED: Final = frozenset({"", "None", "Metadata", "Object"})
_EXPONENT: Final = 1e21  # Go writes a float with an exponent from here on.
_FINISHED: Final = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def check_include(value: str) -> str:
    """Read the parameter ``includeObject``, whose absence means ``Metadata``.

    Raises:
        Refusal: 400 for a value that it cannot have.
    """
    if value not in _INCLUDED:
        raise statuses.bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{value}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return value or "Metadata"


def columns(kind: Kind) -> list[dict[str, Any]]:
    """Write the columnDefinitions."""
    if kind.builtin:
        return [_ordered(column) for column in kind.columns if kind.resource in ROWS or _is_basic(column)]
    return [_ordered(_common("Name")), *(_custom(column) for column in _additional(kind))]


def row(kind: Kind, document: dict[str, Any], now: float, *, include: str, version: str) -> dict[str, Any]:
    """Write one row.

    Args:
        kind: what the object is.
        document: the object.
        now: seconds since the epoch, for ages.
        include: what stands beside the cells: ``None``, ``Metadata`` or ``Object``.
        version: of ``meta.k8s.io``.
    """
    made: dict[str, Any] = {"cells": _cells(kind, document, now)}
    phase = (document.get("status") or {}).get("phase", "") if kind.resource == "pods" else ""
    if phase in _FINISHED:
        done = {"type": "Completed", "status": "True", "reason": phase, "message": _FINISHED[phase]}
        made["conditions"] = [done]
    match include:
        case "None":
            made["object"] = None
        case "Object":
            made["object"] = document
        case _:
            made["object"] = partial(document, version)
    return made


def table(
    rows: Iterable[Mapping[str, Any]], defined: list[dict[str, Any]] | None, meta: Mapping[str, Any], version: str
) -> dict[str, Any]:
    """Write a Table; `defined` is None after the first event of a watch."""
    head = {"kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": dict(meta)}
    return {**head, "columnDefinitions": defined, "rows": list(rows)}


def partial(document: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Write the PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": document["metadata"],
    }


def _ordered(column: Mapping[str, Any]) -> dict[str, Any]:
    return {field: column[field] for field in ("name", "type", "format", "description", "priority")}


def _is_basic(column: Mapping[str, Any]) -> bool:
    return column["name"] == "Name" or column["name"] in _BORN


def _common(name: str) -> Mapping[str, Any]:
    """Find a column that every kind has, for its description."""
    pods = next(kind for kind in recorded.load().kinds if kind.resource == "pods")
    return next(column for column in pods.columns if column["name"] == name)


def _additional(kind: Kind) -> tuple[Mapping[str, Any], ...]:
    return kind.columns or ({**_common("Age"), "type": "date", "jsonPath": ".metadata.creationTimestamp"},)


def _custom(column: Mapping[str, Any]) -> dict[str, Any]:
    told = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": column.get("description") or told,
        "priority": column.get("priority", 0),
    }


def _cells(kind: Kind, document: dict[str, Any], now: float) -> list[Any]:
    if not kind.builtin:
        name = document["metadata"].get("name", "")
        return [name, *(_custom_cell(column, document, now) for column in _additional(kind))]
    if kind.resource in ROWS:
        return ROWS[kind.resource](document, now)
    born, found = document["metadata"].get("creationTimestamp"), []
    for column in filter(_is_basic, kind.columns):
        if column["name"] == "Name":
            found.append(document["metadata"].get("name", ""))
        else:  # Only the default printer, which has no columns of its own, shows the time itself.
            found.append(born if column["name"] == "Created At" else since(born, now))
    return found


def _custom_cell(column: Mapping[str, Any], document: dict[str, Any], now: float) -> Any:
    """Convert what the column's path finds as apiextensions' tableconvertor does; its first result counts."""
    try:
        found = jsonpath.parse(column["jsonPath"])(document)
    except (jsonpath.NotThere, ValueError):
        return None
    if not found:
        return None
    value = found[0]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    cell: Any = None
    match column["type"]:
        case "string":
            cell = _printed(value)
        case "integer" if number:
            cell = int(value)
        case "number" if number:
            cell = value
        case "boolean" if isinstance(value, bool):
            cell = value
        case "date" if isinstance(value, str):
            cell = since(value, now)
    return cell


def _printed(value: Any) -> str:
    match value:
        case None:
            return "<no value>"
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case dict() | list():
            text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        case float() if value.is_integer() and abs(value) < _EXPONENT:
            return str(int(value))
        case _:
            return repr(value)
