"""Says in kube-apiserver's words what a JSON schema validator found.

Source of words and order: ``k8s.io/kube-openapi/pkg/validation/{errors,validate}`` and ``ValidateCustomResource`` of
apiextensions. Where the real order is that of a Go map, fields come by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jsonschema_rs import ValidationErrorKind

from kcontroller.embedded.validation import fields
from kcontroller.embedded.validation.branches import format_of, matches, path_of, type_of
from kcontroller.embedded.validation.schema import FORMAT, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jsonschema_rs import ValidationError

    from kcontroller.embedded.statuses import Cause
    from kcontroller.embedded.validation.schema import Compiled

Rank = tuple[Any, ...]
Found = list[tuple[Rank, "Cause", "ValidationError"]]

# The order in which kube-openapi asks a node; what stands in one tuple is asked until something is wrong.
_RANKS: Final = {
    "type": 0,
    "anyOf": 10,
    "oneOf": 11,
    "allOf": 12,
    "not": 14,
    "maxLength": 20,
    "minLength": 21,
    "pattern": 22,
    "format": 30,
    "$ref": 40,
    "multipleOf": 41,
    "minimum": 42,
    "exclusiveMinimum": 42,
    "maximum": 43,
    "exclusiveMaximum": 43,
    "items": 50,
    "minItems": 51,
    "maxItems": 52,
    "uniqueItems": 53,
    "enum": 60,
    "minProperties": 70,
    "maxProperties": 71,
    "additionalProperties": 72,
    "properties": 73,
    "required": 74,
}
_LENGTHS: Final = (
    ValidationErrorKind.MaxLength,
    ValidationErrorKind.MinLength,
    ValidationErrorKind.Pattern,
)
_JUNCTORS: Final = (
    ValidationErrorKind.AnyOf,
    ValidationErrorKind.OneOfNotValid,
    ValidationErrorKind.OneOfMultipleValid,
    ValidationErrorKind.Not,
)
_INT64: Final = 1 << 63


def causes(compiled: Compiled, document: Any, *, prefix: str = "") -> list[tuple[Cause, tuple[str | int, ...]]]:
    """Find what is wrong, each with the place of the value that was asked.

    Args:
        compiled: the validator.
        document: what it is asked of.
        prefix: stands before the fields, but not in the messages: how the server checks a status alone.
    """
    errors = list(compiled.validator.iter_errors(document))
    if not errors:
        return []
    found = _Reader(compiled.schema, prefix).read(errors, document)
    said: dict[Cause, tuple[str | int, ...]] = {}
    for _, cause, error in sorted(found, key=lambda each: each[0]):
        said.setdefault(cause, tuple(error.instance_path))
    return list(said.items())


class _Reader:
    def __init__(self, schema: Mapping[str, Any], prefix: str) -> None:
        self._schema = schema
        self._prefix = prefix

    def read(self, errors: Iterable[ValidationError], document: Any) -> Found:
        found: Found = []
        failed: dict[Rank, tuple[set[int], int, ValidationError, str]] = {}
        for error in errors:
            if error.instance is None and isinstance(error.kind, _JUNCTORS):
                continue  # Of null only type and enum are asked.
            rank, alls = self._place(error)
            found += [((*rank, number), cause, error) for number, cause in enumerate(self._said(error))]
            for at, index, count, depth in alls:
                path = path_of(error.instance_path[:depth])
                failed.setdefault(at, (set(), count, error, path))[0].add(index)
            if isinstance(error.kind, (ValidationErrorKind.AnyOf, ValidationErrorKind.OneOfNotValid)):
                found += self._best(error, document)
        for at, (indexes, count, error, path) in failed.items():
            more = ". None validated" if len(indexes) == count else ""
            detail = f"{fields.quoted(path)} must validate all the schemas (allOf){more}"
            found.append(((*at, count), fields.invalid(fields.NO_FIELD, "", detail), error))
        return _first_of_length(found)

    def _best(self, error: ValidationError, document: Any) -> Found:
        """Read the branch that got furthest; the first one of equals."""
        context = getattr(error.kind, "context", [])
        branches = self._node(error.evaluation_path)
        value = error.instance
        scores = [matches(branch, value) for branch in branches]
        best = max(range(len(context)), key=lambda index: (scores[index], -index))
        return self.read(context[best], document)

    def _node(self, path: Sequence[str | int]) -> Any:
        node: Any = self._schema
        for step in path:
            node = self._schema["$defs"][node["$ref"].rpartition("/")[2]] if step == "$ref" else node[step]
        return node

    def _place(self, error: ValidationError) -> tuple[Rank, list[tuple[Rank, int, int, int]]]:
        """Find where an error comes in the real order, and the ``allOf`` that it fails: place, branch, branches."""
        rank: list[Any] = []
        alls: list[tuple[Rank, int, int, int]] = []
        steps, instance, depth = iter(error.evaluation_path), error.instance_path, 0
        node: Any = self._schema
        for step in steps:
            rank.append(_RANKS.get(str(step), 99))
            if step == "$ref":
                break
            node = node[step]
            if step == "properties":
                name = next(steps)
                rank.append(name)
                node, depth = node[name], depth + 1
            elif step in {"items", "additionalProperties"} and depth < len(instance):
                rank.append(instance[depth])
                depth += 1
            elif step in {"allOf", "anyOf", "oneOf"}:
                index = next(steps, None)
                if index is None:
                    break
                if step == "allOf":
                    alls.append((tuple(rank), int(index), len(node), depth))
                rank.append(index)
                node = node[index]
        return tuple(rank), alls

    def _field(self, path: str) -> str:
        return (f"{self._prefix}.{path}" if path else self._prefix) if self._prefix else path or fields.NO_FIELD

    def _said(self, error: ValidationError) -> list[Cause]:  # noqa: C901, PLR0911, PLR0912 - one case for each keyword
        path = path_of(error.instance_path)
        value: Any = error.instance
        at, what = self._field(path), f"{path} in body"
        match error.kind:
            case ValidationErrorKind.Type():
                return self._wrong_type(error, path)
            case ValidationErrorKind.Required(property=name):
                return [fields.required(self._field(f"{path}.{name}" if path else name))]
            case ValidationErrorKind.Enum(options=options):
                return [fields.unsupported(at, value, options)]
            case ValidationErrorKind.MaxLength(limit=limit):
                return [fields.too_long(at, limit)]
            case ValidationErrorKind.MinLength(limit=limit):
                return [fields.invalid(at, value, f"{what} should be at least {limit} chars long")]
            case ValidationErrorKind.Pattern(pattern=pattern):
                return [fields.invalid(at, value, f"{what} should match '{pattern}'")]
            case ValidationErrorKind.Format(format=name):
                return [fields.type_invalid(at, value, f"{what} must be of type {name}: {fields.quoted(value)}")]
            case ValidationErrorKind.MaxItems(limit=limit) | ValidationErrorKind.MaxProperties(limit=limit):
                return [fields.too_many(at, len(value), limit)]
            case ValidationErrorKind.MinItems(limit=limit):
                return [fields.invalid(at, len(value), f"{what} should have at least {limit} items")]
            case ValidationErrorKind.MinProperties(limit=limit):
                return [fields.invalid(at, len(value), f"{what} should have at least {limit} properties")]
            case ValidationErrorKind.UniqueItems():
                return [fields.invalid(at, "", f"{what} shouldn't contain duplicates")]
            case ValidationErrorKind.MultipleOf(multiple_of=factor):
                return [fields.invalid(at, value, f"{what} should be a multiple of {_like(value, factor)}")]
            case ValidationErrorKind.AnyOf():
                return [self._unnamed(path, "must validate at least one schema (anyOf)")]
            case ValidationErrorKind.OneOfNotValid():
                return [self._unnamed(path, "must validate one and only one schema (oneOf). Found none valid")]
            case ValidationErrorKind.OneOfMultipleValid(context=context):
                valid = sum(not branch for branch in context)
                detail = f"must validate one and only one schema (oneOf). Found {valid} valid alternatives"
                return [self._unnamed(path, detail)]
            case ValidationErrorKind.Not():
                return [self._unnamed(path, "must not validate the schema (not)")]
            case ValidationErrorKind.FalseSchema():
                return self._undeclared(error)
            case _:
                return self._limit(error, path)

    def _unnamed(self, path: str, detail: str) -> Cause:
        return fields.invalid(fields.NO_FIELD, "", f"{fields.quoted(path)} {detail}")

    def _undeclared(self, error: ValidationError) -> list[Cause]:
        path = path_of(error.instance_path[:-1])
        name = str(error.instance_path[-1])
        return [fields.invalid(self._field(path), name, f"{path}.{name} in body is a forbidden property")]

    def _wrong_type(self, error: ValidationError, path: str) -> list[Cause]:
        node = self._node(error.evaluation_path[:-1])
        value: Any = error.instance
        types, name = node[TYPES], node.get(FORMAT, "")
        given = type_of(value)
        if name and value is not None and not isinstance(value, (str, list)):
            types, given = name, format_of(value)
        detail = f"{path} in body must be of type {types}: {fields.quoted(given)}"
        wrong = [fields.type_invalid(self._field(path), given, detail)]
        if node[TYPES] == "integer" and isinstance(value, float):
            wrong.append(_out_of_range(path, "integer", name))
        return wrong

    def _limit(self, error: ValidationError, path: str) -> list[Cause]:
        value: Any = error.instance
        kind = error.kind
        if "$ref" in error.evaluation_path[-2:]:
            node = self._node(error.evaluation_path[:-2])
            types, name = node[TYPES], node.get(FORMAT, "")
            beyond = types == "integer" and not -_INT64 <= value < _INT64
            given = "float64" if name else "number"
            detail = f"{path} in body must be of type {name or types}: {fields.quoted(given)}"
            wrong = [fields.type_invalid(self._field(path), given, detail)] if beyond else []
            return [*wrong, _out_of_range(path, types, name)]
        words = {
            ValidationErrorKind.Minimum: "greater than or equal to",
            ValidationErrorKind.ExclusiveMinimum: "greater than",
            ValidationErrorKind.Maximum: "less than or equal to",
            ValidationErrorKind.ExclusiveMaximum: "less than",
        }
        limit: Any = getattr(kind, "limit", 0)
        if isinstance(value, int) and limit != int(limit):  # Of whole numbers the whole part of a limit is asked.
            limit = int(limit)
            if (value >= limit) if isinstance(kind, ValidationErrorKind.Minimum) else (value <= limit):
                return []
        detail = f"{path} in body should be {words[type(kind)]} {_like(value, limit)}"
        return [fields.invalid(self._field(path), value, detail)]


def _first_of_length(found: Found) -> Found:
    """Keep of length and pattern what is asked first; the rest is only asked if that is right."""
    seen: dict[tuple[Rank, tuple[str | int, ...]], Rank] = {}
    for rank, _, error in found:
        if isinstance(error.kind, _LENGTHS):
            at = (rank[:-2], tuple(error.instance_path))
            seen[at] = min(seen.get(at, rank), rank)
    return [
        each
        for each in found
        if not isinstance(each[2].kind, _LENGTHS) or seen[each[0][:-2], tuple(each[2].instance_path)] == each[0]
    ]


def _out_of_range(path: str, type_name: str, name: str) -> Cause:
    form = f"with format {name}" if name else "(default format)"
    return fields.invalid(fields.NO_FIELD, "", f"Checked value must be of type {type_name} {form} in {path}")


def _like(value: Any, limit: Any) -> str:
    """Write a limit in the type of the value that it was compared with."""
    return fields.number(float(limit) if isinstance(value, float) else limit)
