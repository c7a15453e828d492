"""Sources that are no kinds: words from threads of the user's own, and timers (`timers`).

A raw source begins to feed a controller when the kinds of that controller are synced in a cluster, so that whatever it
asks for finds a cache that is complete. What it says passes the predicates of all sources and its own;
controller-runtime forgets the former.
"""

from __future__ import annotations

import abc
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from kcontroller.api.keys import Key, Request
from kcontroller.controller.event import Event
from kcontroller.controller.handlers import request_of
from kcontroller.controller.selecting import FLEET, Clusters

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.lanes import Lane
    from kcontroller.controller.predicates import Predicate
    from kcontroller.process.clock import Clock
    from kcontroller.workqueue import WorkQueue

KEPT: Final = 1024
"""Requests that a channel keeps for clusters that are not there yet."""


class RawSource(abc.ABC):
    """A source that is no kind; `str()` names it in logs and reasons."""

    acts: ClassVar[bool] = False
    """Whether it calls functions of the user's by itself, which only the leader may do."""

    @abc.abstractmethod
    def start(self, feed: Feed) -> None:
        """Begin to feed a controller in one cluster; must not block."""

    def stop(self, feed: Feed) -> None:  # noqa: B027 - a timer sees by itself that its feed has stopped
        """Let a feed go, whose cluster leaves; it takes nothing more when this has returned."""

    def take_back(self, request: Request, priority: int, reason: str) -> None:  # noqa: B027 - a timer asks anew
        """Get what a feed had taken and not yet handed to the queue when its cluster left."""


class RawDeclaration(msgspec.Struct, frozen=True, eq=False):
    """A raw source of a controller, which of its words count, and where it begins."""

    source: RawSource
    predicates: tuple[Predicate, ...]
    clusters: Clusters = FLEET


@dataclass(slots=True, eq=False)
class _Word:
    """What a source has said, as long as nobody has judged it."""

    request: Request
    priority: int
    reason: str


class Feed:
    """The way of one raw source into the queue of one controller, in one cluster.

    Args:
        source: gets back what was not handed to the queue when the cluster left.
        cluster: where.
        predicates: which words count.
        queue: gets the requests.
        lane: runs functions of the user's.
        clock: the time.
    """

    def __init__(
        self,
        source: RawSource,
        cluster: Cluster,
        predicates: tuple[Predicate, ...],
        *,
        queue: WorkQueue[Request],
        lane: Lane,
        clock: Clock,
    ) -> None:
        self._source = source
        self.cluster = cluster
        self.clock = clock
        self._predicates = predicates
        self._user_code = any(predicate.user_code for predicate in predicates)
        self._queue = queue
        self._lane = lane
        self._lock = threading.Lock()
        self._unjudged: dict[Request, _Word] = {}  # Those that wait on the lane.
        self.stopped = False

    def add(self, target: Key | Request, *, priority: int = 0, reason: str) -> bool:
        """Ask for a request, if the predicates admit it; any thread, never blocks.

        Returns:
            False if it was not taken, as the cluster has left.

        Raises:
            TypeError: it is neither a Key nor a Request.
        """
        request = request_of(target, self.cluster)
        if not self._user_code:
            return self._take(_Word(request, priority, reason))
        with self._lock:
            if self.stopped:
                return False
            word = self._unjudged.get(request)
            if word is not None:
                word.priority = max(word.priority, priority)
                return True
            word = self._unjudged[request] = _Word(request, priority, reason)
        self._lane.submit(lambda: self._judge(word), key=request)
        return True

    def call(self, function: Callable[[], None], *, ended: Callable[[], None]) -> None:
        """Run a function of the user's; one that fails is tried again. `ended` is called when that is over."""
        self._lane.submit(function, key=self, ended=ended)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run a function after so many seconds, unless the cluster has left by then."""
        self._lane.submit(lambda: None if self.stopped else function(), after=seconds)

    def stop(self) -> None:
        """Take nothing more; what waits on the lane goes back to the source when its turn comes."""
        with self._lock:
            self.stopped = True

    def _judge(self, word: _Word) -> None:
        with self._lock:
            # What is said from now on is to be judged anew.
            if self._unjudged.get(word.request) is word:
                del self._unjudged[word.request]
        if not self._take(word):
            self._source.take_back(word.request, word.priority, word.reason)

    def _take(self, word: _Word) -> bool:
        if self.stopped:
            return False
        event = Event.generic(self.cluster.name, word.request, word.reason)
        if not all(predicate.admits(event) for predicate in self._predicates):
            return True
        with self._lock:  # Nothing comes to the queue after `stop`, when it forgets the cluster.
            if not self.stopped:
                self._queue.add(word.request, priority=word.priority, reason=word.reason)
            return not self.stopped


class Channel(RawSource):
    """Reconciles what threads of your own ask for: a webhook, a listener of a message broker, a watcher of files.

    Make one for each Reconciler, and give it to ``builder.source``. A request is in the queue once, however often it is
    sent before its reconcile begins; so nothing piles up and nobody has to wait.

    Args:
        name: said in logs, and in ``ctx.reasons`` unless `send` gives a reason.
    """

    def __init__(self, name: str = "channel") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._feeds: tuple[Feed, ...] = ()
        self._kept: dict[Request, tuple[int, str]] = {}

    def send(self, target: Key | Request, *, priority: int = 0, reason: str = "") -> bool:
        """Ask for a reconcile; any thread, also before the start. Never blocks.

        While the controller does not work on the request's cluster yet, or no longer, the request is kept for it. What
        waits in the queue when its cluster leaves is forgotten with all that is queued of that cluster: who sends what
        nothing else tells of sends it again, or names it by an `Every`, which asks when the cluster is back.

        Args:
            target: a `Request`; or a `Key`, which is of the single cluster.
            priority: higher goes first.
            reason: a short constant text for people.

        Returns:
            False if it was not taken, as 1,024 others are kept already.

        Raises:
            TypeError: it is neither a Key nor a Request.
        """
        if not isinstance(target, Key | Request):
            msg = f"a channel takes Key or Request objects, got {type(target).__name__}"
            raise TypeError(msg)
        request = target if isinstance(target, Request) else Request("", *target)
        return self._pass_on(request, priority, reason or self._name, limit=KEPT)

    def take_back(self, request: Request, priority: int, reason: str) -> None:
        """Keep what a cluster left behind, or pass it on if it is back; without a limit, since it was accepted."""
        self._pass_on(request, priority, reason, limit=math.inf)

    def _pass_on(self, request: Request, priority: int, reason: str, *, limit: float) -> bool:
        while True:
            with self._lock:
                here = [each for each in self._feeds if each.cluster.name == request.cluster and not each.stopped]
                if not here:
                    return self._keep(request, priority, reason, limit)
            taken = [each.add(request, priority=priority, reason=reason) for each in here]  # All of them get it.
            if any(taken):
                return True

    def _keep(self, request: Request, priority: int, reason: str, limit: float) -> bool:
        if request not in self._kept and len(self._kept) >= limit:
            return False
        before = self._kept.get(request, (priority, reason))
        self._kept[request] = (max(priority, before[0]), before[1])
        return True

    def start(self, feed: Feed) -> None:
        """Take a cluster, and give it what was kept for it."""
        with self._lock:
            self._feeds = (*self._feeds, feed)
            kept = {request: words for request, words in self._kept.items() if request.cluster == feed.cluster.name}
            for request in kept:
                del self._kept[request]
        for request, (priority, reason) in kept.items():
            if not feed.add(request, priority=priority, reason=reason):
                self.take_back(request, priority, reason)

    def stop(self, feed: Feed) -> None:
        """Let a cluster go."""
        with self._lock:
            self._feeds = tuple(each for each in self._feeds if each is not feed)

    def __str__(self) -> str:
        """Its name."""
        return self._name
