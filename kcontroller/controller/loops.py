"""Finds requests that a controller keeps busy by itself: reconciled ten times a second, and nobody else asked for it.

Two mistakes make such a loop. A reconcile writes something that differs each time (a time stamp in a status, a value
that the server stores in another form), and the echo of the write queues it again. Or it asks to be called again at
once, and for ever. Both look like work: nothing fails, and the API server is asked as fast as it answers.

It is only said. A loop may be a rollout of a thousand steps, to which a brake would do harm, and the queue is fair to
the others in any case.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.api.keys import Key, Request
    from kcontroller.cache.informer import Informer
    from kcontroller.cluster.floors import Promise
    from kcontroller.workqueue import Outcome

WINDOW_SECONDS: Final = 10.0
SUSPECT: Final = 50
"""So many reconciles in a window make a request worth a look."""
LINKS: Final = 50
"""So many more, each called by the one before it, make a loop."""
SOON: Final = 0.1
"""Seconds; who asks to be called again after less asks for a loop."""

_SLOTS: Final = 4096
_SUSPECTS: Final = 256
_NEWS: Final = frozenset({"added", "updated"})

Cause = Literal["echo", "requeue"]


class Loop(msgspec.Struct, frozen=True):
    """A request that its own reconciles keep busy.

    Attributes:
        request: which.
        cause: its own writes, or that it asks to be called again.
        written: what its last reconcile wrote, such as ``ConfigMap default/a``; () if nothing.
    """

    request: Request
    cause: Cause
    written: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a sentence, with what to look for."""
        often = f"reconciled more than {SUSPECT + LINKS} times in {WINDOW_SECONDS:g} s, and nobody else asked for it"
        if self.cause == "requeue":
            return f"{often}: each reconcile asks to be called again at once; let requeue_after be longer"
        what = ", ".join(self.written[:3])
        return f"{often}: each reconcile writes {what}, which queues it again; does it write what was there before?"


class _Suspect:
    """What the last reconcile of a request left behind that may call the next one."""

    __slots__ = ("asks", "links", "made", "untouched")

    def __init__(self) -> None:
        self.links = 0
        self.asks = False
        self.untouched = True
        self.made: Mapping[tuple[Informer, Key], int] = {}


class Loops:
    """The detector of one controller; any thread. Until a request is busy it costs one addition.

    Attributes:
        suspects: the requests that are looked at; while there are none nobody needs to call `began`.

    Args:
        on_loop: told of a loop, once in a window for each request.
    """

    def __init__(self, on_loop: Callable[[Loop], None]) -> None:
        self._on_loop = on_loop
        self._lock = threading.Lock()
        # By hash: who shares a slot with a busy request is looked at in vain. An addition that is lost does no harm.
        self._counts = [0] * _SLOTS
        self._until = 0.0
        self.suspects: dict[Request, _Suspect] = {}

    def began(self, request: Request) -> None:
        """Take note of the begin of a reconcile: is what the last one wrote still as it wrote it?"""
        suspect = self.suspects.get(request)
        if suspect is not None:
            suspect.untouched = all(
                found is None or found.version == version
                for (informer, key), version in suspect.made.items()
                for found in (informer.store.get(key),)
            )

    def ended(
        self,
        request: Request,
        reasons: tuple[str, ...],
        outcome: Outcome,
        written: Iterable[tuple[Key, Promise]] | None,
        *,
        now: float,
    ) -> None:
        """Take note of the end of a reconcile.

        Args:
            request: what it was about.
            reasons: why it was called.
            outcome: what it asks of the queue.
            written: what it wrote, as `Reads.written`.
            now: by the monotonic clock, in seconds.
        """
        if now >= self._until:
            self._begin(now)
        counts = self._counts
        slot = hash(request) % _SLOTS
        counts[slot] += 1
        if counts[slot] > SUSPECT:
            loop = self._look(request, reasons, outcome, written)
            if loop is not None:
                self._on_loop(loop)

    def _begin(self, now: float) -> None:
        with self._lock:
            self._until = now + WINDOW_SECONDS
            self._counts = [0] * _SLOTS
            self.suspects = {}

    def _look(
        self,
        request: Request,
        reasons: tuple[str, ...],
        outcome: Outcome,
        written: Iterable[tuple[Key, Promise]] | None,
    ) -> Loop | None:
        with self._lock:
            suspect = self.suspects.get(request)
            if suspect is None:
                if len(self.suspects) >= _SUSPECTS:
                    return None
                suspect = self.suspects[request] = _Suspect()
        made = {(promise.informer, key): promise.version for key, promise in written or ()}
        asks = outcome.forgets and outcome.delay is not None and outcome.delay < SOON
        goes_on = bool(made) or asks
        # No lock: a request is in one worker at a time.
        if goes_on and suspect.untouched and _called_itself(suspect, reasons):
            suspect.links += 1
        suspect.made, suspect.asks = made, asks
        if suspect.links != LINKS or not goes_on:
            return None
        suspect.links += 1  # Said once in a window.
        named = tuple(f"{informer.mapping.gvk.kind} {key}" for informer, key in made)
        return Loop(request, "echo" if made else "requeue", named)


def _called_itself(suspect: _Suspect, reasons: tuple[str, ...]) -> bool:
    """Whether what called a reconcile is what the one before it left behind, and nothing else."""
    kinds = {informer.mapping.gvk.kind for informer, _key in suspect.made}
    return bool(reasons) and all(_is_own(reason, kinds, asks=suspect.asks) for reason in reasons)


def _is_own(reason: str, kinds: set[str], *, asks: bool) -> bool:
    if reason == "requeue":
        return asks
    kind, _, what = reason.removeprefix("tracked ").partition(" ")
    return kind in kinds and what in _NEWS
