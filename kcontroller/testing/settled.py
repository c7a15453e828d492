"""Whether a manager has come to rest, and who keeps it going if not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.controller import Controller
    from kcontroller.manager import Manager
    from kcontroller.workqueue import Item

_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LOOK_SECONDS: Final = 0.002
_NAMED: Final = 5


def assert_settled(manager: Manager, within: float = 5.0, *, quiet: float = 0.1, soon: float = 1.0) -> None:
    """Wait until a manager does nothing any more: no request is queued, in work or due, and nothing is written.

    Args:
        manager: it runs.
        within: seconds in all.
        quiet: seconds for which that must hold without interruption; writes are those of this manager.
        soon: a delayed request (a retry, a requeue_after) counts as work if it is due in so many seconds of the
            manager's clock; 0 lets all delayed ones wait.

    Raises:
        AssertionError: it did not come to rest in time. The text names the objects that were reconciled most, with
            reasons, and what is queued, in work and due.
    """
    __tracebackhide__ = True
    deadline = time.monotonic() + within
    with _Witness(manager) as witness:
        began = time.monotonic()
        before = witness.activity()
        while True:
            now = time.monotonic()
            activity = witness.activity()
            if activity != before or witness.unrest(soon):
                before, began = activity, now
            elif now - began >= quiet:
                return
            if now > deadline:
                raise AssertionError(witness.report(within, quiet, soon))
            time.sleep(_LOOK_SECONDS)


class _Witness:
    """Notes which requests are finished while it looks."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._controllers: tuple[Controller, ...] = manager.controllers
        self._lock = threading.Lock()
        self._done: Counter[tuple[str, Any]] = Counter()
        self._reasons: dict[tuple[str, Any], tuple[str, ...]] = {}
        self._stack = contextlib.ExitStack()
        self._writes_before = self._writes()

    def __enter__(self) -> Self:
        for controller in self._controllers:
            self._stack.enter_context(self._listening(controller))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _listening(self, controller: Controller) -> Iterator[None]:
        """Hear of every item that is given back, by `done` or `exchange`; the queue itself keeps no record."""
        queue: Any = controller.queue
        give_back = queue._give_back  # noqa: SLF001 - what both have in common

        def heard(item: Item[Any], outcome: Any, *, follows: bool) -> Any:
            with self._lock:
                self._done[controller.name, item.request] += 1
                self._reasons[controller.name, item.request] = item.reasons
            return give_back(item, outcome, follows=follows)

        queue._give_back = heard  # noqa: SLF001
        try:
            yield
        finally:
            del queue._give_back  # noqa: SLF001

    def activity(self) -> tuple[int, Counter[str]]:
        """What grows whenever something is done."""
        with self._lock:
            return self._done.total(), self._writes()

    def unrest(self, soon: float) -> list[str]:
        """What is queued, in work or due now."""
        lines = []
        for controller in self._controllers:
            queue = controller.queue
            with queue._lock:  # noqa: SLF001 - it offers no view of what is delayed
                wait = queue._schedule.next_due() - self._manager.clock.monotonic()  # noqa: SLF001
            facts = [
                f"{len(queue)} queued" if len(queue) else "",
                f"{queue.in_flight} in work" if queue.in_flight else "",
                f"the next is due in {max(0.0, wait):.3g} s" if wait < soon else "",
                f"not synced: {', '.join(name or 'the cluster' for name in controller.waiting_for())}"
                if controller.waiting_for()
                else "",
            ]
            if any(facts):
                lines.append(f"  {controller.name}: {', '.join(filter(None, facts))}")
        return lines

    def report(self, within: float, quiet: float, soon: float) -> str:
        """Say who does not come to rest."""
        lines = [f"the manager did not settle within {within:g} s ({quiet:g} s of rest are asked for)"]
        lines += self.unrest(soon)
        with self._lock:
            most = self._done.most_common(_NAMED)
            for (name, request), count in most:
                reasons = ", ".join(self._reasons[name, request]) or "unknown"
                lines.append(
                    f"  {name}: {request} was reconciled {_times(count)} meanwhile; the last reasons: {reasons}"
                )
            others = len(self._done) - len(most)
        if others > 0:
            lines.append(f"  ... and {others} other objects")
        writes = self._writes() - self._writes_before
        lines += [f"  {count} x {what}" for what, count in sorted(writes.items())]
        return "\n".join(lines)

    def _writes(self) -> Counter[str]:
        """The writes of this manager by method and status, from its own metrics."""
        found: Counter[str] = Counter()
        for family in self._manager.metrics.requests.collect():
            for sample in family.samples:
                if sample.labels.get("method") in _WRITES and sample.name.endswith("_total"):
                    found[f"{sample.labels['method']} answered with {sample.labels['code']}"] += int(sample.value)
        return found


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
