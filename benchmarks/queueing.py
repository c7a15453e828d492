"""Microseconds per operation of a `WorkQueue` with few or many keys, in a process of its own, without a server."""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.elsewhere import run_elsewhere, spread
from kcontroller.api.keys import Request
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.metrics import Metrics
from kcontroller.workqueue import Outcome, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIGURES: Final = ("add_us", "get_done_us", "exchange_us")
GOAL: Final = 2.5
"""How many times as much an operation may take with the most keys as with the fewest."""

_ENOUGH_SECONDS: Final = 0.3  # What is shorter is done again.
_DONE: Final = Outcome.forget()


def run(keys: int) -> dict[str, float]:
    """Measure in this process; call it once in a process."""
    queue: WorkQueue[Request] = WorkQueue("bench", clock=SYSTEM_CLOCK, workers=1, metrics=Metrics())
    requests = [Request("", "default", f"object-{number}") for number in range(keys)]
    gc.collect()
    spent = dict.fromkeys(FIGURES, 0.0)
    rounds = 0
    while not rounds or min(spent.values()) < _ENOUGH_SECONDS:
        rounds += 1
        spent["add_us"] += _fill(queue, requests)
        spent["get_done_us"] += _serve(queue, keys)
        _fill(queue, requests)
        spent["exchange_us"] += _exchange(queue, keys)
    return {name: seconds / rounds / keys * 1e6 for name, seconds in spent.items()}


def _fill(queue: WorkQueue[Request], requests: Sequence[Request]) -> float:
    began = time.thread_time()
    for request in requests:
        queue.add(request)
    return time.thread_time() - began


def _serve(queue: WorkQueue[Request], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        item = queue.get()
        assert item is not None
        queue.done(item, _DONE)
    return time.thread_time() - began


def _exchange(queue: WorkQueue[Request], count: int) -> float:
    item = queue.get()
    assert item is not None
    began = time.thread_time()
    for _ in range(count - 1):
        item = queue.exchange(item, _DONE)
        assert item is not None
    spent = time.thread_time() - began
    queue.done(item, _DONE)
    return spent


def measure(counts: Sequence[int], *, repeat: int) -> list[dict[str, Any]]:
    """Measure each count in processes of their own, `repeat` times and by turns."""
    found: dict[int, list[dict[str, float]]] = {keys: [] for keys in counts}
    for _ in range(repeat):
        for keys, figures in found.items():
            figures.append(run_elsewhere("benchmarks.queueing", str(keys)))
    return [
        {
            "keys": keys,
            "repeat": repeat,
            **{name: spread([each[name] for each in figures], digits=3) for name in FIGURES},
        }
        for keys, figures in found.items()
    ]


def growth(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How many times as much each operation takes with the most keys as with the fewest, by the medians."""
    fewest, most = (pick(results, key=lambda result: result["keys"]) for pick in (min, max))
    return {name: round(most[name]["median"] / fewest[name]["median"], 2) for name in FIGURES}


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Show the results as Markdown."""
    rows = [
        ["queue: median (smallest to largest)", "add µs", "get and done µs", "exchange µs"],
        ["---"] * 4,
        *([f"{result['keys']:,} keys", *(_cell(result[name]) for name in FIGURES)] for result in results),
        ["growth", *(f"{times:.2f}" for times in growth(results).values())],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['min']:.2f}-{spread['max']:.2f})"


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))
