"""How a manager works, as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from kcontroller.leaderelection import LeaderElection


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerOptions:
    """How a manager works.

    Attributes:
        metrics_bind_address: where ``/metrics`` is served; "0" for nowhere.
        health_probe_bind_address: where ``/healthz`` and ``/readyz`` are served; "0" for nowhere.
        graceful_shutdown_timeout: seconds that running reconciles get on stop; 0 does not wait, below 0 has no limit.
        max_concurrent_reconciles: workers of a controller that does not say how many it wants; None is 1, and 4 with a
            provider: a reconcile that hangs in one cluster must leave some for the others.
        reconcile_timeout: seconds one reconcile may take; 0 is no limit.
        namespaces: cache only these; () caches all.
        read_own_writes: whether reads from the cache, and the next reconcile of a request, wait until the cache shows
            what was written here; without it a reconcile may decide by a state from before its own last write.
        leader_election: work only while this process holds a Lease; None works at once.
        switch_interval: seconds after which the interpreter lets another thread run. At Python's 5 ms an event next to
            ten busy workers waits 0.4 s (99th percentile), at 0.5 ms 0.05 s. 0 leaves the interpreter's.

    Raises:
        ConfigError: a value that cannot be meant.
    """

    metrics_bind_address: str = ":8080"
    health_probe_bind_address: str = ":8081"
    graceful_shutdown_timeout: float = 30.0
    max_concurrent_reconciles: int | None = None
    reconcile_timeout: float = 0.0
    namespaces: tuple[str, ...] = ()
    read_own_writes: bool = True
    leader_election: LeaderElection | None = None
    switch_interval: float = 0.0005

    def __post_init__(self) -> None:
        """Refuse what would only show later, and in another place."""
        if isinstance(self.namespaces, str):
            msg = f"namespaces must be a tuple of names, such as ({self.namespaces!r},), got {self.namespaces!r}"
            raise ConfigError(msg)
        if not all(self.namespaces):
            msg = "namespaces holds an empty name; () caches all"
            raise ConfigError(msg)
        if self.max_concurrent_reconciles is not None and self.max_concurrent_reconciles < 1:
            msg = f"max_concurrent_reconciles must be at least 1, got {self.max_concurrent_reconciles}"
            raise ConfigError(msg)
        if not 0 <= self.reconcile_timeout < math.inf:
            msg = f"reconcile_timeout must be a number of seconds, or 0 for no limit, got {self.reconcile_timeout}"
            raise ConfigError(msg)
        if not math.isfinite(self.graceful_shutdown_timeout):
            msg = f"graceful_shutdown_timeout must be a number of seconds, got {self.graceful_shutdown_timeout}"
            raise ConfigError(msg)
