"""The side of Kopf in `bin/bench reconcile`: an event handler that sees each object once, in both of its forms.

It runs in an environment of its own, with the same Python as ours.

``python kopf_side.py WORK`` takes its work as JSON and prints how many objects it saw as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import kopf

KINDS: dict[str, tuple[tuple[str, str, str], Any]] = {
    "widgets": (("bench.example.com", "v1", "widgets"), lambda spec: spec["replicas"]),
    "pods": (("", "v1", "pods"), lambda spec: len(spec["containers"])),
}


def main(work: dict[str, Any]) -> None:
    """Run an operator until it has seen every object."""
    kind, size = KINDS[work["kind"]]
    seen: set[tuple[str | None, str | None]] = set()
    done = asyncio.Event()

    def see(name: str | None, namespace: str | None, spec: kopf.Spec) -> None:
        assert size(spec) > 0
        seen.add((namespace, name))
        if len(seen) == work["objects"]:
            done.set()

    if work["form"] == "async":

        @kopf.on.event(*kind)
        async def read_on_the_loop(name: str | None, namespace: str | None, spec: kopf.Spec, **_: Any) -> None:
            see(name, namespace, spec)

    else:

        @kopf.on.event(*kind)
        def read(name: str | None, namespace: str | None, spec: kopf.Spec, **_: Any) -> None:
            see(name, namespace, spec)

    kopf.run(clusterwide=True, standalone=True, stop_flag=done)
    print(json.dumps({"objects": len(seen)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
