"""What Go says when a patched object does not fit its type: ``FromUnstructured`` of apimachinery's ``runtime``.

Only strategic merge patches are read this way. Types that read themselves (times, quantities) are left to the decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kcontroller.embedded.schemas import Schema

_KINDS: Final = {bool: "bool", str: "string", int: "int64", float: "float64", dict: "map", list: "slice"}


def fault_of(schema: Schema, value: Any) -> str:
    """Say what is wrong with a value of a built-in type, in the order of its fields; empty if nothing is."""
    if value is None or schema.is_open:
        return ""
    match schema.type:
        case "object":
            return _fault_of_map(schema, value)
        case "array":
            if not isinstance(value, list):
                return f"cannot restore slice from {_KINDS[type(value)]}"
            return next((said for item in value if schema.items and (said := fault_of(schema.items, item))), "")
        case "string" | "integer" | "number" | "boolean":
            return _fault_of_scalar(schema, value)
    return ""


def _fault_of_map(schema: Schema, value: Any) -> str:
    if not isinstance(value, dict):
        start = "struct from:" if schema.properties else "map from"
        return f"cannot restore {start} {_KINDS[type(value)]}"
    names = schema.properties or value
    children = ((schema.field(name), value[name]) for name in names if name in value)
    return next((said for child, inner in children if child and (said := fault_of(child, inner))), "")


def _fault_of_scalar(schema: Schema, value: Any) -> str:
    wanted = str(schema.node.get("format") or "")
    kind = _KINDS[type(value)]
    match schema.type, kind:
        case ("string", "string") | ("boolean", "bool") | ("integer", "int64") | ("number", "int64" | "float64"):
            return ""
        case "string", _ if wanted == "byte":
            return f"cannot restore slice from {kind}"
        case "string", _ if wanted:
            return ""
        case "string", "int64":
            return "cannot convert int64 to string"
        case "integer", "float64":
            return "" if value.is_integer() else f"cannot convert float64 to {wanted or 'int64'}"
    return f"unrecognized type: {wanted or {'boolean': 'bool', 'number': 'float64'}.get(schema.type, schema.type)}"
