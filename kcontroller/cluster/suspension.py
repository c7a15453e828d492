"""A cluster that takes no writes for now, such as a suspended project of Milo: who may ask whether it still does.

Its server answers writes with 403 and the cause ``ProjectSuspended``. After such an answer writes are refused here,
with `ClusterSuspended`, but one that may ask again every `PAUSE_SECONDS`. Reads go on, and so does whatever lets a
deletion end: deletes, and writes of objects that are being deleted, whose finalizers must come off.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.errors import ClusterSuspended
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.entry import Entry
    from kcontroller.client.ports import Write, Writer
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.repeats import Repeats

PAUSE_SECONDS: Final = 30.0
"""Between two writes that ask whether the cluster is still suspended."""

SUSPENSION: Final = "suspension"
"""What `Cluster.troubles` calls it."""

_JITTER: Final = 0.1
_SOON_SECONDS: Final = 1.0  # While one asks, its answer is a moment away.
_FORBIDDEN: Final = 403

_log: Final = Log("kcontroller.cluster")


class Suspension:
    """Whether one cluster is suspended, as far as its answers have told; any thread.

    Args:
        cluster: its name.
        clock: the time.
        repeats: shared with other clusters.
        metrics: where to count.

    Attributes:
        why: what the server said; "" while it is not suspended.
    """

    def __init__(
        self, cluster: str, *, clock: Clock, repeats: Repeats | None = None, metrics: Metrics | None = None
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._repeats = repeats
        self._metrics = metrics
        self._lock = threading.Lock()
        self._ask_at = 0.0
        self._asking = False
        self._said = False
        self._ended = False
        self.why = ""

    @property
    def trouble(self) -> str:
        """It in words; "" while it is not suspended."""
        return f"writes are refused, it is suspended: {self.why}" if self.why else ""

    def ask(self, write: Write) -> None:
        """Let a write pass that asks whether the cluster is still suspended; its end is to be told by `asked`.

        Raises:
            ClusterSuspended: it need not ask.
        """
        with self._lock:
            now = self._clock.monotonic()
            if not self._asking and now >= self._ask_at:
                self._asking = True
                return
            seconds = _SOON_SECONDS if self._asking else self._ask_at - now
        msg = f"nothing was sent; the cluster is suspended: {self.why}"
        kind = str(gvk_of(write.kind))
        raise ClusterSuspended(msg, status=_FORBIDDEN, verb=write.verb, resource=kind, retry_after=seconds)

    def asked(self) -> None:
        """The write that might ask has ended, somehow."""
        with self._lock:
            self._asking = False
            self._ask_at = self._next()

    def begin(self, error: ClusterSuspended) -> None:
        """The server has said that it is suspended."""
        with self._lock:
            if self._ended:
                return
            began = not self.why
            self.why = error.message or "writes are refused"
            self._ask_at = self._next()
            error.retry_after = self._ask_at - self._clock.monotonic()
            if began and self._metrics is not None:
                self._metrics.suspended_clusters.inc()
        if began:
            told = self.why if self._repeats is None else self._repeats.told(self.why)
            self._said = bool(told)
            say = _log.warning if told else _log.debug
            say("writes wait: the cluster is suspended: %s", told or self.why, cluster=self._cluster)

    def over(self) -> None:
        """A write has passed."""
        with self._lock:
            was, self.why = self.why, ""
            if was and self._metrics is not None:
                self._metrics.suspended_clusters.dec()
        if was:
            (_log.info if self._said else _log.debug)("writes go on", cluster=self._cluster)

    def end(self) -> None:
        """Count nothing more: the cluster has ended."""
        with self._lock:
            was, self.why, self._ended = self.why, "", True
            if was and self._metrics is not None:
                self._metrics.suspended_clusters.dec()

    def _next(self) -> float:
        spread = 1.0 + _JITTER * random.random()  # noqa: S311 - not a secret
        return self._clock.monotonic() + PAUSE_SECONDS * spread


class SuspensibleWriter(msgspec.Struct, frozen=True):
    """A `Writer` to a cluster that may be suspended.

    Attributes:
        writer: sends the writes.
        suspension: whether it is.
        shown: what the caches show of an object.
    """

    writer: Writer
    suspension: Suspension
    shown: Callable[[GVK, Key], Entry | None]

    def write(self, write: Write) -> bytes:
        """Send it.

        Raises:
            ClusterSuspended: the cluster is suspended; nothing happened.
        """
        suspension = self.suspension
        asks = bool(suspension.why) and not self._lets_end(write)
        if asks:
            suspension.ask(write)
        try:
            answer = self.writer.write(write)
        except ClusterSuspended as error:
            suspension.begin(error)
            raise
        finally:
            if asks:
                suspension.asked()
        if asks:
            suspension.over()
        return answer

    def _lets_end(self, write: Write) -> bool:
        """Whether it lets a deletion begin or end."""
        if write.verb == "delete":
            return True
        there = None if write.verb == "create" else self.shown(gvk_of(write.kind), write.key)
        return there is not None and there.deleting
