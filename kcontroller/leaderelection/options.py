"""How a leader is elected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElection:
    """How a leader is elected; the defaults are client-go's.

    Attributes:
        name: of the Lease.
        namespace: of the Lease.
        identity: of this process; ``<hostname>_<uuid>`` unless given.
        lease_duration: seconds after which others may take over a lease that was not renewed, by their own observation.
        renew_deadline: seconds after which the leader gives up when it could not renew.
        retry_period: seconds between tries.
        release_on_stop: give the lease back on an orderly stop, so that another takes over at once.
        labels: put on the Lease, merged with those it has.
    """

    name: str
    namespace: str
    identity: str = ""
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    release_on_stop: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
