"""The side of this framework in `bin/bench informer`: the same work as go/main.go, as people write it.

It keeps all Widgets in memory ("sync"), or reads each of them once from there in a Reconciler ("reconcile"), prints
what that took as one line of JSON, and ends. Nothing is imported that a controller would not import.

``python -m benchmarks.kcontroller_side MODE FORM OBJECTS WORKERS STARTED``
"""

# ruff: noqa: RUF012 - msgspec copies the defaults of a Model

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from benchmarks import usage
from kcontroller import Condition, Manager, ManagerOptions, Model, Object, Reconciler, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Builder, Context, Request

_SECONDS: Final = 300
_OPTIONS: Final = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0")


class EnvVar(Model):
    """One variable of a Widget."""

    name: str
    value: str = ""


class WidgetSpec(Model):
    """What is wanted."""

    replicas: int
    image: str
    args: list[str] = []
    env: list[EnvVar] = []
    selector: dict[str, str] = {}
    paused: bool = False


class WidgetStatus(Model):
    """What is true."""

    observed_generation: int = 0
    ready_replicas: int = 0
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="bench.example.com", version="v1", plural="widgets"):
    """The kind that widgets.py defines."""


def typed_size(widget: Widget) -> int:
    """Read a field of the spec."""
    return widget.spec.replicas


def unstructured_size(widget: Object) -> int:
    """Read a field of the spec."""
    return int(widget["spec"]["replicas"])


FORMS: Final[dict[str, tuple[Any, Callable[[Any], int]]]] = {
    "typed": (Widget, typed_size),
    "unstructured": ("bench.example.com/v1 Widget", unstructured_size),
}


class Reader(Reconciler):
    """Reads each object once from memory."""

    def __init__(self, form: str, *, objects: int, workers: int, started: float) -> None:
        """Expect so many objects."""
        self._kind, self._size = FORMS[form]
        self._objects = objects
        self._workers = workers
        self._started = started
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._first: usage.Point | None = None
        self.done = threading.Event()
        self.report: dict[str, Any] = {}

    def setup(self, builder: Builder) -> None:
        """Reconcile every Widget."""
        builder.for_(self._kind).options(max_concurrent_reconciles=self._workers)

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Read it."""
        self._begin()
        widget = ctx.client.get(self._kind, request)
        assert self._size(widget) > 0
        self._end(request.name)

    def _begin(self) -> None:
        with self._lock:
            if self._first is None:  # Workers start when the cache is synced.
                self._first = usage.now(self._started)

    def _end(self, name: str) -> None:
        with self._lock:
            before = len(self._seen)
            self._seen.add(name)
            if before < len(self._seen) == self._objects:
                assert self._first is not None
                self.report = report(self._first, usage.now(self._started), len(self._seen))
                self.done.set()


def report(synced: usage.Point, done: usage.Point, objects: int) -> dict[str, Any]:
    """Make the line that the process prints."""
    return {"synced": asdict(synced), "done": asdict(done), "objects": objects}


def sync(form: str, *, started: float) -> dict[str, Any]:
    """Wait until all objects are in memory and a handler has heard of each."""
    kind, _size = FORMS[form]
    heard = 0
    found: list[usage.Point] = []
    done = threading.Event()

    def count(_change: object) -> None:
        nonlocal heard
        heard += 1

    def synced() -> None:
        found.append(usage.now(started))
        done.set()

    with Manager(options=_OPTIONS) as manager:
        manager.cluster().cache(kind).subscribe(count, synced)
        assert done.wait(_SECONDS), manager.pending()
    return report(found[0], found[0], heard)


def reconcile(form: str, *, objects: int, workers: int, started: float) -> dict[str, Any]:
    """Wait until a Reconciler has read each object."""
    reader = Reader(form, objects=objects, workers=workers, started=started)
    manager = Manager(options=_OPTIONS)
    manager.add(reader)
    with manager:
        assert reader.done.wait(_SECONDS), manager.pending()
    return reader.report


def main(mode: str, form: str, objects: str, workers: str, started: str) -> None:
    """Do the work and print the report."""
    if mode == "sync":
        answer = sync(form, started=float(started))
    else:
        answer = reconcile(form, objects=int(objects), workers=int(workers), started=float(started))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
