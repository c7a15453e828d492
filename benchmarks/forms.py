"""How the objects of a kind are looked at and marked in our side, typed and unstructured; go/kinds.go does the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.models import Gadget, Pod, Widget
from kcontroller import Object, conditions

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Form:
    """One kind in one form.

    Attributes:
        kind: what the client takes.
        size: looks at a field of the spec.
        marked: the mark that the last `write` left in the status.
        set_mark: puts a mark there, as a controller reports what it did.
    """

    kind: Any
    size: Callable[[Any], int]
    marked: Callable[[Any], int]
    set_mark: Callable[[Any, int], None]


def _set_widget_mark(widget: Widget, mark: int) -> None:
    widget.status.observed_generation = widget.metadata.generation
    widget.status.ready_replicas = mark
    conditions.set(widget, "Ready", True, reason="Reconciled")


def _set_pod_mark(pod: Pod, mark: int) -> None:
    pod.status.message = str(mark)


def _set_plain_widget_mark(widget: Object, mark: int) -> None:
    if "status" not in widget:
        widget["status"] = {}
    status = widget["status"]
    status["observedGeneration"] = widget.metadata.generation
    status["readyReplicas"] = mark
    conditions.set(widget, "Ready", True, reason="Reconciled")


def _set_plain_pod_mark(pod: Object, mark: int) -> None:
    pod["status"]["message"] = str(mark)


FORMS: Final = {
    ("widgets", "typed"): Form(
        Widget,
        lambda widget: widget.spec.replicas,
        lambda widget: widget.status.ready_replicas,
        _set_widget_mark,
    ),
    ("widgets", "unstructured"): Form(
        "bench.example.com/v1 Widget",
        lambda widget: widget["spec"]["replicas"],
        lambda widget: widget.get("status", {}).get("readyReplicas", 0),
        _set_plain_widget_mark,
    ),
    ("pods", "typed"): Form(
        Pod,
        lambda pod: len(pod.spec.containers),
        lambda pod: int(pod.status.message or 0),
        _set_pod_mark,
    ),
    ("pods", "unstructured"): Form(
        "v1 Pod",
        lambda pod: len(pod["spec"]["containers"]),
        lambda pod: int(pod["status"].get("message") or 0),
        _set_plain_pod_mark,
    ),
}

OTHERS: Final = {"typed": Gadget, "unstructured": "bench.example.com/v1 Gadget"}
"""The other kind, by form."""
