"""How much one controller may write and delete in each cluster: a mistake stops before it has reached everything.

A selector that is wrong for a moment makes a controller delete what it should keep, as fast as the server can. A budget
ends that: in no stretch of ``per`` seconds are more than ``count`` deletes sent. The delete that would be one too many
is refused, the controller is paused in this cluster, and it goes on when somebody says so: time alone gives nothing
back, since the mistake is still there. What is deleted can seldom be made again, and a word costs a minute.

What counts: each object that a reconcile asks to delete (a ``delete``, an ``eviction``) is one delete, and each other
write is one write. To ask again for what is on its way out costs nothing, and to take a finalizer off is no delete:
somebody has deleted the object before. What the garbage collector takes along (children, all that is in a namespace) is
not seen. Dry runs are free, and so is what the server refused: nothing happened. What is under way counts, so that any
number of workers stay inside.

An object is its uid: a name may be given again to what is deleted next. The write's precondition says it, else the
answer; until then, and if that does not say it either, what is asked for by name is an object of its own.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.client.settling import is_refused
from kcontroller.cluster.uids import uid_answered, uid_asked
from kcontroller.errors import BudgetSpent, KindNotServed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.client.ports import Reader, Write
    from kcontroller.cluster.rails import Hears
    from kcontroller.process.clock import Clock

BUDGET: Final = "budget"
"""Holds a cluster's requests back in the queue until `Budgets.resume`."""

What = Literal["deletes", "writes"]

_NAMED: Final = 5
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TEXT: Final = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,5})([smh])")


class Budget(msgspec.Struct, frozen=True):
    """So many in so much time.

    Attributes:
        count: how many, at least 1.
        per: seconds, more than 0.
    """

    count: int
    per: float

    def __post_init__(self) -> None:
        """Refuse what would never let anything pass."""
        if self.count < 1 or not self.per > 0:
            msg = f"a budget is a positive number in a positive time, got {self.count} in {self.per} s"
            raise ValueError(msg)

    @classmethod
    def of(cls, given: Budget | str | None) -> Budget | None:
        """Take what people write: ``100/10m``; None, "" and ``0`` are no limit.

        Raises:
            ValueError: the text is no budget.
        """
        if given is None or isinstance(given, Budget):
            return given
        if given in {"", "0"}:
            return None
        found = _TEXT.fullmatch(given) if isinstance(given, str) else None
        if found is None:
            msg = f"{given!r:.40} is no budget; write it like '100/10m' (s, m or h), or '0' for no limit"
            raise ValueError(msg)
        return cls(int(found[1]), int(found[2]) * _UNITS[found[3]])

    def __str__(self) -> str:
        """Write ``100/10m``."""
        for unit in ("h", "m"):
            if not self.per % _UNITS[unit]:
                return f"{self.count}/{self.per / _UNITS[unit]:g}{unit}"
        return f"{self.count}/{self.per:g}s"


DELETES: Final = Budget(100, 600.0)
"""Deletes of a controller in a cluster, unless it says otherwise."""


class Spent(msgspec.Struct, frozen=True):
    """A budget that has stopped a controller in a cluster.

    Attributes:
        controller: whose it is.
        cluster: where.
        what: of what it is the budget.
        budget: the limit.
        since: when it stopped, by the monotonic clock.
        refused: the write that was one too many, such as ``delete v1 ConfigMap default/a``.
        last: the last few that were sent, oldest first.
    """

    controller: str
    cluster: str
    what: What
    budget: Budget
    since: float
    refused: str
    last: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a clause: ``widget has spent its 100 deletes in 10m in cluster eu``."""
        count, _, per = str(self.budget).partition("/")
        what = self.what if self.budget.count > 1 else self.what.removesuffix("s")
        where = f" in cluster {self.cluster}" if self.cluster else ""
        return f"{self.controller} has spent its {count} {what} in {per}{where}"


class _Use:
    """One place of a budget.

    Attributes:
        at: since when it counts.
        open: how many of its writes are under way.
        may_have: whether one of them has happened, or may have.
        has: whether one of them surely has.
    """

    __slots__ = ("at", "has", "may_have", "open")

    def __init__(self, at: float) -> None:
        self.at = at
        self.open = 1
        self.may_have = False
        self.has = False


class _Account:
    """What was sent of one sort in one cluster."""

    __slots__ = ("last", "sent", "spent")

    def __init__(self) -> None:
        # By uid, else by itself; by its time. The first of a dict would be behind all that were deleted before it.
        self.sent: OrderedDict[str | _Use, _Use] = OrderedDict()
        self.last: deque[Write] = deque(maxlen=_NAMED)
        self.spent: Spent | None = None


class Budgets:
    """The budgets of one controller; a `Rail`. Any thread.

    Args:
        controller: its name.
        deletes: objects that may be deleted; None for any number.
        writes: other writes.
        clock: the time.
        hold: hands out no more requests of a cluster; called under the lock, and must not block.
        release: takes that back.
        on_spent: called once for each time that a budget stops the controller, with the write that was refused.
    """

    def __init__(
        self,
        controller: str,
        *,
        deletes: Budget | None,
        writes: Budget | None,
        clock: Clock,
        hold: Callable[[str], None],
        release: Callable[[str], None],
        on_spent: Callable[[Spent, Write], None],
    ) -> None:
        self._controller = controller
        self._limits: dict[What, Budget | None] = {"deletes": deletes, "writes": writes}
        self._clock = clock
        self._hold = hold
        self._release = release
        self._on_spent = on_spent
        self._lock = threading.Lock()
        self._accounts: dict[tuple[str, What], _Account] = {}

    def before(self, cluster: str, write: Write, live: Reader) -> Hears | None:  # noqa: ARG002 - as a rail
        """Count a write that is about to be sent; returns what wants to hear how it ended.

        Raises:
            BudgetSpent: it would be one too many, or the budget was spent before.
        """
        what = _what(write)
        budget = self._limits[what]
        if budget is None or write.dry_run:
            return None
        with self._lock:
            account = self._accounts.get((cluster, what))
            if account is None:
                account = self._accounts[cluster, what] = _Account()
            now = self._clock.monotonic()
            sent = account.sent
            while sent and next(iter(sent.values())).at <= now - budget.per:
                sent.popitem(last=False)
            if account.spent is None:
                uid = uid_asked(write.body) if what == "deletes" else ""
                use = sent.get(uid)
                if use is not None:
                    use.open += 1
                    _count_from(sent, uid, use, now)
                    return partial(self._ended, account, what, uid, use)
                if len(sent) < budget.count:
                    use = _Use(now)
                    sent[uid or use] = use
                    account.last.append(write)
                    return partial(self._ended, account, what, uid or use, use)
            before = account.spent
            spent = account.spent = before or self._spend(cluster, what, budget, account, write)
        if before is None:
            self._on_spent(spent, write)
        raise _error(spent)

    def spent(self) -> tuple[Spent, ...]:
        """The budgets that have stopped the controller."""
        with self._lock:
            return tuple(account.spent for account in self._accounts.values() if account.spent is not None)

    def resume(self, cluster: str = "*") -> tuple[Spent, ...]:
        """Let the controller go on in a cluster, or in all, with as much as it had at first.

        Returns:
            What had stopped it; () if nothing had.
        """
        with self._lock:
            found = {
                where: account.spent
                for where, account in self._accounts.items()
                if account.spent is not None and cluster in ("*", where[0])
            }
            for where in found:
                del self._accounts[where]
            for name in {name for name, _what in found}:
                self._release(name)
        return tuple(found.values())

    def engage(self, cluster: str) -> None:
        """Take a cluster on that may have been here before: what is spent stays spent."""
        with self._lock:
            if any(account.spent is not None for (name, _), account in self._accounts.items() if name == cluster):
                self._hold(cluster)

    def forget(self) -> None:
        """Free what says nothing any more; a cluster that comes back has what was left of its budgets."""
        with self._lock:
            now = self._clock.monotonic()
            self._accounts = {
                (cluster, what): account
                for (cluster, what), account in self._accounts.items()
                if account.spent is not None or not _is_over(account, self._limits[what], now)
            }

    def _spend(self, cluster: str, what: What, budget: Budget, account: _Account, write: Write) -> Spent:
        # Under the lock, as `resume` is: who resumes may not be overtaken by a pause from before.
        self._hold(cluster)
        last = tuple(map(_named, account.last))
        return Spent(self._controller, cluster, what, budget, self._clock.monotonic(), _named(write), last)

    def _ended(
        self, account: _Account, what: What, counted: str | _Use, use: _Use, outcome: bytes | BaseException
    ) -> None:
        refused = isinstance(outcome, KindNotServed) or (isinstance(outcome, BaseException) and is_refused(outcome))
        known = isinstance(outcome, bytes)
        uid = uid_answered(outcome) if isinstance(outcome, bytes) and what == "deletes" and counted is use else ""
        with self._lock:
            use.open -= 1
            use.may_have = use.may_have or not refused
            use.has = use.has or known
            if not (use.open or use.may_have):
                account.sent.pop(counted, None)
            elif uid:
                self._identify(account.sent, use, uid)

    def _identify(self, sent: OrderedDict[str | _Use, _Use], use: _Use, uid: str) -> None:
        """Count what was asked for by name as the object that it was."""
        sent.pop(use, None)
        now = self._clock.monotonic()
        before = sent.get(uid)
        if before is None:
            use.at = now
            sent[uid] = use
        else:
            _count_from(sent, uid, before, now)
            before.may_have = before.has = True


def _count_from(sent: OrderedDict[str | _Use, _Use], counted: str, use: _Use, now: float) -> None:
    """Count an object anew that may not have been deleted until now."""
    if not use.has:
        use.at = now
        sent.move_to_end(counted)


def _what(write: Write) -> What:
    return "deletes" if write.verb == "delete" or write.subresource == "eviction" else "writes"


def _named(write: Write) -> str:
    where = f"{write.key}/{write.subresource}" if write.subresource else str(write.key)
    return f"{write.verb} {gvk_of(write.kind)} {where}"


def _error(spent: Spent) -> BudgetSpent:
    cluster = f" --cluster {spent.cluster}" if spent.cluster else ""
    msg = f"{spent}; it goes on with: kcontroller resume {spent.controller}{cluster}"
    return BudgetSpent(msg)


def _is_over(account: _Account, budget: Budget | None, now: float) -> bool:
    return budget is None or not account.sent or next(reversed(account.sent.values())).at <= now - budget.per
