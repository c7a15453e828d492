"""Reads see own writes: what each write promises, and the wait until the cache keeps it.

A create, update or patch promises *version at least R*; a delete promises *this uid is gone or terminating*; an update
that leaves a deletionTimestamp and no finalizers promises *this uid is gone, or has no finalizers* (its answer carries
a lower version than the deletion event, and the object was terminating before). Nothing is promised after a dry run, or
where no informer covers the object. Versions are compared only inside one kind of one cluster, and a server that went
back in time keeps none of them. A promise binds the informer that was there at the write; one that is made later begins
with a consistent list, and needs no promise.

A create whose outcome stayed open promises nothing, but it leaves a doubt: its object may exist, and the cache not show
it for as long as the watch is away. A list that could hold it asks the server for it once, and then waits for it like
for any other, or knows that it is not there. While the server cannot be asked the list fails.

The idea is that of controller-runtime's pull request 3472 and of KEP-5647.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from kcontroller.errors import StaleRead, WouldDeadlock
from kcontroller.process.stop import Deadline
from kcontroller.process.waits import about_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kcontroller.api.keys import GVK, Key
    from kcontroller.api.selectors import LabelSelector
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.projection import Entry
    from kcontroller.process.clock import Clock

    Versions = Callable[[Key], int]

READ_SECONDS: Final = 1.0
"""How long a read may wait for an own write to come back."""

_PRUNE_AT: Final = 1024


class Promise(msgspec.Struct, frozen=True):
    """What the cache must show before a read of the key may be answered.

    Attributes:
        informer: the informer that will show it.
        version: the kind has been seen up to here; 0 where `uid` is the promise.
        uid: this identity is gone or terminating.
        finalized: its finalizers are gone too.
        resets: how often the server had gone back in time when it was promised.
        labels: what the object's labels were written to be; None where that is not known.
    """

    informer: Informer
    version: int = 0
    uid: str = ""
    finalized: bool = False
    resets: int = 0
    labels: Mapping[str, str] | None = None

    def kept(self, key: Key) -> bool:
        """Whether the store shows it."""
        store = self.informer.store
        if store.resets != self.resets:
            return True
        if store.version < self.version:
            return False
        entry = store.get(key) if self.uid else None
        if entry is None or entry.uid != self.uid:
            return True
        return entry.deleting and not (self.finalized and entry.finalizers)

    def and_before(self, earlier: Promise | None) -> Promise:
        """Join it with what an earlier write promised; two threads may record in either order."""
        if earlier is None or earlier.resets != self.resets:
            return self
        uid = self.uid or earlier.uid
        finalized = self.finalized or (earlier.finalized and earlier.uid == uid)
        version = max(self.version, earlier.version)
        labels = self.labels if self.labels == earlier.labels else None
        return replace(self, version=version, uid=uid, finalized=finalized, labels=labels)

    def concerns(self, labels: LabelSelector, *, shown: bool) -> bool:
        """Whether a list by these labels, that shows the object or not, can differ before and after it is kept."""
        return shown or not labels.requirements or self.labels is None or labels.matches(self.labels)


class Floors:
    """The open promises of one cluster.

    Args:
        clock: the time.
        on_loop_thread: whether the caller is the thread that would have to deliver what a read waits for.
        on_stale: called when a read gave up.
        on_waited: called with the seconds that a read has waited, whether or not it gave up then.

    Attributes:
        servers: how often writes have begun to go to another server. What was written before may be answered by the one
            that was left, in a number that means nothing any more.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_loop_thread: Callable[[], bool],
        on_stale: Callable[[], None],
        on_waited: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._clock = clock
        self._on_loop_thread = on_loop_thread
        self._on_stale = on_stale
        self._on_waited = on_waited
        self._lock = threading.Lock()
        self._open: dict[tuple[Informer, Key], Promise] = {}
        self._doubts: dict[tuple[Informer, Key], Promise] = {}
        self._prune_at = _PRUNE_AT
        self.servers = 0

    def leave(self) -> None:
        """Writes go to another server from now on; what was promised before, the stores outlive by a reset."""
        with self._lock:
            self.servers += 1

    def record(self, key: Key, promise: Promise) -> None:
        """Note what a write promised, on top of what earlier writes of the same key did."""
        where = (promise.informer, key)
        with self._lock:
            self._open[where] = promise.and_before(self._open.get(where))
            crowded = len(self._open) >= self._prune_at
        if crowded:
            self._prune()

    @property
    def kept(self) -> bool:
        """Whether the caches show all that was written."""
        with self._lock:
            promises = list(self._open.items())
        return all(promise.kept(key) for (_informer, key), promise in promises)

    def doubt(self, key: Key, promise: Promise) -> None:
        """Note that an object may have been created; the promise lacks nothing but its version."""
        with self._lock:
            # What nobody lists any more must not stay for ever.
            self._doubts = {where: each for where, each in self._doubts.items() if not each.informer.store.closed}
            self._doubts[promise.informer, key] = promise

    def resolve(self, gvk: GVK, namespace: str, informers: Sequence[Informer], version: Versions) -> None:
        """Turn the doubts about what a list could hold into promises, or drop them.

        Args:
            gvk: the kind.
            namespace: that of the list; "" for all.
            informers: those that will answer.
            version: asks the server for the version of an object, 0 if there is none. What it raises goes to the
                caller, and the doubt stays.

        Raises:
            WouldDeadlock: the caller is the cluster's own thread.
        """
        if not self._doubts:
            return
        with self._lock:
            matching = [(key, promise) for (informer, key), promise in self._doubts.items() if informer in informers]
        for key, promise in matching:
            if namespace in ("", key.namespace):
                self._resolve(gvk, key, promise, version)

    def _resolve(self, gvk: GVK, key: Key, promise: Promise, version: Versions) -> None:
        if promise.informer.store.get(key) is None:
            self._refuse_on_loop(gvk, key)
            there = version(key)
            if there:
                self.record(key, replace(promise, version=there))
        with self._lock:
            if self._doubts.get((promise.informer, key)) is promise:
                del self._doubts[promise.informer, key]

    def await_key(self, gvk: GVK, key: Key, informer: Informer) -> None:
        """Wait until a read of the key from this informer would see our last write of it.

        Raises:
            StaleRead: it did not come within a second, or this kind is known to lag.
            WouldDeadlock: the caller is the cluster's own thread.
        """
        promise = self._open.get((informer, key))
        if promise is not None:
            self._await(gvk, key, promise, Deadline.after(READ_SECONDS, clock=self._clock))

    def await_list(
        self,
        gvk: GVK,
        namespace: str,
        informers: Sequence[Informer],
        labels: LabelSelector,
        look: Callable[[], list[Entry]],
    ) -> list[Entry]:
        """Look, and again after all that was written to the kind until now has come, as far as that matters to a list.

        Args:
            gvk: the kind.
            namespace: that of the list; "" for all.
            informers: those that answer.
            labels: by which the list selects.
            look: gives what the list shows now.

        Raises:
            StaleRead, WouldDeadlock: as `await_key`.
        """
        if not self._open:
            return look()
        # What is kept by now is in what is seen after it.
        unkept = self._unkept(namespace, informers)
        deadline = Deadline.after(READ_SECONDS, clock=self._clock)
        while True:
            found = look()
            shown = {entry.key for entry in found} if unkept and labels.requirements else ()
            concerned = [each for each in unkept if each[1].concerns(labels, shown=each[0] in shown)]
            if not concerned:
                return found
            for key, promise in concerned:
                self._await(gvk, key, promise, deadline)
            unkept = [each for each in unkept if not each[1].kept(each[0])]

    def _unkept(self, namespace: str, informers: Sequence[Informer]) -> list[tuple[Key, Promise]]:
        with self._lock:
            matching = [(key, promise) for (informer, key), promise in self._open.items() if informer in informers]
        kept: list[tuple[Key, Promise]] = []
        unkept: list[tuple[Key, Promise]] = []
        for key, promise in matching:
            if namespace in ("", key.namespace):
                (kept if promise.kept(key) else unkept).append((key, promise))
        if kept:
            self._drop(kept)
        return unkept

    def _drop(self, promises: Iterable[tuple[Key, Promise]]) -> None:
        with self._lock:
            for key, promise in promises:
                if self._open.get((promise.informer, key)) is promise:
                    del self._open[promise.informer, key]

    def _await(self, gvk: GVK, key: Key, promise: Promise, deadline: Deadline) -> None:
        if not promise.kept(key):
            self._wait(gvk, key, promise, deadline)
        self._drop([(key, promise)])

    def _wait(self, gvk: GVK, key: Key, promise: Promise, deadline: Deadline) -> None:
        self._refuse_on_loop(gvk, key)
        store = promise.informer.store
        lagging = store.gave_up_at == store.version
        if not lagging and self._waited(promise, key, deadline):
            return
        # Until the next event arrives, further reads of this kind need not wait a second each.
        store.gave_up_at = store.version
        self._on_stale()
        msg = f"the cache of {gvk} has not caught up with an own write of {key}"
        raise StaleRead(msg)

    def _refuse_on_loop(self, gvk: GVK, key: Key) -> None:
        if self._on_loop_thread():
            msg = f"waiting for an own write of {gvk} {key} on the thread that must bring it"
            raise WouldDeadlock(msg)

    def _waited(self, promise: Promise, key: Key, deadline: Deadline) -> bool:
        about_to_wait()
        began = self._clock.monotonic()
        store = promise.informer.store
        try:
            return store.wait_until(lambda: promise.kept(key), timeout=deadline.remaining(), clock=self._clock)
        finally:
            self._on_waited(self._clock.monotonic() - began)

    def _prune(self) -> None:
        with self._lock:
            snapshot = [(key, promise) for (_informer, key), promise in self._open.items()]
        self._drop([(key, promise) for key, promise in snapshot if promise.kept(key)])
        with self._lock:
            # Doubling keeps the cost of pruning constant per write while a watch is dead.
            self._prune_at = max(_PRUNE_AT, 2 * len(self._open))
