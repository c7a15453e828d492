"""What is wrong with a cluster: one line when it begins, one when it is over."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.errors import Forbidden, NotFound, ServerSilent, TooManyRequests, Unauthorized
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kcontroller.api.keys import GVK, Key
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.process.clock import Clock
    from kcontroller.process.repeats import Repeats
    from kcontroller.transport.config import Config

_NAMED_KINDS: Final = 3
_PASSING: Final = (TooManyRequests, ServerSilent)  # Of a silent server the loop has told already.

_log: Final = Log("kcontroller.cluster")


def in_words(error: Exception, gvk: GVK, config: Config) -> str:
    """Name the thing and the remedy."""
    match error:
        case NotFound():  # What is asked for here are lists and watches of whole kinds.
            return (
                f"the server does not serve {gvk}; it will be picked up when its CustomResourceDefinition is installed"
            )
        case Forbidden():
            return f"{error}; grant this user the verbs get, list and watch on {error.resource}"
        case Unauthorized():
            return f"{error}; {config.server} does not accept the credentials of {config.source or 'the configuration'}"
        case _:
            return str(error)


class Troubles:
    """The troubles of one cluster's kinds; three informers that meet the same dead server say so once.

    Args:
        cluster: for the log.
        repeats: shared with other clusters, which may meet the same dead server; None for a cluster of its own.
        clock: the time.

    Attributes:
        since: the monotonic time since which something is wrong; None while nothing is.
    """

    def __init__(self, cluster: str, *, repeats: Repeats | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._cluster = cluster
        self._repeats = repeats
        self._said = False
        self._lock = threading.Lock()
        self._by_kind: dict[str, str] = {}
        self._clock = clock
        self.since: float | None = None
        self._told: dict[str, str] = {}
        self._met: dict[str, None] = {}  # The kinds that had a trouble since all was well.

    def set(self, kind: str, text: str, *, passing: bool = False) -> None:
        """Note what is wrong with a kind.

        Args:
            kind: which.
            text: what is wrong; "" means that nothing is.
            passing: whether it is of a sort that passes, such as storage that is being set up (429): it is worth a
                warning only if the next try meets it again.
        """
        with self._lock:
            is_new = text != self._by_kind.get(kind, "")
            if text:
                self._by_kind[kind] = text
            else:
                self._by_kind.pop(kind, None)
            self._date()
            if passing and is_new:
                return
            before = self._told.pop(kind, "")
            tell = bool(text) and text != before and text not in self._told.values()
            over = bool(before) and not text and not self._told
            if text:
                self._told[kind] = text
                self._met[kind] = None
            met = tuple(self._met)
            if not self._told:
                self._met.clear()
        if tell:
            told = text if self._repeats is None else self._repeats.told(text)
            self._said = self._said or bool(told)
            (_log.warning if told else _log.debug)("%s; trying again", told or text, cluster=self._cluster, kind=kind)
        elif over:
            # Of a trouble that was left out, the end is, too.
            (_log.info if self._said else _log.debug)("the trouble is over", cluster=self._cluster, kind=_some(met))
            self._said = False

    def forget(self, kind: str) -> None:
        """Drop the trouble of a kind that nobody wants any more; that is no end of it worth a line."""
        with self._lock:
            self._by_kind.pop(kind, None)
            self._told.pop(kind, None)
            self._met.pop(kind, None)
            if not self._told:
                self._met.clear()
            self._date()

    def _date(self) -> None:
        if not self._by_kind:
            self.since = None
        elif self.since is None:
            self.since = self._clock.monotonic()

    def all(self) -> dict[str, str]:
        """What is wrong, by kind."""
        with self._lock:
            return dict(self._by_kind)

    def of(self, kind: str) -> str:
        """What is wrong with a kind, or ""."""
        with self._lock:
            return self._by_kind.get(kind, "")


class WatchTroubles(msgspec.Struct, frozen=True):
    """Hears how the lists and watches of one cluster fare, and notes it in words.

    Attributes:
        cluster: its name, for the log.
        troubles: where it is noted.
        config: gives the configuration in use, whose server and user a remedy names.
    """

    cluster: str
    troubles: Troubles
    config: Callable[[], Config]

    def of_kind(self, kind: CachedKind, error: Exception | None) -> None:
        """Note what is wrong with a kind, or None when it is over."""
        name = str(kind)
        text = in_words(error, kind.gvk, self.config()) if error else ""
        self.troubles.set(name, text, passing=isinstance(error, _PASSING))
        if error is None and kind.synced:
            _log.debug("synced", cluster=self.cluster, kind=name)

    def of_object(self, gvk: GVK, key: Key, error: Exception | None) -> None:
        """Note what is wrong with the watch of a tracked object, or None when it is over."""
        words = in_words(error, gvk, self.config()) if error else ""
        text = f"{words}; until then no reconcile hears of changes of {key}" if error else ""
        self.troubles.set(f"{gvk} {key}", text, passing=isinstance(error, _PASSING))

    def ended(self, kind: CachedKind) -> None:
        """Drop the trouble of a kind that nobody wants any more."""
        self.troubles.forget(str(kind))


def _some(kinds: Sequence[str]) -> str:
    more = len(kinds) - _NAMED_KINDS
    return ", ".join(kinds[:_NAMED_KINDS]) + (f" and {more} more" if more > 0 else "")
