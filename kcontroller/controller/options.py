"""How a controller works, as its Reconciler's `setup` says it."""

from __future__ import annotations

import math

import msgspec

from kcontroller.cluster.budgets import Budget
from kcontroller.process.backoff import Backoff
from kcontroller.process.bucket import Bucket


class ControllerOptions(msgspec.Struct, frozen=True):
    """How a controller works.

    Attributes:
        max_concurrent_reconciles: workers; None takes the manager's figure.
        reconcile_timeout: seconds one reconcile may take; None takes the manager's figure, 0 is no limit.
        needs_leader_election: whether it works only in the process that leads, where one is elected.
        delete_budget: what it may delete in each cluster, as `Budget.of` takes it; None takes the manager's figure.
        write_budget: what else it may write there; None takes the manager's figure.
        backoff: seconds between the retries of one request; None for 5 ms, 10 ms, ... 1000 s.
        retry_rate: retries a second of all requests together, and how many may come at once; None is no limit.
        max_per_cluster: workers that may be in one cluster at the same time, also where no other has work; None is no
            limit but that of a quarter, where several have work.

    Raises:
        ValueError: one of them cannot be; the text names it.
    """

    max_concurrent_reconciles: int | None = None
    reconcile_timeout: float | None = None
    needs_leader_election: bool = True
    delete_budget: Budget | str | None = None
    write_budget: Budget | str | None = None
    backoff: Backoff | None = None
    retry_rate: tuple[float, int] | None = None
    max_per_cluster: int | None = None

    def __post_init__(self) -> None:
        """Refuse it where it was written."""
        for name in ("max_concurrent_reconciles", "max_per_cluster"):
            workers = getattr(self, name)
            if workers is not None and workers < 1:
                msg = f"{name} must be at least 1, got {workers}"
                raise ValueError(msg)
        if self.reconcile_timeout is not None and not 0 <= self.reconcile_timeout < math.inf:
            msg = f"reconcile_timeout must be a number of seconds, or 0 for no limit, got {self.reconcile_timeout}"
            raise ValueError(msg)
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            msg = f"backoff takes a Backoff, such as Backoff(initial=1, cap=300), got {self.backoff!r}"
            raise TypeError(msg)
        for budget in (self.delete_budget, self.write_budget):
            if budget is not None:
                Budget.of(budget)
        self.bucket()

    def bucket(self) -> Bucket | None:
        """Make the bucket of `retry_rate`, full."""
        match self.retry_rate:
            case None:
                return None
            case (float() | int() as qps, int() as burst) if 0 < qps < math.inf and burst >= 1:
                return Bucket(qps, burst)
            case _:
                msg = f"retry_rate is retries a second and how many at once, such as (10, 100), got {self.retry_rate!r}"
                raise ValueError(msg)
