"""The side of this framework in ``bin/bench leaving``: clusters come and leave, round after round.

``python -m benchmarks.leaving_side WORK`` takes its work as JSON and prints one line of JSON with what the process
holds before the first round, and one after each. In each round every context of ``$KUBECONFIG`` but the current one
comes as a cluster that there has not been: under another name, with another uid.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.fleet_side import OPTIONS, Contexts, Reader
from benchmarks.kcontroller_side import Seen
from kcontroller import Manager
from kcontroller.multicluster.actions import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Cluster
    from kcontroller.multicluster import Sink

_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.1
_QUIET_LOOKS: Final = 4  # Threads that end, and what they hold, are gone a moment after their cluster.
_LIBC: Final = ctypes.CDLL(None)
_STATM: Final = Path("/proc/self/statm")
_MALLINFO: Final = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
    *("uordblks", "fordblks", "keepcost"),
)


class Comers(Contexts):
    """A provider whose clusters come and leave when it is told to."""

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:  # noqa: ARG002 - the protocol's
        """Tell none."""
        self._sink = sink
        sink.listed()

    def come(self, turn: int) -> None:
        """Tell all of them, under the names of a round."""
        for spec in self.specs:
            self._sink.present(replace(spec, name=_named(spec.name, turn), uid=str(turn)))

    def leave(self, turn: int) -> None:
        """Tell that all of a round are gone."""
        for spec in self.specs:
            self._sink.absent(_named(spec.name, turn), "it has left")


def _named(context: str, turn: int) -> str:
    return f"{context}-{turn}"


class Allocator(ctypes.Structure):
    """What ``mallinfo2`` of glibc 2.33 and newer gives, see its manual for the names; all zero without it."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO)


def allocated() -> Allocator:
    """Ask malloc what it has."""
    if not hasattr(_LIBC, "mallinfo2"):
        return Allocator()
    _LIBC.mallinfo2.restype = Allocator
    told: Allocator = _LIBC.mallinfo2()
    return told


def held(manager: Manager) -> dict[str, float]:
    """What this process holds now.

    ``objects`` are those that Python's collector knows, ``blocks`` all that Python has allocated in small pieces;
    ``malloc_used_mb`` and ``malloc_free_mb`` what the larger ones and the libraries in C have, and what they gave back.
    """
    malloc = allocated()
    pages = int(_STATM.read_text(encoding="ascii").split()[1])
    return {
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "threads": threading.active_count(),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "series": sum(len(family.samples) for family in manager.metrics.registry.collect()),
        "rss_mb": pages * os.sysconf("SC_PAGESIZE") / 2**20,
        "malloc_used_mb": malloc.uordblks / 2**20,
        "malloc_free_mb": malloc.fordblks / 2**20,
    }


def settled(manager: Manager) -> dict[str, float]:
    """The same when there was no less of anything for a while."""
    fewest, quiet = held(manager), 0
    while quiet < _QUIET_LOOKS:
        time.sleep(_LOOK_SECONDS)
        gc.collect()
        found = held(manager)
        quiet += 1
        if any(found[name] < fewest[name] for name in ("objects", "threads", "descriptors")):
            fewest, quiet = found, 0
    return fewest


def wait(condition: Callable[[], bool], why: str) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it does not come.
    """
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(why)
        time.sleep(_LOOK_SECONDS)


def come(manager: Manager, provider: Comers, reader: Reader, turn: int) -> dict[str, float]:
    """Let all come, and wait until each is engaged and was reconciled."""
    reader.seen = Seen(len(provider.specs))
    began = time.monotonic()
    provider.come(turn)
    reader.seen.wait()
    wait(lambda: all(state.state is State.ENGAGED for state in manager.clusters.states()), "clusters are not engaged")
    reader.seen = Seen(0)
    return {"engaged_s": time.monotonic() - began, "full_mb": held(manager)["rss_mb"]}


def leave(manager: Manager, provider: Comers, turn: int) -> dict[str, float]:
    """Let all leave, and wait until none is in memory any more."""
    clusters = [weakref.ref(cluster) for cluster in manager.clusters]
    assert len(clusters) == len(provider.specs)
    began = time.monotonic()
    provider.leave(turn)

    def gone() -> bool:
        if manager.clusters.states():
            return False
        gc.collect()
        return all(cluster() is None for cluster in clusters)

    wait(gone, "clusters that have left are still in memory")
    return {"gone_s": time.monotonic() - began}


def run(work: dict[str, Any]) -> None:
    """Do the work from the start of a manager to its orderly end."""
    provider = Comers(Path(os.environ["KUBECONFIG"]))
    reader = Reader(work)
    manager = Manager(provider=provider, options=OPTIONS)
    manager.add(reader)
    with manager:
        print(json.dumps(settled(manager)), flush=True)
        for turn in range(work["rounds"]):
            found = {**come(manager, provider, reader, turn), **leave(manager, provider, turn), **settled(manager)}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
