"""What a process still waits for before it knows what there is."""

from __future__ import annotations

import msgspec


class Pending(msgspec.Struct, frozen=True):
    """A kind of a cluster that is not synced, and why.

    Attributes:
        cluster: its name.
        kind: such as ``v1 ConfigMap``; "" if the cluster as a whole is not engaged.
        reason: why.
    """

    cluster: str
    kind: str
    reason: str

    def __str__(self) -> str:
        """One line for readiness and logs."""
        where = f"cluster {self.cluster}: " if self.cluster else ""
        if not self.kind:
            return f"{where}not engaged: {self.reason}"
        return f"{where}{self.kind} is not synced: {self.reason}"
