"""One kind, in one scope, kept in memory: a reflector, a store, and those who want to hear of changes.

An informer belongs to its cluster's loop: everything here but reading `Informer.status` and the store happens on that
thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.paths import collection_path
from kcontroller.cache import events
from kcontroller.cache.actions import (
    Advance,
    Apply,
    Close,
    Dropped,
    Forget,
    OpenList,
    OpenWatch,
    Outdate,
    Recovered,
    Replace,
    Skipped,
    Timer,
    Troubled,
)
from kcontroller.cache.events import Deleted, Upserted
from kcontroller.cache.meter import Health, InformerMeter, Reading
from kcontroller.cache.poison import UNREADABLE
from kcontroller.cache.projection import Projection
from kcontroller.cache.receivers import PageReceiver, WatchReceiver, garbled
from kcontroller.cache.reflector import Reflector, State
from kcontroller.cache.scope import Holding, Scope
from kcontroller.cache.store import Store
from kcontroller.cache.subscribers import Subscribers, raiser
from kcontroller.client.metadata import PARTIAL_LIST, PARTIAL_OBJECT
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.api.keys import Key, ResourceMapping
    from kcontroller.cache.actions import Action, Storing
    from kcontroller.cache.feed import Closable, Feed, Stoppable
    from kcontroller.cache.poison import Undecodable
    from kcontroller.cache.store import Change
    from kcontroller.cache.subscribers import Subscription
    from kcontroller.process.clock import Clock

_SPARE_SECONDS: Final = 30.0  # A watch gets this much longer than the server was asked for; libcurl's last net.

_NAMED_POISON: Final = 100  # So many undecodable objects are named in the log; all are counted.

_JSON: Final = "application/json"

_log: Final = Log("kcontroller.cache")


class Status(msgspec.Struct, frozen=True):
    """What is true of an informer now.

    Attributes:
        synced: it has seen a complete list of the server that it asks.
        trouble: why it gets no news at the moment; "" if all is well.
    """

    synced: bool = False
    trouble: str = ""


class Informer:
    """Keeps one kind in memory.

    Args:
        mapping: how the kind is served.
        feed: the cluster's loop.
        clock: the time.
        holding: what of the kind to keep, but for its namespaces.
        scope: which of its objects; by default all that `holding` selects.
        paths: JSON paths to keep and to index by.
        on_status: told whenever `status` has changed, on the loop thread.
        meter: where to count.
        reflector: what to ask; made from the path unless given.
    """

    def __init__(
        self,
        mapping: ResourceMapping,
        *,
        feed: Feed,
        clock: Clock,
        holding: Holding | None = None,
        scope: Scope | None = None,
        paths: tuple[str, ...] = (),
        on_status: Callable[[Informer], None] = lambda _informer: None,
        meter: InformerMeter | None = None,
        reflector: Reflector | None = None,
    ) -> None:
        self.mapping = mapping
        self.holding = holding or Holding()
        self.scope = scope or Scope("", self.holding.labels, self.holding.fields)
        self.status = Status()
        self.error: Exception | None = None
        self._projection = Projection(
            mapping.gvk,
            paths,
            drop=self.holding.drop,
            metadata_only=self.holding.metadata_only,
            compress=self.holding.compress,
        )
        self.store = Store(self._projection)
        self._feed = feed
        self._clock = clock
        self._meter = meter or InformerMeter(None, cluster="", kind="")
        self._on_status = on_status
        path = collection_path(mapping, self.scope.namespace)
        self._reflector = reflector or Reflector(
            path, selectors=self.scope.query(), any_version=self.holding.any_version
        )
        self._subscribers = Subscribers(feed)
        self._stream: Closable | None = None
        self._timer: Stoppable | None = None
        self._lists = 0
        self._heard_at = self._now()
        self._list_began: float | None = None
        self._list_seconds = 0.0
        self._named_poison: set[Key | None] = set()
        self._stopped = False

    def start(self) -> None:
        """Begin to list and watch."""
        self._do(self._reflector.start(self._now()))

    def stop(self) -> None:
        """Close the watch and forget the subscribers; the store stays as it is. An informer is not started again."""
        self._stopped = True
        self._close_stream()
        self._stop_timer()
        self._subscribers.clear()

    def let_go(self) -> None:
        """Stop, and give the memory back."""
        self.stop()
        self.store.close()

    def reachable(self) -> None:
        """The server answers again; see `Reflector.reachable`."""
        self._do(self._reflector.reachable(self._now()))

    def renew(self, *, elsewhere: bool) -> None:
        """Requests go another way from now on; see `Reflector.renew`."""
        self._do(self._reflector.renew(self._now(), elsewhere=elsewhere))

    def subscribe(
        self, handler: Callable[[Change], None], on_synced: Callable[[], None] = lambda: None
    ) -> Subscription:
        """Let `handler` hear of every object once now (if synced) or with the first list, and then of every change.

        `on_synced` is called once, after the handler has heard of the last object of the beginning.
        """
        return self._subscribers.add(handler, on_synced, self.store.entries() if self._lists else None)

    def add_paths(self, paths: Iterable[str]) -> None:
        """Keep and index further JSON paths, also of the objects that are here already."""
        wanted = tuple(dict.fromkeys((*self._projection.paths, *paths)))
        if wanted != self._projection.paths:
            self._projection = self._projection.with_paths(wanted)
            self.store.reproject(self._projection)

    def covers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether an object with these would be in this cache; field selectors are not judged and count as a no."""
        in_namespace = self.scope.namespace in ("", namespace)
        return in_namespace and not self.scope.fields.terms and self.scope.labels.matches(labels)

    def reading(self) -> Reading:
        """What it holds, and how it fares; any thread."""
        objects, size = self.store.size
        health = Health.of(self.error, synced=self.status.synced)
        return Reading(health, objects, size, self._now() - self._heard_at, self._list_seconds)

    # ---- what the receivers tell ---------------------------------------------------------------------------------

    def on_opened(self) -> None:
        """The server accepted the request."""
        self._do(self._reflector.opened(self._now()))

    def on_lines(self, lines: list[bytes]) -> None:
        """Some lines of the watch; what comes behind the last that is wanted is dropped.

        Raises:
            Garbled: one is not a watch event.
        """
        stream = self._stream
        listing = self._reflector.state is State.STREAMING
        self._heard_at = now = self._now()
        for event in events.decode_lines(lines, self._projection, bulk=listing):
            if stream is None or self._stream is not stream:
                return
            if isinstance(event, Exception):
                raise garbled(event) from event
            actions = self._reflector.event(event, now)
            if actions:
                self._do(actions)

    def on_page(self, body: bytes) -> None:
        """A whole page of a list."""
        self._stream = None
        self._heard_at = self._now()
        try:
            page = events.decode_page(body, self._projection)
        except UNREADABLE as error:
            self._do(self._reflector.failed(garbled(error), self._now()))
        else:
            self._do(self._reflector.page(page, self._now()))

    def on_failed(self, error: Exception) -> None:
        """The request or the stream failed."""
        self._stream = None
        self._do(self._reflector.failed(error, self._now()))

    def on_ended(self) -> None:
        """The stream ended cleanly."""
        self._stream = None
        self._do(self._reflector.ended(self._now()))

    def on_fault(self, error: Exception) -> None:
        """Something of ours raised, and nobody knows what was left undone: end the loop rather than go on."""
        self.stop()
        self._feed.call(raiser(error))

    # ---- what the reflector answers ------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            if not self._stopped:
                self._act(action)

    def _act(self, action: Action) -> None:
        match action:
            case OpenWatch(target, seconds):
                self._open(target, WatchReceiver(self), seconds + _SPARE_SECONDS, PARTIAL_OBJECT)
            case OpenList(target, seconds):
                self._open(target, PageReceiver(self), seconds, PARTIAL_LIST)
            case Close():
                self._close_stream()
            case Timer(seconds):
                self._set_timer(seconds)
            case Troubled(error):
                self._list_began = None
                self._set_status(Status(self.status.synced, str(error)), error)
            case Recovered():
                self._set_status(Status(self.status.synced), None)
            case Dropped():
                self._meter.count_stale_answer()
            case Skipped(item):
                self._skip(item)
            case _:
                self._change_store(action)

    def _change_store(self, action: Storing) -> None:
        match action:
            case Apply(Upserted(entry)):
                self._subscribers.tell(self.store.upsert(entry))
            case Apply(Deleted(entry)):
                self._subscribers.tell(self.store.delete(entry))
            case Forget(key, version):
                self._subscribers.tell(self.store.forget(key, version))
            case Advance(version):
                self.store.advance(version)
            case Outdate():
                self.store.outdate()
                self._set_status(Status(synced=False, trouble=self.status.trouble), self.error)
            case Replace():
                self._replace(action)

    def _replace(self, action: Replace) -> None:
        first = not self._lists
        self._stop_timer()  # It watched over the list.
        if action.reset:
            self._meter.count_reset()
            _log.warning("the server went back in time; the cache follows it", kind=str(self.mapping.gvk))
        self._lists += 1
        if self._lists > 1:
            self._meter.count_relist()
        now, began = self._now(), self._list_began
        self._list_seconds, self._list_began = now - (now if began is None else began), None
        # What was known before a reset, or of another server, is of another history.
        known = (self.store.get(key) for key in action.kept if not (action.reset or self.store.outdated))
        entries = [*action.entries, *(entry for entry in known if entry is not None)]
        changes = self.store.replace(entries, action.version, reset=action.reset, initial=first)
        self._subscribers.tell(changes)
        self._set_status(Status(synced=True), None)
        self._subscribers.synced()

    def _skip(self, item: Undecodable) -> None:
        self._meter.count_undecodable()
        if item.key not in self._named_poison and len(self._named_poison) < _NAMED_POISON:
            self._named_poison.add(item.key)
            name = str(item.key) if item.key else "unknown"
            _log.warning(
                "an object cannot be decoded and is skipped: %s", item.why, kind=str(self.mapping.gvk), object=name
            )

    def _set_status(self, status: Status, error: Exception | None) -> None:
        self.error = error
        if status != self.status:
            self.status = status
            self._on_status(self)

    def _set_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._feed.call_later(seconds, self._tick)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()

    def _tick(self) -> None:
        self._timer = None
        self._do(self._reflector.tick(self._now()))

    def _open(self, target: str, receiver: WatchReceiver | PageReceiver, timeout: float, partial: str) -> None:
        self._close_stream()
        if self._list_began is None and self._reflector.state is not State.WATCHING:
            self._list_began = self._now()
        accept = partial if self.holding.metadata_only else _JSON
        self._stream = self._feed.open(target, receiver, timeout=timeout, accept=accept)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _now(self) -> float:
        return self._clock.monotonic()
