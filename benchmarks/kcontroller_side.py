"""The side of this framework in bin/bench: the same work as go/, as people write it.

::

    sync       all objects are in memory and a handler has heard of each
    reconcile  and a Reconciler has read each of them once from there
    write      and has patched the status of each, and has seen that in memory
    latency    and reconciles what a writer changes

``python -m benchmarks.kcontroller_side WORK`` takes its work as JSON and prints what it saw as one line of JSON when
the work is done. Nothing is imported that a controller would not import.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.forms import FORMS, OTHERS
from kcontroller import Manager, ManagerOptions, Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.forms import Form
    from kcontroller import Builder, Context, Request

WRITTEN: Final = "bench.example.com/written"

_SECONDS: Final = 600
_PATIENCE_SECONDS: Final = 60
_OPTIONS: Final = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0")


class Seen:
    """Keeps the first figure of each different request and tells when there are enough."""

    def __init__(self, want: int) -> None:
        """Expect so many."""
        self._want = want
        self._all = threading.Event()
        self._figures: dict[Request, float] = {}
        self._lock = threading.Lock()

    def add(self, request: Request, figure: float = 0.0) -> None:
        """Count it with its figure if it is new."""
        with self._lock:
            self._figures.setdefault(request, figure)
            if len(self._figures) == self._want:
                self._all.set()

    def wait(self) -> int:
        """Wait until there are enough, or no new one has come for long; returns how many there are."""
        before = -1
        while not self._all.wait(_PATIENCE_SECONDS) and before < len(self._figures):
            before = len(self._figures)
        return len(self._figures)

    def figures(self) -> list[float]:
        """The first figures of all."""
        with self._lock:
            return list(self._figures.values())


def synced() -> None:
    """Say so, and wait until the other side has looked at the clock."""
    print("synced", flush=True)
    assert sys.stdin.readline()


class Reader(Reconciler):
    """Reads each object once from memory."""

    def __init__(self, work: dict[str, Any]) -> None:
        """Expect what `work` says."""
        self.form = FORMS[work["kind"], work["form"]]
        self.seen = Seen(work["objects"])
        self._workers = work["workers"]

    def setup(self, builder: Builder) -> None:
        """Reconcile every object of the kind."""
        builder.for_(self.form.kind).options(max_concurrent_reconciles=self._workers)

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Read it."""
        self.read(ctx, request)

    def read(self, ctx: Context, request: Request) -> Any:
        """Read it, and look at it."""
        obj = ctx.client.get(self.form.kind, request)
        assert self.form.size(obj) > 0
        self.seen.add(request)
        return obj

    def wait(self, _manager: Manager) -> dict[str, Any]:
        """Wait until each was read."""
        return {"objects": self.seen.wait()}


class Patcher(Reader):
    """Patches the status of each object once, and is done when all of that is in memory."""

    def __init__(self, work: dict[str, Any]) -> None:
        """Expect what `work` says."""
        super().__init__(work)
        self._mark = work["mark"]
        self._first = True
        self._gate = threading.Lock()

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Patch the status unless it is as wanted."""
        if self._first:
            self._begin()
        obj = ctx.client.get(self.form.kind, request)
        if self.form.marked(obj) == self._mark:
            self.seen.add(request)
            return
        self.form.set_mark(obj, self._mark)
        ctx.client.status.patch(obj)

    def _begin(self) -> None:  # Workers start when the cache is synced.
        with self._gate:
            if self._first:
                synced()
                self._first = False


class Listener(Reader):
    """Notes how long after a write the reconcile of it starts."""

    def __init__(self, work: dict[str, Any]) -> None:
        """Expect what `work` says."""
        super().__init__(work)
        self._work = work
        self._started = time.time_ns()
        self._written = Seen(work["writes"])

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Read when it was written."""
        now = time.time_ns()
        obj = self.read(ctx, request)
        at = int(obj.metadata.annotations.get(WRITTEN, 0))
        if at > self._started:  # What an earlier contender's writer left is older.
            self._written.add(request, (now - at) / 1e6)

    def wait(self, manager: Manager) -> dict[str, Any]:
        """Let the writer begin when all objects were read, and wait until all of its writes were."""
        report = super().wait(manager)
        with Syncs(manager, self._work) as syncs:
            synced()
            self._written.wait()
        assert not syncs.wrong, syncs.wrong
        return {**report, "latencies_ms": self._written.figures(), "syncs": syncs.count}


class Syncs:
    """Syncs another kind over and over beside other work, if that is wanted, as a context.

    Each time it is the kind's only user, so that its cache ends with it and the next one lists anew.
    """

    def __init__(self, manager: Manager, work: dict[str, Any]) -> None:
        """Sync the other kind in the same form."""
        self.count = 0
        self.wrong = ""
        self._manager = manager
        self._kind = OTHERS[work["form"]]
        self._objects = work["objects"]
        self._enough = not work["during_sync"]
        self._thread = threading.Thread(target=self._sync, name="syncs")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End with the present one."""
        self._enough = True
        self._thread.join()

    def _sync(self) -> None:
        while not self._enough:
            heard = count_all(self._manager, self._kind)
            if heard != self._objects:
                self.wrong = f"synced {heard} of {self._objects} of another kind"
                return
            self.count += 1


class Heartbeat:
    """A thread that wakes every 5 ms and notes the longest time between two beats, as a context."""

    def __init__(self) -> None:
        """Not beating yet."""
        self.longest_ms = 0.0
        self._enough = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._enough = True
        self._thread.join()

    def _beat(self) -> None:
        before = time.monotonic()
        while not self._enough:
            time.sleep(0.005)
            now = time.monotonic()
            self.longest_ms = max(self.longest_ms, (now - before) * 1e3)
            before = now


def count_all(manager: Manager, kind: Any) -> int:
    """Wait until all objects of a kind are in memory and a handler has heard of each; keeps them until then."""
    heard = 0
    done = threading.Event()

    def count(_change: object) -> None:
        nonlocal heard
        heard += 1

    with manager.cluster().cache(kind) as cache:
        cache.subscribe(count, done.set)
        assert done.wait(_SECONDS), manager.pending()
    return heard


def sync(manager: Manager, form: Form, *, heartbeat: bool) -> dict[str, Any]:
    """Sync a kind; with a heartbeat if that is wanted."""
    if not heartbeat:
        return {"objects": count_all(manager, form.kind)}
    with Heartbeat() as beats:
        heard = count_all(manager, form.kind)
    return {"objects": heard, "heartbeat_ms": beats.longest_ms}


def run(work: dict[str, Any]) -> dict[str, Any]:
    """Do the work from the start of a manager to its orderly end."""
    manager = Manager(options=_OPTIONS)
    wait: Callable[[Manager], dict[str, Any]]
    if work["name"] == "sync":
        wait = partial(sync, form=FORMS[work["kind"], work["form"]], heartbeat=work["heartbeat"])
    else:
        reconciler = {"reconcile": Reader, "write": Patcher, "latency": Listener}[work["name"]](work)
        manager.add(reconciler)
        wait = reconciler.wait
    with manager:
        return wait(manager)


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
