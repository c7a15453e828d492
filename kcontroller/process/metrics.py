"""The metric families of one manager, on a registry of its own.

Names that dashboards for controller-runtime and client-go know keep those names and labels; new facts live under
``kcontroller_``. There is never a label per object, no histogram per cluster, and none per host of a fleet. A cluster
of a fleet has `CLUSTER_SERIES` series at most: what is worth more per kind is counted for all clusters together.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from kcontroller.process.durations import DurationFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

CLUSTER_SERIES: Final = 12
"""So many series a cluster of a fleet has at most (DESIGN 3.15)."""

FLEET_HOST: Final = "fleet"
"""The ``host`` of all requests to hosts that are those of fleet clusters alone."""

SUCCESS: Final = "success"
ERROR: Final = "error"
"""The results of the reconciles of a cluster; whatever is no error is a success."""

_QUEUE_SECONDS: Final = tuple(10.0**exponent for exponent in range(-8, 4))
_RECONCILE_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
    *(15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0),
)
_WAIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_REQUEST_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class Metrics:
    """Every family the framework writes; one instance per manager, so that two managers in a process do not mix."""

    def __init__(self) -> None:
        """Register all families on a new registry."""
        self.registry = CollectorRegistry(auto_describe=True)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Go's client has no such series, and they would be a third of all.
        self._lock = threading.Lock()
        self._hosts: dict[str, set[object]] = {}
        self._folds_hosts = False
        self._pending = _Pending()
        self.registry.register(self._pending)  # The first is collected first.
        ProcessCollector(registry=self.registry)
        self._controller_families()
        self._safety_families()
        self._queue_families()
        self._client_families()
        self._informer_families()
        self._cache_families()
        self._cluster_families()
        self._process_families()
        self._election_families()
        self._serving_families()

    def _controller_families(self) -> None:
        by_controller = ("controller",)
        self.reconcile_total = self._counter(
            "controller_runtime_reconcile", "Reconciliations per controller and result.", ("controller", "result")
        )
        self.reconcile_errors = self._counter(
            "controller_runtime_reconcile_errors", "Reconciliation errors per controller.", by_controller
        )
        self.terminal_errors = self._counter(
            "controller_runtime_terminal_reconcile_errors",
            "Terminal reconciliation errors per controller.",
            by_controller,
        )
        self.reconcile_panics = self._counter(
            "controller_runtime_reconcile_panics",
            "Reconciliations that raised something that is not an Exception.",
            by_controller,
        )
        self.reconcile_timeouts = self._counter(
            "controller_runtime_reconcile_timeouts",
            "Reconciliations whose deadline has passed, also of those that have not returned yet.",
            by_controller,
        )
        self.reconcile_seconds = self._durations(
            "controller_runtime_reconcile_time_seconds",
            "Duration of a reconciliation.",
            by_controller,
            _RECONCILE_SECONDS,
        )
        self.max_concurrent = self._gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers per controller.", by_controller
        )
        self.active_workers = self._gauge(
            "controller_runtime_active_workers", "Workers busy now, per controller.", by_controller
        )
        self.stuck_reconciles = self._gauge(
            "kcontroller_stuck_reconciles",
            "Reconciliations that have not returned after their deadline, or without one for five minutes.",
            by_controller,
        )
        self.dropped_requests = self._counter(
            "kcontroller_dropped_requests",
            "Requests that were not reconciled since their cluster has left.",
            by_controller,
        )
        self.mapper_jobs = self._gauge(
            "kcontroller_mapper_jobs",
            "Events that wait for a map function or a predicate of the user's.",
            by_controller,
        )
        self.mapper_oldest = self._gauge(
            "kcontroller_mapper_oldest_seconds", "Age of the oldest such function that runs.", by_controller
        )
        self.mapper_retries = self._counter(
            "kcontroller_mapper_retries", "Times that such a function failed and will be called again.", by_controller
        )
        self.mapper_failures = self._counter(
            "kcontroller_mapper_failures", "Events dropped because such a function failed each time.", by_controller
        )

    def _safety_families(self) -> None:
        by_controller = ("controller",)
        self.budget_trips = self._counter(
            "kcontroller_budget_trips",
            "Times that a budget stopped a controller in a cluster.",
            (*by_controller, "budget"),
        )
        self.budgets_spent = self._gauge(
            "kcontroller_budgets_spent",
            "Clusters in which a controller is stopped by a budget until somebody resumes it.",
            (*by_controller, "budget"),
        )
        self.paused_clusters = self._gauge(
            "kcontroller_paused_clusters", "Clusters in which a controller is paused by command.", by_controller
        )
        self.canary_held_clusters = self._gauge(
            "kcontroller_canary_held_clusters",
            "Clusters that wait until a new version has been well on those that go first.",
            (),
        )
        self.paused_objects = self._gauge(
            "kcontroller_paused_objects", "Objects that are paused by their annotation.", by_controller
        )
        self.hot_requests = self._counter(
            "kcontroller_hot_requests",
            "Requests found to be reconciled again and again although nothing from outside changed.",
            (*by_controller, "cause"),
        )
        self.contested_fields = self._counter(
            "kcontroller_contested_fields",
            "Times that a field was found which somebody else sets to another value each time.",
            by_controller,
        )

    def _queue_families(self) -> None:
        labels = ("name", "controller")
        self.queue_depth = self._gauge("workqueue_depth", "Items ready to be worked on.", (*labels, "priority"))
        self.queue_adds = self._counter("workqueue_adds", "Items that became ready.", labels)
        self.queue_seconds = self._durations(
            "workqueue_queue_duration_seconds", "Time between ready and handed out.", labels, _QUEUE_SECONDS
        )
        self.queue_work_seconds = self._durations(
            "workqueue_work_duration_seconds", "Time between handed out and done.", labels, _QUEUE_SECONDS
        )
        self.queue_refused = self._counter(
            "kcontroller_queue_refused",
            "Requests refused because too many of their cluster were ready; they are told again when there is room.",
            ("controller",),
        )
        self.queue_unfinished = self._gauge(
            "workqueue_unfinished_work_seconds", "Sum of the ages of the items being worked on.", labels
        )
        self.queue_longest = self._gauge(
            "workqueue_longest_running_processor_seconds", "Age of the oldest item being worked on.", labels
        )
        self.queue_retries = self._counter("workqueue_retries", "Items added with a delay.", labels)

    def _client_families(self) -> None:
        self.requests = self._counter(
            "rest_client_requests", "Requests by status code, method and host.", ("code", "method", "host")
        )
        self.request_seconds = self._histogram(
            "rest_client_request_duration_seconds", "Duration of a request.", ("verb", "host"), _REQUEST_SECONDS
        )
        self.rate_limiter_seconds = self._histogram(
            "rest_client_rate_limiter_duration_seconds",
            "Time that requests waited for the client's own rate limiter, where one is set.",
            ("verb", "host"),
            _REQUEST_SECONDS,
        )
        self.request_retries = self._counter(
            "rest_client_request_retries", "Requests sent again.", ("code", "verb", "host")
        )
        self._by_host = (self.requests, self.request_seconds, self.rate_limiter_seconds, self.request_retries)

    def _informer_families(self) -> None:
        labels = ("cluster", "kind")
        self.informer_objects = self._gauge("kcontroller_informer_objects", "Objects in the cache.", labels)
        self.informer_bytes = self._gauge("kcontroller_informer_bytes", "Bytes of JSON in the cache.", labels)
        self.informer_state = self._gauge(
            "kcontroller_informer_state",
            "0 live, 1 first list under way, 2 synced but without news, 3 not synced and failing, 4 kind not served, "
            "5 credentials or rights refused.",
            labels,
        )
        self.informer_last_event_age = self._gauge(
            "kcontroller_informer_last_event_age_seconds",
            "Time since the server last sent an event or a bookmark.",
            labels,
        )
        self.informer_relists = self._counter("kcontroller_informer_relists", "Lists after the first one.", labels)
        self.informer_list_seconds = self._gauge(
            "kcontroller_informer_list_seconds",
            "Duration of the last complete list; for clusters of a fleet see kcontroller_cluster_sync_seconds.",
            ("kind",),
        )
        self.informer_resets = self._counter(
            "kcontroller_informer_resets", "Times a server went back in time and the cache followed.", ("kind",)
        )
        self.informer_stale_answers = self._counter(
            "kcontroller_informer_stale_answers", "Answers older than the cache that were dropped.", ("kind",)
        )
        self.informer_undecodable = self._counter(
            "kcontroller_informer_undecodable", "Times an object could not be decoded and was skipped.", ("kind",)
        )
        self._by_informer = (
            *(self.informer_objects, self.informer_bytes, self.informer_state, self.informer_last_event_age),
            self.informer_relists,
        )
        self._by_kind = (
            *(self.informer_list_seconds, self.informer_resets, self.informer_stale_answers),
            self.informer_undecodable,
        )

    def _cache_families(self) -> None:
        self.stale_reads = self._counter("kcontroller_stale_reads", "Reads that gave up waiting for an own write.", ())
        self.own_write_waits = self._counter(
            "kcontroller_own_write_waits", "Reads that waited until the cache showed an own write.", ()
        )
        self.own_write_wait_seconds = self._histogram(
            "kcontroller_own_write_wait_seconds", "How long reads waited for an own write.", (), _WAIT_SECONDS
        )
        self.own_write_holds = self._counter(
            "kcontroller_own_write_holds",
            "Times a request was held back until the cache shows what its last reconcile wrote.",
            ("controller",),
        )
        self.tracked_objects = self._gauge(
            "kcontroller_tracked_objects", "Objects that reconciles have read with track=True.", ()
        )

    def _cluster_families(self) -> None:
        by_cluster = ("cluster",)
        self.clusters = self._gauge("kcontroller_clusters", "Clusters that a provider found, by state.", ("state",))
        self.cluster_state = self._gauge(
            "kcontroller_cluster_state",
            "0 discovered, 1 connecting, 2 syncing, 3 engaged, 4 draining.",
            by_cluster,
        )
        self.cluster_sync_seconds = self._gauge(
            "kcontroller_cluster_sync_seconds",
            "Time from the last connection of a cluster until it was engaged.",
            by_cluster,
        )
        self.cluster_failures = self._counter(
            "kcontroller_cluster_engagement_failures",
            "Times that a cluster could not be engaged, or broke afterwards; each is followed by another try.",
            by_cluster,
        )
        self.cluster_reconciles = self._counter(
            "kcontroller_cluster_reconciles",
            "Reconciliations per cluster and result, success or error.",
            (*by_cluster, "result"),
        )
        self.cluster_breakers = self._gauge(
            "kcontroller_cluster_breakers", "Clusters whose circuit breaker is not closed, by state.", ("state",)
        )
        self.suspended_clusters = self._gauge(
            "kcontroller_suspended_clusters", "Clusters that have lately refused writes since they are suspended.", ()
        )
        self.cluster_queue_depth = self._gauge(
            "kcontroller_cluster_queue_depth", "Items of a cluster that are ready, in all queues.", by_cluster
        )
        self._by_cluster = (
            *(self.cluster_state, self.cluster_sync_seconds, self.cluster_failures, self.cluster_queue_depth),
        )

    def _process_families(self) -> None:
        self.threads_failed = self._counter("kcontroller_thread_failures", "Threads that ended by an exception.", ())
        self.events = self._counter(
            "kcontroller_events",
            "Recorded events: sent, aggregated into another, filtered as spam, dropped, or failed.",
            ("result",),
        )

    def _election_families(self) -> None:
        self.leader_status = self._gauge(
            "leader_election_master_status", "1 while this process holds the lease.", ("name",)
        )
        self.leader_slow_path = self._counter(
            "leader_election_slowpath", "Renewals that had to read the lease first.", ("name",)
        )

    def _serving_families(self) -> None:
        self.access = self._counter(
            "kcontroller_metrics_access",
            "Requests to secure metrics: allowed, unauthenticated, forbidden, limited, or unavailable because the API "
            "server could not be asked.",
            ("result",),
        )
        self.certificate_readings = self._counter(
            "certwatcher_read_certificate", "Times a serving certificate was read.", ()
        )
        self.certificate_errors = self._counter(
            "certwatcher_read_certificate_errors", "Times a serving certificate was read and of no use.", ()
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _durations(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> DurationFamily:
        return DurationFamily(name, text, labels, buckets, registry=self.registry)

    def before_collecting(self, publish: Callable[[], None]) -> None:
        """Call a function before the families are read: it writes what was counted elsewhere, and must not raise."""
        self._pending.add(publish)

    def forget_cluster(self, name: str) -> None:
        """Drop every series of a cluster of a fleet that has left; costs the same however many there are."""
        self._pending.publish()  # Or what is counted but not written yet would bring its series back.
        for family in self._by_cluster:
            family.remove(name)
        for result in (SUCCESS, ERROR):
            self.cluster_reconciles.remove(name, result)
        self.forget_informers(name, "")

    def forget_informers(self, cluster: str, kind: str) -> None:
        """Drop the series of a kind's informers in one cluster; of a cluster of a fleet, kind "" is all of them."""
        for family in self._by_informer:
            family.remove(cluster, kind)
        for family in () if cluster else self._by_kind:
            family.remove(kind)

    def fold_hosts(self) -> None:
        """Count requests to every host that nobody has joined yet as to `FLEET_HOST`: a fleet may have a thousand."""
        with self._lock:
            self._folds_hosts = True

    def join_host(self, host: str, user: object) -> str:
        """Note who sends requests to a host, and return its label; many clusters may share one. Any thread."""
        with self._lock:
            label = FLEET_HOST if self._folds_hosts and host not in self._hosts else host
            self._hosts.setdefault(label, set()).add(user)
            return label

    def leave_host(self, label: str, user: object) -> None:
        """Note that a user sends no more; with the last one go the host's series. Any thread, also more than once."""
        with self._lock:
            users = self._hosts.get(label, set())
            if user not in users:
                return
            users.discard(user)
            if not users:
                del self._hosts[label]
                for family in self._by_host:
                    family.remove_by_labels({"host": label})

    def render(self) -> bytes:
        """Write all families in the Prometheus text format."""
        return generate_latest(self.registry)


class _Pending(Collector):
    """Has no metrics of its own; being collected, it lets others write theirs."""

    def __init__(self) -> None:
        self._functions: tuple[Callable[[], None], ...] = ()

    def add(self, function: Callable[[], None]) -> None:
        self._functions = (*self._functions, function)

    def publish(self) -> None:
        for function in self._functions:
            function()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        self.publish()
        return ()
