"""How a leader is elected."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

JITTER: Final = 0.4
"""A standby tries every ``retry_period * [1, 1.4)`` seconds.

client-go spreads up to 2.2 times the period; then a lease that was given back could lie unseen for 4.4 s.
"""

_RENEW_TO_RETRY: Final = 1.2  # client-go's JitterFactor, by which it checks its configuration.
_MAX_NAME: Final = 253
_MAX_NAMESPACE: Final = 63
_MAX_SECONDS: Final = 2**31 - 1  # The API keeps the duration as an int32.
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_IS_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_IS_LABEL: Final = re.compile(_LABEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElection:
    """How a leader is elected; the defaults are client-go's.

    The leader's writes end `renew_deadline` seconds after it began its last successful renewal, by its own clock;
    another takes over `lease_duration` seconds after it saw that renewal, by its own. So the rates of the two clocks
    may differ by up to ``(lease - renew) / (lease + renew)`` either way: 20 % for the defaults. At 5 % the one ends
    after at most 10.53 s and the other begins after at least 14.28 s. What the clocks show does not matter.

    Attributes:
        name: of the Lease.
        namespace: of the Lease.
        identity: of this process; ``<hostname>_<uuid>`` unless given.
        lease_duration: seconds after which others may take over a lease that was not renewed, by their own observation;
            a whole number, because the API keeps one.
        renew_deadline: seconds after which the leader gives up when it could not renew.
        retry_period: seconds between tries; a standby adds up to `JITTER`.
        sync_patience: seconds for which a candidate whose caches are not synced leaves a lease that is free to the
            others; then it takes it all the same, since a kind that nobody can sync must not keep every replica from
            working. 0 takes it at once.
        release_on_stop: give the lease back on an orderly stop, so that another takes over at once.
        labels: put on the Lease, merged with those it has.

    Raises:
        ConfigError: a value cannot be used; the text names it and the remedy.
    """

    name: str
    namespace: str
    identity: str = ""
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    sync_patience: float = 15.0
    release_on_stop: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values, as client-go does."""
        if len(self.name) > _MAX_NAME or not _IS_SUBDOMAIN.fullmatch(self.name):
            msg = f"the Lease's name {self.name[:80]!r} is no DNS name; use lower-case letters, digits, '-' and '.'"
            raise ConfigError(msg)
        if len(self.namespace) > _MAX_NAMESPACE or not _IS_LABEL.fullmatch(self.namespace):
            msg = f"the Lease's namespace {self.namespace[:80]!r} is no name of a namespace; use the one of the process"
            raise ConfigError(msg)
        for name in ("lease_duration", "renew_deadline", "retry_period"):
            seconds = getattr(self, name)
            if not 0 < seconds < math.inf:
                msg = f"{name} is {seconds:g} s; it must be a positive number of seconds"
                raise ConfigError(msg)
        if not 0 <= self.sync_patience < math.inf:
            msg = f"sync_patience is {self.sync_patience:g} s; it must be a number of seconds, or 0 not to wait"
            raise ConfigError(msg)
        self._check_order()

    def _check_order(self) -> None:
        if not (float(self.lease_duration).is_integer() and self.lease_duration <= _MAX_SECONDS):
            msg = f"lease_duration is {self.lease_duration:g} s; the API keeps whole seconds: use 15, for example"
            raise ConfigError(msg)
        if self.lease_duration <= self.renew_deadline:
            msg = (
                f"lease_duration ({self.lease_duration:g} s) must be longer than renew_deadline "
                f"({self.renew_deadline:g} s): raise the one or lower the other"
            )
            raise ConfigError(msg)
        if self.renew_deadline <= _RENEW_TO_RETRY * self.retry_period:
            msg = (
                f"renew_deadline ({self.renew_deadline:g} s) must be longer than {_RENEW_TO_RETRY} x retry_period "
                f"({self.retry_period:g} s): raise the one or lower the other"
            )
            raise ConfigError(msg)

    @property
    def request_timeout(self) -> float:
        """Seconds for one request: half the renew deadline, but at least one, as in controller-runtime."""
        return max(1.0, self.renew_deadline / 2)
