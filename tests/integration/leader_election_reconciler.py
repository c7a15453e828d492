"""What the replicas of test_leader_election.py run: every write says who made it."""

from __future__ import annotations

import json
import os
import time
from typing import ClassVar

from kcontroller import Context, Object, ObjectReconciler, Result

WRITER = os.environ.get("WRITER", "")
PERIOD = 0.05


class Diary(ObjectReconciler[Object]):
    """Adds a line to each ConfigMap every 50 ms, at the version that it read."""

    kind: ClassVar[str] = "v1 ConfigMap"
    _last: ClassVar[dict[str, float]] = {}

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        rest = self._last.get(obj.metadata.name, 0.0) + PERIOD - time.monotonic()
        if rest <= 0:
            self._last[obj.metadata.name] = time.monotonic()
            lines = [*json.loads(obj.get("data.lines", "[]")), WRITER]
            obj["data"] = {"lines": json.dumps(lines)}
            ctx.client.update(obj)
        return Result(requeue_after=max(rest, 0.001) if rest > 0 else PERIOD)
