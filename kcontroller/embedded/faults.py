"""Faults by rule: what goes wrong on the server, for whom, how often. Rules are set from tests, in any thread.

::

    with server.faults(Rule(Refuse(409, "Conflict"), verbs={"update"}, resource="widgets", times=2)) as rule:
        ...
    assert rule.hits == 2

All rules that match a request work on it, in the order they were added; the first that answers or cuts ends it. Rules
for watches also work on those that are open when the rule is added.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from kcontroller.embedded.calls import Call

_REASONS: Final = {
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a Status instead of doing what was asked.

    Attributes:
        code: the HTTP status.
        reason: of the Status; by default the one that goes with the code.
        retry_after: seconds for the ``Retry-After`` header and the details; none if negative.
        causes: the reasons of its causes.
    """

    code: int
    reason: str = ""
    message: str = "a fault rule says so"
    retry_after: int = -1
    causes: tuple[str, ...] = ()

    def refusal(self) -> Refusal:
        """Make the answer."""
        details: dict[str, object] = {}
        if self.retry_after >= 0:
            details["retryAfterSeconds"] = self.retry_after
        if self.causes:
            details["causes"] = [{"reason": cause} for cause in self.causes]
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after >= 0 else None
        reason = self.reason or _REASONS.get(self.code, "")
        return Refusal(self.code, reason, self.message, details=details or None, headers=headers)


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait, then do what was asked."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Do not go on until the rule is released or removed; then do what was asked."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection without an answer: before the verb, or after it was done, so that the client cannot know.

    A watch is always cut before it begins.
    """

    after: bool = False


@dataclass(frozen=True, slots=True)
class SlowWatch:
    """Wait before each event of a watch."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FreezeWatch:
    """Tell a watch nothing until the rule is released or removed; then everything that it missed."""


@dataclass(frozen=True, slots=True)
class DropEvents:
    """Swallow events of a watch, as if they had never been. A hit is an event.

    Attributes:
        types: ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK``; empty for the first three.
        name: of the object; empty for any.
    """

    types: AbstractSet[str] = frozenset()
    name: str = ""

    def drops(self, kind: str, name: str) -> bool:
        """Whether an event is one of these."""
        return kind in (self.types or _EVENTS) and self.name in {"", name}


@dataclass(frozen=True, slots=True)
class EndWatch:
    """End a watch in order after so many more events, bookmarks not counted; 0 ends it at once."""

    events: int = 0


@dataclass(frozen=True, slots=True)
class ExpireWatch:
    """Tell a watch ``ERROR`` with 410, at once, and end it."""

    message: str = "too old resource version: 1 (2)"


@dataclass(frozen=True, slots=True)
class Garbage:
    """Send bytes that are no event into a watch, at once, and cut the connection; no bytes only cut it."""

    data: bytes = b'{"type":"ADDED","object":{"kind":\x00'


Action = Refuse | Delay | Hang | Cut | SlowWatch | FreezeWatch | DropEvents | EndWatch | ExpireWatch | Garbage

_VERBS: Final = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})
_EVENTS: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})
_ON_STREAMS: Final = (SlowWatch, FreezeWatch, DropEvents, EndWatch, ExpireWatch, Garbage)


@dataclass(eq=False, slots=True)
class Rule:
    """One fault and the requests it is for; a matcher that is not given matches everything.

    Attributes:
        action: what happens.
        verbs: as RBAC names them.
        resource: ``plural.group``; a plural alone matches in every group.
        subresource: ``""`` matches only requests for the object itself.
        plane: the control plane; ``""`` is the root.
        agent: a part of the User-Agent.
        probability: of acting on a request that matches, drawn with `seed`.
        after: how many matching requests pass first.
        times: how often it acts at most; 0 is no limit.
        hits: how often it has acted.
        released: whether it acts no more.
    """

    action: Action
    verbs: AbstractSet[str] | None = None
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    plane: str | None = None
    agent: str | None = None
    probability: float = 1.0
    seed: int = 0
    after: int = 0
    times: int = 0
    hits: int = field(default=0, init=False)
    released: bool = field(default=False, init=False)
    _passed: int = field(default=0, init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check what can only be a mistake."""
        if isinstance(self.verbs, str):
            msg = f"verbs is a set of verbs: write {{{self.verbs!r}}}"
            raise TypeError(msg)
        unknown = (self.verbs or set()) - _VERBS
        if unknown:
            msg = f"no request has the verb {min(unknown)!r}; there are {', '.join(sorted(_VERBS))}"
            raise ValueError(msg)
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable, not secret

    @property
    def on_streams(self) -> bool:
        """Whether it works on the events of watches and not on requests."""
        return isinstance(self.action, _ON_STREAMS)

    def matches(self, call: Call) -> bool:
        """Whether a request is one of those it is for, without counting it."""
        if self.released or (self.verbs is not None and call.verb not in self.verbs):
            return False
        wanted = (self.namespace, self.name, self.subresource, self.plane)
        asked = (call.namespace, call.name, call.subresource, call.plane)
        return (
            self.resource in {None, call.kind.resource, call.kind.plural}
            and all(want in {None, ask} for want, ask in zip(wanted, asked, strict=True))
            and (self.agent is None or self.agent in call.agent)
        )

    def draw(self) -> bool:
        """Whether to act on a request that matches; counts a hit if so. Called on the server's loop only."""
        if self.times and self.hits >= self.times:
            return False
        self._passed += 1
        if self._passed <= self.after or (self.probability < 1.0 and self._random.random() >= self.probability):
            return False
        self.hits += 1
        return True

    async def wait(self) -> None:
        """Wait until the rule is released."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            # Looked at with the future in the list: a release in another thread finds one or the other.
            if not self.released:
                await future
        finally:
            self._waiting.remove(future)

    def release(self) -> None:
        """Let go of everything that hangs or is frozen, and act no more. From any thread."""
        self.released = True
        for future in tuple(self._waiting):
            with contextlib.suppress(RuntimeError):  # The server has stopped, and its waiters with it.
                future.get_loop().call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Faults:
    """The rules of a server.

    Args:
        changed: called after rules were added, in the thread that added them; open watches look at them then.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """Have no rules."""
        self._changed = changed
        self._lock = threading.Lock()
        self._requests: tuple[Rule, ...] = ()
        self._streams: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, those for requests first."""
        return self._requests + self._streams

    def add(self, rule: Rule) -> Rule:
        """Add a rule that stays until it is removed; returns it.

        Raises:
            ValueError: it was added before; it would act twice, or, once removed, never.
        """
        with self._lock:
            if rule.released or rule in self.rules:
                msg = f"a rule is added once and never again; make another one for {rule.action}"
                raise ValueError(msg)
            if rule.on_streams:
                self._streams += (rule,)
            else:
                self._requests += (rule,)
        self._changed()
        return rule

    def remove(self, rule: Rule) -> None:
        """Release a rule and forget it; one that is not there is no error."""
        with self._lock:
            self._requests = tuple(each for each in self._requests if each is not rule)
            self._streams = tuple(each for each in self._streams if each is not rule)
        rule.release()

    def clear(self) -> None:
        """Remove every rule."""
        for rule in self.rules:
            self.remove(rule)

    @contextlib.contextmanager
    def __call__(self, rule: Rule, *more: Rule) -> Iterator[Rule]:
        """Add rules for a ``with`` block; gives the first."""
        rules = (rule, *more)
        try:
            for each in rules:
                self.add(each)
            yield rule
        finally:
            for each in rules:
                self.remove(each)

    def on_request(self, call: Call) -> list[Rule]:
        """Find the rules that act on a request, and count them. Called on the server's loop only."""
        return [rule for rule in self._requests if rule.matches(call) and rule.draw()]

    def on_stream(self, call: Call) -> list[Rule]:
        """Find the rules that may act on the events of a watch, without counting them."""
        return [rule for rule in self._streams if rule.matches(call)]
