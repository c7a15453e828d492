"""The side of this framework in ``bin/bench fleet``, with the same work as go/fleet, and in ``bin/bench isolation``.

It works on every context of ``$KUBECONFIG`` but the current one, which is the hub's, each cached in its own namespace.

``python -m benchmarks.fleet_side WORK`` takes its work as JSON, prints ``synced`` when every cluster's ConfigMaps were
reconciled once, waits for a line, and prints what it saw as one line of JSON at its end. Nothing is imported that a
controller would not import.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.kcontroller_side import WRITTEN, Seen, synced
from kcontroller import Manager, ManagerOptions, Reconciler, load_config
from kcontroller.multicluster import ClusterSpec
from kcontroller.process import logs

if TYPE_CHECKING:
    from kcontroller import Builder, Cluster, Config, Context, Request
    from kcontroller.multicluster import Sink

KIND: Final = "v1 ConfigMap"

OPTIONS: Final = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0")


class Contexts:
    """A provider of the contexts of a kubeconfig, each cached in its own namespace."""

    name = "contexts"
    patience: float | None = None

    def __init__(self, kubeconfig: Path) -> None:
        """Read it."""
        document = json.loads(kubeconfig.read_bytes())
        contexts = {each["name"]: each["context"] for each in document["contexts"]}
        del contexts[document["current-context"]]
        # One reading for all contexts of a server and user.
        configs: dict[tuple[str, str], Config] = {}
        self.specs = []
        for name, context in contexts.items():
            access, namespace = (context["cluster"], context["user"]), context["namespace"]
            if access not in configs:
                configs[access] = load_config(kubeconfig=str(kubeconfig), context=name)
            config = replace(configs[access], namespace=namespace)
            self.specs.append(ClusterSpec(name, config, namespaces=(namespace,)))

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:  # noqa: ARG002 - the protocol's
        """Tell all of them."""
        for spec in self.specs:
            sink.present(spec)
        sink.listed()

    def stop(self) -> None:
        """Nothing to end."""


class Reader(Reconciler):
    """Reads each ConfigMap from memory once."""

    def __init__(self, work: dict[str, Any]) -> None:
        """Expect what `work` says."""
        self.seen = Seen(work["clusters"] * work["objects"])
        self._workers = work["workers"]

    def setup(self, builder: Builder) -> None:
        """Reconcile every ConfigMap."""
        builder.for_(KIND).options(max_concurrent_reconciles=self._workers)

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Read it."""
        self.read(ctx, request)

    def read(self, ctx: Context, request: Request) -> Any:
        """Read it, and look at it."""
        found = ctx.client.get(KIND, request)
        assert found["data"]
        self.seen.add(request)
        return found

    def finish(self) -> dict[str, Any]:
        """Report."""
        return {"objects": len(self.seen.figures())}


class Caller(Reader):
    """Asks the object's own cluster for it in each reconcile, and notes how long after a write the reconcile starts."""

    def __init__(self, work: dict[str, Any]) -> None:
        """Expect what `work` says."""
        super().__init__(work)
        self._healthy = frozenset(work["healthy"])
        self._started = time.time_ns()
        self._written = Seen(len(self._healthy) * work["objects"])

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Read when it was written."""
        now = time.time_ns()
        at = int(self.read(ctx, request).metadata.annotations.get(WRITTEN, 0))
        if at > self._started and request.cluster in self._healthy:  # What an earlier round's writer left is older.
            self._written.add(request, (now - at) / 1e6)
        ctx.cluster.api_reader.get(KIND, request)

    def finish(self) -> dict[str, Any]:
        """Wait until all writes in healthy clusters were reconciled."""
        self._written.wait()
        return {**super().finish(), "latencies_ms": self._written.figures()}


def run(work: dict[str, Any]) -> None:
    """Do the work from the start of a manager to its orderly end."""
    logs.configure(sys.stderr, log_format="json")  # As the daemon's; Python's own is several times the work.
    provider = Contexts(Path(os.environ["KUBECONFIG"]))
    reconciler = Caller(work) if work["healthy"] else Reader(work)
    manager = Manager(provider=provider, options=OPTIONS)
    manager.add(reconciler)
    with manager:
        reconciler.seen.wait()
        synced()
        # In `isolation` the orderly end may have to wait for reconciles that hang.
        print(json.dumps(reconciler.finish()), flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
