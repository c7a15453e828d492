"""Label and field selectors on stored objects.

Which field labels a kind offers, and how the refusal of another one reads, is recorded for built-in kinds; a custom
resource offers name, namespace and its ``selectableFields``. Label selectors and names are told without decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import recorded, statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.calls import Selection
    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.schemas import Schema
    from kcontroller.embedded.selector_grammar import LabelSelector
    from kcontroller.embedded.store import Stored

_CUSTOM_REFUSAL: Final = "field label not supported: %s"
_ZEROS: Final = {"integer": "0", "number": "0", "boolean": "false"}
# Labels that are not the path of a field, with the paths that are looked at until one has a value.
_OTHERWISE: Final = {
    ("pods", "spec.host"): ("spec.nodeName",),
    ("jobs.batch", "status.successful"): ("status.succeeded",),
    ("events", "source"): ("source.component", "reportingComponent"),
}

Term = tuple[tuple[str, ...], str, bool, str]
"""Paths, what stands for an absent field, whether equality is asked for, and the value."""


def matcher(kind: Kind, selection: Selection) -> Callable[[Stored], bool] | None:
    """Make the test for the objects that a request means; None if every object passes.

    Raises:
        Refusal: 400 for a field label that the kind does not offer.
    """
    names: list[tuple[str, bool, str]] = []
    terms: list[Term] = []
    for label, equal, value in selection.fields.terms:
        _check(kind, label)
        if label in {"metadata.name", "metadata.namespace"}:
            names.append((label.rpartition(".")[2], equal, value))
        else:
            paths = _OTHERWISE.get((kind.resource, label), (label,))
            terms.append((paths, _absent(kind, paths[-1]), equal, value))
    labels = selection.labels
    if not names and not terms:
        return _by_labels(labels) if labels.requirements else None

    def matches(stored: Stored) -> bool:
        if not labels.matches(stored.labels):
            return False
        if any((getattr(stored.key, part) == value) is not equal for part, equal, value in names):
            return False
        if not terms:
            return True
        document = stored.document(kind.api_version)
        return all((_text(document, paths, absent) == value) is equal for paths, absent, equal, value in terms)

    return matches


def _by_labels(labels: LabelSelector) -> Callable[[Stored], bool]:
    return lambda stored: labels.matches(stored.labels)


def _check(kind: Kind, label: str) -> None:
    known = recorded.load().labels.get(f"{kind.api_version}/{kind.plural}") if kind.builtin else None
    offered = known.fields if known else ("metadata.name", "metadata.namespace", *kind.selectable)
    if label not in offered:
        raise statuses.bad_request((known.refusal if known else _CUSTOM_REFUSAL).replace("%s", label))


def _absent(kind: Kind, path: str) -> str:
    """Tell what an absent field counts as: the zero value in a Go type, nothing in a custom resource."""
    if not kind.builtin:
        return ""
    node: Schema | None = kind.schema
    for part in path.split("."):
        node = node.field(part) if node else None
    return _ZEROS.get(node.type, "") if node else ""


def _text(document: dict[str, Any], paths: tuple[str, ...], absent: str) -> str:
    for path in paths:
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        match value:
            case None | "" | list():  # The server files nothing under a Pod's status.podIPs.
                continue
            case bool():
                return "true" if value else "false"
            case _:
                return str(value)
    return absent
