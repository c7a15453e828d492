"""What a candidate does next: the rules of the election, without I/O, threads or clocks.

Whoever runs it asks `step`, does what it says, tells the outcome, and asks again. Time is the caller's own and only
ever compared with itself; times that others wrote into the Lease are not looked at.

* A Lease may be taken when it has no holder, or when it has not changed for the duration that it states, counted from
  when this candidate saw the change. At first sight that is a whole duration.
* A leader leads until `renew_deadline` after the moment *before* its last successful write was sent: the write may have
  arrived then at the earliest, and no other candidate can have seen it earlier.
* What was lost stays lost. A leader that cannot renew in time, or finds another holder, does not try again.
* One that is not ready leaves a Lease that may be taken to the others, for `sync_patience` seconds.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.leaderelection.options import JITTER
from kcontroller.leaderelection.record import Claim, Lease, new_lease

if TYPE_CHECKING:
    from datetime import datetime

    from kcontroller.leaderelection.options import LeaderElection

_NEVER: Final = -math.inf
_READY_SECONDS: Final = 0.1  # Between two questions whether this process is ready by now.
_STAMPS: Final = 16  # Of writes whose outcome may be unknown; there are never more than a few.
_SHOWN: Final = 100
_MOST_TRANSITIONS: Final = 2**31 - 1  # The API keeps an int32.


class Look(msgspec.Struct, frozen=True):
    """Read the Lease, within `timeout` seconds; then call `looked`, or `failed`."""

    timeout: float


class Write(msgspec.Struct, frozen=True):
    """Create or update the Lease, within `timeout` seconds; then call `written`, `refused` or `failed`."""

    lease: Lease
    create: bool
    timeout: float


class Wait(msgspec.Struct, frozen=True):
    """Ask again after so many seconds."""

    seconds: float


class Lost(msgspec.Struct, frozen=True):
    """The lease was lost; there is no next step."""

    why: str


Step = Look | Write | Wait | Lost


class Decision:
    """The state of one candidate. For one thread; only `holds`, `until` and `lease` may be read by others.

    Attributes:
        leading: whether it has been elected and has not lost since; `holds` says whether that is still sure.

    Args:
        options: see there.
        identity: of this candidate, which no other may have.
        rng: for the jitter.
    """

    def __init__(self, options: LeaderElection, identity: str, *, rng: random.Random | None = None) -> None:
        self.leading = False
        self._options = options
        self._identity = identity
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._until = _NEVER
        self._lost = ""
        self._seen: Lease | None = None
        self._there = False
        self._changed = _NEVER
        self._stamps: deque[str] = deque(maxlen=_STAMPS)
        self._acquired = ""
        self._due = _NEVER
        self._begun: float | None = None
        self._vacant: float | None = None
        self._looked = False
        self._doubtful = False

    # ---- what is asked -------------------------------------------------------------------------------------------

    def holds(self, now: float) -> bool:
        """Whether nobody else can lead at this moment."""
        return now < self._until

    @property
    def until(self) -> float:
        """The moment at which `holds` ends unless the lease is renewed; minus infinity without a lease."""
        return self._until

    @property
    def lease(self) -> Lease | None:
        """The Lease when it was last seen, even if it is not there any more."""
        return self._seen

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; "" for nobody, or if it is not there."""
        return self._seen.holder if self._seen is not None and self._there else ""

    @property
    def transitions(self) -> int:
        """How often the Lease had gone to another holder when it was last seen."""
        return 0 if self._seen is None else self._seen.transitions

    def step(self, now: float, wall: datetime, *, ready: bool = True) -> Step:
        """Say what to do at this moment.

        Args:
            now: the caller's time.
            wall: what the Lease will show to people.
            ready: whether this process could do the leader's work.
        """
        if self.leading and now >= self._until:
            self._lose(f"it could not be renewed within {self._options.renew_deadline:g} s")
        if self._lost:
            return Lost(self._lost)
        if self._begun is None:
            if now < self._due:
                return Wait((min(self._due, self._until) if self.leading else self._due) - now)
            self._begun = now
        if not self._looked and (self._doubtful or not self.leading):
            return Look(self._timeout(now))
        if not self.leading:
            if not self._may_take(now):
                self._vacant = None
                self._rest(now)
                return Wait(self._due - now)
            if (left := self._left_to_others(now)) > 0 and not ready:
                if now >= self._begun + self._options.retry_period:
                    self._begun, self._looked, self._due = None, False, now
                return Wait(min(left, _READY_SECONDS))
        return self._write(now, wall)

    # ---- what is told --------------------------------------------------------------------------------------------

    def looked(self, lease: Lease | None, now: float) -> None:
        """Take what the server has; None if there is no Lease of that name."""
        self._looked = True
        if self.leading and lease is not None:
            if lease.holder != self._identity:
                self._lose(f"{lease.holder[:_SHOWN] or 'nobody'} holds it")
            elif lease.acquired not in {"", self._acquired} and not self._is_ours(lease):
                self._lose(f"another process of the name {self._identity[:_SHOWN]} holds it")
        self._observe(lease, now)

    def written(self, lease: Lease, *, sent: float, now: float) -> None:
        """Take the server's answer to a write that was sent, at the earliest, at the moment `sent`."""
        self._observe(lease, now)
        until = sent + self._options.renew_deadline
        # An answer that comes too late makes no leader, and does not call one back.
        if not self._lost and now < (self._until if self.leading else until):
            self.leading, self._until, self._doubtful = True, until, False
            self._acquired = lease.acquired
        self._rest(now)

    def refused(self, now: float) -> None:
        """Take that the Lease is not as it was when it was last seen."""
        if self.leading and not self._looked:
            self._doubtful = True
        else:
            self._rest(now)

    def failed(self, now: float) -> None:
        """Take that there was no usable answer; a write may have happened."""
        self._rest(now)

    # ---- giving it back ------------------------------------------------------------------------------------------

    def resign(self) -> None:
        """Lead no longer, so that the Lease can be given back."""
        self.leading, self._until = False, _NEVER

    def returned(self, lease: Lease, wall: datetime) -> Lease | None:
        """The Lease without a holder, as it is to be written; None if it is not ours.

        It is good for one second then, as the API allows no zero.
        """
        if self._lost or not self._is_ours(lease):
            return None
        return lease.claimed(Claim("", 1, lease.transitions, wall, wall), {})

    # ---- rules ---------------------------------------------------------------------------------------------------

    def _observe(self, lease: Lease | None, now: float) -> None:
        if lease is None:
            if self._there:
                # Its holder may have renewed it right before somebody deleted it, and makes it again.
                self._there, self._changed = False, now
            return
        if self._seen is None or not self._there or not lease.same_content(self._seen):
            self._changed = now
        self._seen, self._there = lease, True
        if self.leading and lease.preferred not in {"", self._identity}:
            # Coordinated election (KEP-4355): a preferred holder ends the term of the present one.
            self._lose(f"the lease is to go to {lease.preferred[:_SHOWN]}")

    def _is_ours(self, lease: Lease) -> bool:
        # The name alone is not enough: another process may have been given the same.
        return lease.holder == self._identity and lease.renewed in self._stamps

    def _may_take(self, now: float) -> bool:
        seen = self._seen
        if seen is None or (self._there and self._is_ours(seen)):
            return True
        if self._there and seen.preferred not in {"", self._identity}:
            return False
        return not seen.holder or now >= self._expiry(seen)

    def _left_to_others(self, now: float) -> float:
        """Seconds for which one that is not ready does not take a Lease that may be taken."""
        if self._vacant is None:
            self._vacant = now
        return self._vacant + self._options.sync_patience - now

    def _expiry(self, seen: Lease) -> float:
        return self._changed + (seen.seconds or self._options.lease_duration)

    def _write(self, now: float, wall: datetime) -> Write:
        seen = self._seen
        ours = seen is not None and (self.leading or (self._there and self._is_ours(seen)))
        transitions = 0 if seen is None else min(seen.transitions + (not ours), _MOST_TRANSITIONS)
        if seen is not None and self._there:
            base = seen
        else:
            spec = seen.document.get("spec") if seen is not None and ours else None
            base = new_lease(self._options.name, self._options.namespace, spec)
        claim = Claim(
            self._identity, int(self._options.lease_duration), transitions, taken=None if ours else wall, now=wall
        )
        lease = base.claimed(claim, self._options.labels)
        self._stamps.append(lease.renewed)
        return Write(lease, not self._there, self._timeout(now))

    def _timeout(self, now: float) -> float:
        longest = self._options.request_timeout
        return min(longest, self._until - now) if self.leading else longest

    def _rest(self, now: float) -> None:
        period = self._options.retry_period
        if self.leading:
            self._due = max(now, (now if self._begun is None else self._begun) + period)
        else:
            self._due = now + period * (1 + JITTER * self._rng.random())
            expiry = _NEVER if self._seen is None or not self._seen.holder else self._expiry(self._seen)
            if expiry > now:
                self._due = min(self._due, expiry)
        self._begun, self._looked = None, False

    def _lose(self, why: str) -> None:
        self._lost = why
        self.resign()
