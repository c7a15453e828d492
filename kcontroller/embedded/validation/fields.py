"""Causes in apimachinery's words, and values written as Go writes them in messages.

Source of the words: ``k8s.io/apimachinery/pkg/util/validation/field/errors.go``, checked against a real kube-apiserver.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import gotext
from kcontroller.embedded.statuses import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_FIELD: Final = "<nil>"
"""What the server writes where an error belongs to no field."""

_PLAIN_EXPONENTS: Final = range(-4, 6)  # Outside of them `%v` writes a float with its exponent.
_INT64: Final = 1 << 63

quoted: Final = gotext.quoted
json_text: Final = gotext.json


def number(value: float) -> str:
    """Write a number as ``%v`` does; a whole number beyond 64 bits has become a float there."""
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return str(value)
    value = float(value)
    exact = Decimal(repr(value)).normalize()
    power = exact.adjusted()
    if not exact or power in _PLAIN_EXPONENTS:
        return f"{value!r}".removesuffix(".0")
    sign, digits, _ = exact.as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    mantissa = f"{'-' if sign else ''}{first}{f'.{rest}' if rest else ''}"
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def shown(value: Any) -> str:
    """Write a value as a field error shows it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    return json_text(value)


def _said(what: str, detail: str) -> str:
    return f"{what}: {detail}" if detail else what


def invalid(field: str, value: Any, detail: str) -> Cause:
    """A value that may not stand there."""
    return Cause("FieldValueInvalid", _said(f"Invalid value: {shown(value)}", detail), field)


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    """A value of the wrong type or format."""
    return Cause("FieldValueTypeInvalid", _said(f"Invalid value: {shown(value)}", detail), field)


def required(field: str, detail: str = "") -> Cause:
    """A value that is missing."""
    return Cause("FieldValueRequired", _said("Required value", detail), field)


def forbidden(field: str, detail: str) -> Cause:
    """A value that may not stand there now."""
    return Cause("FieldValueForbidden", _said("Forbidden", detail), field)


def duplicate(field: str, value: Any) -> Cause:
    """A value that stands there twice."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", field)


def unsupported(field: str, value: Any, supported: Iterable[Any]) -> Cause:
    """A value that is not one of a few."""
    names = ", ".join(quoted(name if isinstance(name, str) else json_text(name)) for name in supported)
    detail = f"supported values: {names}" if names else ""
    return Cause("FieldValueNotSupported", _said(f"Unsupported value: {shown(value)}", detail), field)


def too_long(field: str, limit: int) -> Cause:
    """A text of too many bytes."""
    detail = f"may not be more than {limit} byte{'' if limit == 1 else 's'}"
    return Cause("FieldValueTooLong", f"Too long: {detail}", field)


def too_many(field: str, count: int, limit: int) -> Cause:
    """A list of too many items."""
    detail = f"must have at most {limit} item{'' if limit == 1 else 's'}"
    return Cause("FieldValueTooMany", f"Too many: {count}: {detail}", field)
