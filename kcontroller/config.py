"""How a manager works, as a value."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kcontroller.api.selectors import LabelSelector
from kcontroller.cluster.budgets import DELETES, Budget
from kcontroller.controller.pauses import target_of
from kcontroller.errors import ConfigError
from kcontroller.multicluster.first_list import READY_WHEN
from kcontroller.process.trace import FEWEST_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.leaderelection import LeaderElection
    from kcontroller.multicluster.first_list import ReadyWhen

_GROUP_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]*(\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerOptions:
    """How a manager works.

    Attributes:
        metrics_bind_address: where ``/metrics`` is served; "0" for nowhere.
        metrics_secure: serve them by HTTPS, and to users alone that the API server lets ``get`` the path; by default
            they are open to everybody who reaches the port.
        metrics_cert_dir: a folder with ``tls.crt`` and ``tls.key`` for that, read again when they change; without it a
            certificate is made at the start, which needs ``kcontroller[secure-metrics]``.
        health_probe_bind_address: where ``/healthz`` and ``/readyz`` are served; "0" for nowhere.
        graceful_shutdown_timeout: seconds that running reconciles get on stop; 0 does not wait, below 0 has no limit.
        max_concurrent_reconciles: workers of a controller that does not say how many it wants; None is 1, and 4 with a
            provider: a reconcile that hangs in one cluster must leave some for the others.
        concurrency: workers of the controllers of a kind (`Builder.for_`) that do not say how many they want, by
            ``Kind.group``, or ``Kind`` in the core group, such as ``{"Deployment.apps": 8, "ConfigMap": 2}``; goes
            before `max_concurrent_reconciles`. (controller-runtime's GroupKindConcurrency.)
        reconcile_timeout: seconds one reconcile may take; then it is told to end, and if it does not, another worker
            takes its place (ADR 0020). 0 is no limit.
        namespaces: cache only these; () caches all.
        ready_when: how many clusters of a provider readiness waits for; see `ReadyWhen`.
        canary: the labels of the clusters of a provider that go first, such as ``tier=canary``: the others wait, while
            their caches fill, until nothing has failed there for `canary_minutes`. "" lets all begin at once.
        canary_minutes: how long; each failure lets the time begin anew.
        cluster_qps: requests a second that this process may send to each cluster of a provider, unless its `Config`
            says so itself; 0 for no limit. Lists and watches do not count.
        cluster_burst: how many of them may go at once; 0 for 10.
        qps: requests a second of all clusters together, the hub among them; 0 for no limit.
        burst: how many of them may go at once; 0 for 10.
        delete_budget: how many objects a controller may delete in each cluster, such as ``100/10m``, unless its `setup`
            says otherwise; one more, and it is paused there until somebody resumes it. "0" is no limit.
        write_budget: likewise for all other writes.
        paused: controllers that do not work until somebody resumes them, as ``CONTROLLER`` or ``CONTROLLER@CLUSTER``;
            "*" is every controller.
        detect_loops: whether to look for requests that a controller keeps busy with itself, and for fields over which
            it fights with somebody else; both are only said.
        read_own_writes: whether reads from the cache, and the next reconcile of a request, wait until the cache shows
            what was written here; without it a reconcile may decide by a state from before its own last write.
        leader_election: work only while this process holds a Lease; None works at once.
        switch_interval: seconds after which the interpreter lets another thread run. At Python's 5 ms an event next to
            ten busy workers waits 0.4 s (99th percentile), at 0.5 ms 0.05 s. 0 leaves the interpreter's.
        trace_keys: of so many requests of each controller it is remembered what happened to them, for `explain`; 0 for
            none.
        control_socket: the path of the unix socket that ``kcontroller explain``, ``pause`` and ``resume`` talk to;
            "auto" for one in the user's runtime folder, "0" for none.
        debug_bind_address: where ``/debug`` is served, on loopback only; "0" for nowhere.

    Raises:
        ConfigError: a value that cannot be meant.
    """

    metrics_bind_address: str = ":8080"
    metrics_secure: bool = False
    metrics_cert_dir: str | None = None
    health_probe_bind_address: str = ":8081"
    graceful_shutdown_timeout: float = 30.0
    max_concurrent_reconciles: int | None = None
    concurrency: Mapping[str, int] = field(default_factory=dict)
    reconcile_timeout: float = 300.0
    namespaces: tuple[str, ...] = ()
    ready_when: ReadyWhen = "first-list"
    canary: str = ""
    canary_minutes: float = 10.0
    cluster_qps: float = 0.0
    cluster_burst: int = 0
    qps: float = 0.0
    burst: int = 0
    delete_budget: str = str(DELETES)
    write_budget: str = "0"
    paused: tuple[str, ...] = ()
    detect_loops: bool = True
    read_own_writes: bool = True
    leader_election: LeaderElection | None = None
    switch_interval: float = 0.0005
    trace_keys: int = 0
    control_socket: str = "0"
    debug_bind_address: str = "0"

    def __post_init__(self) -> None:
        """Refuse what would only show later, and in another place."""
        if isinstance(self.namespaces, str):
            msg = f"namespaces must be a tuple of names, such as ({self.namespaces!r},), got {self.namespaces!r}"
            raise ConfigError(msg)
        if not all(self.namespaces):
            msg = "namespaces holds an empty name; () caches all"
            raise ConfigError(msg)
        if self.ready_when not in READY_WHEN:
            msg = f"ready_when must be one of {', '.join(READY_WHEN)}, got {self.ready_when!r}"
            raise ConfigError(msg)
        if self.trace_keys and self.trace_keys < FEWEST_KEYS:
            msg = f"trace_keys must be at least {FEWEST_KEYS}, or 0 for no trace, got {self.trace_keys}"
            raise ConfigError(msg)
        if not 0 <= self.reconcile_timeout < math.inf:
            msg = f"reconcile_timeout must be a number of seconds, or 0 for no limit, got {self.reconcile_timeout}"
            raise ConfigError(msg)
        if self.metrics_cert_dir and not self.metrics_secure:
            msg = "metrics_cert_dir needs metrics_secure: without it nothing is encrypted"
            raise ConfigError(msg)
        self._check_rates()
        self._check_canary()
        self._check_concurrency()
        self._check_rails()
        if not math.isfinite(self.graceful_shutdown_timeout):
            msg = f"graceful_shutdown_timeout must be a number of seconds, got {self.graceful_shutdown_timeout}"
            raise ConfigError(msg)

    def _check_rates(self) -> None:
        for rate, burst in (("cluster_qps", "cluster_burst"), ("qps", "burst")):
            a_second, at_once = getattr(self, rate), getattr(self, burst)
            if not 0 <= a_second < math.inf or at_once < 0:
                msg = f"{rate} and {burst} must be 0 or more, 0 for no limit; got {a_second} and {at_once}"
                raise ConfigError(msg)
            if at_once and not a_second:
                msg = f"{burst} needs {rate}: without it nothing is limited"
                raise ConfigError(msg)

    def _check_canary(self) -> None:
        if not 0 < self.canary_minutes < math.inf:
            msg = f"canary_minutes must be a positive number, got {self.canary_minutes}"
            raise ConfigError(msg)
        try:
            LabelSelector.parse(self.canary)
        except ValueError as error:
            msg = f"canary: {error}"
            raise ConfigError(msg) from error

    def _check_concurrency(self) -> None:
        if self.max_concurrent_reconciles is not None and self.max_concurrent_reconciles < 1:
            msg = f"max_concurrent_reconciles must be at least 1, got {self.max_concurrent_reconciles}"
            raise ConfigError(msg)
        for kind, workers in self.concurrency.items():
            if not _GROUP_KIND.fullmatch(kind):
                msg = f"concurrency: {kind!r} is not a kind; write it like 'Deployment.apps' or 'ConfigMap'"
                raise ConfigError(msg)
            if workers < 1:
                msg = f"concurrency of {kind} must be at least 1, got {workers}"
                raise ConfigError(msg)

    def _check_rails(self) -> None:
        for name in ("delete_budget", "write_budget"):
            try:
                Budget.of(getattr(self, name))
            except ValueError as error:
                msg = f"{name}: {error}"
                raise ConfigError(msg) from error
        if isinstance(self.paused, str):
            msg = f"paused must be a tuple of names, such as ({self.paused!r},), got {self.paused!r}"
            raise ConfigError(msg)
        for text in self.paused:
            target_of(text)
