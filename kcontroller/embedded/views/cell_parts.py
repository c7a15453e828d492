"""What the printers of kube-apiserver share: fields by path, selectors, containers, lists that are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.views.ages import since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Document = dict[str, Any]
Row = list[Any]

NONE: Final = "<none>"
UNSET: Final = "<unset>"
_WRITTEN: Final = {
    "In": "%(key)s in (%(values)s)",
    "NotIn": "%(key)s notin (%(values)s)",
    "Exists": "%(key)s",
    "DoesNotExist": "!%(key)s",
}
SHOWN: Final = 3
"""How many entries of a list are shown before ``+ 2 more...``."""


def at(document: Any, path: str, default: Any = None) -> Any:
    """Find a field by its path; `default` also for ``null``."""
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return default if document is None else document


def name(o: Document) -> str:
    """Give the name; a bookmark has none."""
    return str(at(o, "metadata.name", ""))


def age(o: Document, now: float) -> str:
    """Write how long ago it was created."""
    return since(at(o, "metadata.creationTimestamp"), now)


def selector(terms: Mapping[str, Any] | None) -> str:
    """Write a LabelSelector as ``labels.Selector`` does."""
    terms = terms or {}
    written = {key: f"{key}={value}" for key, value in at(terms, "matchLabels", {}).items()}
    for term in at(terms, "matchExpressions", []):
        written[term["key"]] = _WRITTEN[term["operator"]] % {
            **term,
            "values": ",".join(sorted(term.get("values") or ())),
        }
    return ",".join(written[key] for key in sorted(written)) or NONE


def labels(given: Mapping[str, str] | None) -> str:
    """Write a map of labels, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted((given or {}).items())) or NONE


def containers(pod_spec: Any) -> tuple[str, str]:
    """Write the names and the images of a PodSpec's containers."""
    found = at(pod_spec, "containers", [])
    return ",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)


def some(items: Iterable[str], *, empty: str = UNSET) -> str:
    """Write the first entries of a list, and how many more there are."""
    items = list(items)
    text = ",".join(items[:SHOWN]) or empty
    return f"{text} + {len(items) - SHOWN} more..." if len(items) > SHOWN else text
