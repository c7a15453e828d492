"""Bytes per cached object: a Projection and a Store, fed with bytes in a process of its own, without a server."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.elsewhere import run_elsewhere, spread
from benchmarks.widgets import GROUP, widget
from kcontroller.api.keys import GVK
from kcontroller.cache.projection import Projection
from kcontroller.cache.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kcontroller.cache.projection import Entry

PATHS: Final[dict[str, tuple[str, ...]]] = {"no index": (), "one index": ("spec.image",)}

_MANAGED: Final = [
    {
        "manager": "bench",
        "operation": "Update",
        "apiVersion": f"{GROUP}/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {
                "f:annotations": {".": {}, "f:example.com/checksum": {}},
                "f:labels": {".": {}, "f:tier": {}},
            },
            "f:spec": {".": {}, "f:args": {}, "f:env": {}, "f:image": {}, "f:replicas": {}, "f:selector": {}},
        },
    }
]


def wire(number: int) -> bytes:
    """Make a Widget as the server sends it, managedFields and all."""
    body = widget(number)
    body["metadata"] |= {
        "uid": f"{number:08x}-0000-4000-8000-000000000000",
        "resourceVersion": str(1000 + number),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": _MANAGED,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def weigh(objects: int, paths: tuple[str, ...]) -> dict[str, float]:
    """Fill a store in this process and say how much the process grew; call it once in a process."""
    projection = Projection(GVK(GROUP, "v1", "Widget"), paths)
    store = Store(projection)
    entries: list[Entry] = [projection.entry(wire(0))]
    gc.collect()
    before, used = _resident(), 0.0
    entries.clear()
    for number in range(objects):
        raw = wire(number)
        at = time.thread_time()
        entries.append(projection.entry(raw))
        used += time.thread_time() - at
    at = time.thread_time()
    store.replace(entries, 1)
    filled = time.thread_time() - at
    entries.clear()
    gc.collect()
    grown = _resident() - before
    count, size = store.size
    return {
        "json_bytes": size / count,
        "bytes_per_object": grown / count,
        "beyond_json": (grown - size) / count,
        "project_us": used / count * 1e6,
        "replace_us": filled / count * 1e6,
    }


def _resident() -> int:
    """What this process holds now, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:", 1)[1].split(None, 1)[0]) * 1024


def measure(objects: int, *, repeat: int) -> dict[str, Any]:
    """Weigh in processes of their own, `repeat` times for each set of indexes."""
    kinds = {}
    for name in PATHS:
        weighed = [run_elsewhere("benchmarks.memory", str(objects), name) for _ in range(repeat)]
        kinds[name] = {key: spread([each[key] for each in weighed], digits=2) for key in weighed[0]}
    return {"objects": objects, "repeat": repeat, "indexes": kinds}


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Show the results as Markdown."""
    rows = [
        ["store: median (smallest to largest)", "JSON bytes", "all bytes", "beyond JSON", "decode µs", "replace µs"],
        ["---"] * 6,
        *(
            [f"{result['objects']:,}, {name}", *map(_cell, spreads.values())]
            for result in results
            for name, spreads in result["indexes"].items()
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(spread: Mapping[str, float]) -> str:
    digits = 0 if spread["median"] >= 20 else 2  # noqa: PLR2004
    return f"{spread['median']:.{digits}f} ({spread['min']:.{digits}f}-{spread['max']:.{digits}f})"


if __name__ == "__main__":
    print(json.dumps(weigh(int(sys.argv[1]), PATHS[sys.argv[2]])))
