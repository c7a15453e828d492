"""Several providers as one."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.names import is_label
from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.cluster import Cluster, Source
    from kcontroller.multicluster.provider import Check, ClusterSpec, Provider, Sink

SEPARATOR: Final = "."
"""Between the prefix, which has none, and the name: legal wherever a name is, also in an object's name or label."""

_log: Final = Log("kcontroller.multicluster")


class MultiProvider:
    """The clusters of several providers, each named ``PREFIX.NAME``.

    What they tell is passed on at once, on the thread on which it was told, with no lock and no queue between: it does
    not matter how much each has to tell, and when. All are listed when each of them is.

    Args:
        providers: by prefix, a DNS label.

    Raises:
        ConfigError: there is none, or a prefix is no label.

    Attributes:
        patience: the longest of theirs; None only if all of them have none.
        needs_hub: whether one of them does.
    """

    name = "union"

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        if not providers:
            msg = "a union needs at least one provider"
            raise ConfigError(msg)
        for prefix in providers:
            if not is_label(prefix):
                msg = f"{prefix!r} cannot be the prefix of a provider; write at most 63 of a-z, 0-9 and '-'"
                raise ConfigError(msg)
        self._providers = dict(providers)
        self.needs_hub = any(getattr(each, "needs_hub", True) for each in providers.values())
        self.patience = max((each.patience for each in providers.values() if each.patience is not None), default=None)

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:
        """Start each of them; if one cannot, those before it are stopped.

        Raises:
            ConfigError: one of them cannot begin; the text names it.
        """
        listing = _Listing(len(self._providers), sink.listed)
        started: list[Provider] = []
        for prefix, provider in self._providers.items():
            try:
                provider.start(_Part(prefix, sink, listing), hub=hub)
            except BaseException as error:
                _stop(started)
                if not isinstance(error, ConfigError):
                    raise
                msg = f"{prefix}: {error}"
                raise ConfigError(msg) from error
            started.append(provider)

    def stop(self) -> None:
        """Stop each of them, whatever becomes of the others."""
        _stop(self._providers.values())


class _Part:
    """The sink of one of them."""

    def __init__(self, prefix: str, sink: Sink, listing: _Listing) -> None:
        self._prefix = f"{prefix}{SEPARATOR}"
        self._sink = sink
        self._listing = listing

    def present(self, spec: ClusterSpec) -> None:
        check = None if spec.check is None else _by_name(spec.name, spec.check)
        self._sink.present(replace(spec, name=f"{self._prefix}{spec.name}", check=check))

    def absent(self, name: str, why: str) -> None:
        self._sink.absent(f"{self._prefix}{name}", why)

    def refused(self, name: str, why: str, source: Source | None = None) -> None:
        self._sink.refused(f"{self._prefix}{name}", why, source)

    def listed(self) -> None:
        self._listing.listed(self._prefix)


class _Listing:
    """Says that all are listed, once."""

    def __init__(self, count: int, tell: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._tell = tell
        self._done: set[str] = set()

    def listed(self, prefix: str) -> None:
        with self._lock:
            if prefix in self._done:
                return
            self._done.add(prefix)
            is_last = len(self._done) == self._count
        if is_last:
            self._tell()


def _by_name(name: str, check: Check) -> Check:
    """A check knows the cluster by the name that its own provider gave it."""
    return lambda spec, stop: check(replace(spec, name=name), stop)


def _stop(providers: Iterable[Provider]) -> None:
    for provider in providers:
        try:
            provider.stop()
        except Exception as error:  # noqa: BLE001 - the others must be stopped too
            _log.exception_of(error, "provider %s failed to stop: %s", provider.name, described(error))
