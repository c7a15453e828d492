"""What is heard of the projects, and what a sink is told of it; all on the hub's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from kcontroller.api.codec import gvk_of
from kcontroller.cache.projection import pairs
from kcontroller.cluster import Source
from kcontroller.multicluster.provider import ClusterSpec
from kcontroller.multicluster.providers.milo.templates import Unfit, Values
from kcontroller.process.logs import Log, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cache.feed import Stoppable
    from kcontroller.cache.projection import Entry
    from kcontroller.cache.store import Change
    from kcontroller.multicluster.provider import Check, Sink
    from kcontroller.multicluster.providers.milo.admission import Admission
    from kcontroller.multicluster.providers.milo.endpoints import Endpoints, Mode

Address: TypeAlias = tuple[str, str]
"""A URL, and where to connect to instead of where its host leads."""

_SHOWN: Final = 128

_log: Final = Log("kcontroller.multicluster")


class _Told(NamedTuple):
    """Of what the sink was told of a project, as far as it may change."""

    uid: str
    labels: tuple[str, ...]
    address: Address


class Projects:
    """Tells a sink of the projects that are to be worked on.

    A Project that is being emptied changes ten times a second. Nothing that changes nothing is told, and no more is
    done for it than to look.

    No two are told of with one address, or the objects of one project would be taken for those of the other. Who came
    first keeps it; who wants it too is looked at again when it is free.

    Args:
        sink: told.
        mode: what stands for the projects.
        endpoints: where they are.
        admission: which are to be worked on.
        grace: seconds for which one may be not ready.
        check: see `ClusterSpec`.
        call_later: calls a function on the hub's thread after so many seconds.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        mode: Mode,
        endpoints: Endpoints,
        admission: Admission,
        grace: float,
        check: Check | None,
        call_later: Callable[[float, Callable[[], None]], Stoppable],
    ) -> None:
        self._sink = sink
        self._gvk = gvk_of(mode.kind)
        self._uid_label = mode.uid_label
        self._endpoints = endpoints
        self._admission = admission
        self._grace = grace
        self._check = check
        self._call_later = call_later
        self._told: dict[str, _Told] = {}
        self._owners: dict[Address, str] = {}
        self._waiting: dict[str, tuple[Address, Entry]] = {}  # For an address that another one has.
        self._unready: dict[str, Stoppable] = {}
        self._refused: dict[str, str] = {}
        self._first: dict[str, bool] | None = {}  # Until all are listed: whether each is to be worked on.

    def hear(self, change: Change) -> None:
        """Look at what stands for a project."""
        name = change.entry.name
        if change.new is None:
            self._waiting.pop(name, None)
            self._leave(name, self._gone)
        else:
            self._look_at(change.new)
        if self._first is not None:
            self._first[name] = name in self._told

    def listed(self) -> None:
        """Say what the first list has brought: that there is nothing to do must not look like silence."""
        if self._first is None:
            return
        found, ready = len(self._first), sum(self._first.values())
        selector = str(self._admission.labels)
        say = _log.info if found or not selector else _log.warning
        say("%d %ss found%s; %d are ready", found, self._gvk.kind, f" with {selector}" if selector else "", ready)
        self._first = None
        self._sink.listed()

    @property
    def _gone(self) -> str:
        selector = str(self._admission.labels)
        return f"its {self._gvk.kind} is gone{f', or does not match {selector} any more' if selector else ''}"

    def _look_at(self, entry: Entry) -> None:
        self._waiting.pop(entry.name, None)
        told = self._told.get(entry.name)
        admitted = told is not None and told.uid == entry.uid
        objection = self._admission.objection(entry, admitted=admitted)
        if objection is None:
            self._end_grace(entry.name)
            if told is None or (told.uid, told.labels) != (entry.uid, entry.labels):
                self._tell(entry)
        elif objection.passing and admitted and self._grace > 0:
            self._begin_grace(entry.name, objection.why)
        else:
            self._leave(entry.name, objection.why)

    def _tell(self, entry: Entry) -> None:
        labels = pairs(entry.labels)
        uid = labels.get(self._uid_label, entry.uid)
        try:
            config = self._endpoints.config_of(Values(entry.name, uid, entry.namespace, labels))
        except Unfit as error:
            self._refuse(entry, str(error))
            return
        address = config.server, config.resolve
        owner = self._owners.get(address, entry.name)
        if owner != entry.name:
            self._waiting[entry.name] = address, entry
            self._refuse(entry, f"it would be reached at {config.server}, as {one_line(owner)} is already")
            return
        spec = ClusterSpec(entry.name, config, uid, tuple(labels.items()), self._source(entry), check=self._check)
        self._refused.pop(entry.name, None)
        before = self._told.get(entry.name)
        self._told[entry.name] = _Told(entry.uid, entry.labels, address)
        self._owners[address] = entry.name
        self._sink.present(spec)
        if before is not None and before.address != address:
            self._free(before.address)

    def _source(self, entry: Entry) -> Source:
        return Source(self._gvk.api_version, self._gvk.kind, entry.name, entry.namespace, entry.uid)

    def _refuse(self, entry: Entry, why: str) -> None:
        name = entry.name
        self._end_grace(name)
        told = self._told.pop(name, None)
        if self._refused.get(name) != why:
            self._refused[name] = why
            _log.warning("a %s is left out: %s", self._gvk.kind, why, cluster=one_line(name[:_SHOWN]))
            self._sink.refused(name, why, self._source(entry))
        if told is not None:
            self._free(told.address)

    def _leave(self, name: str, why: str) -> None:
        self._end_grace(name)
        told, refused = self._told.pop(name, None), self._refused.pop(name, "")
        if told is not None or refused:
            self._sink.absent(name, why)
        if told is not None:
            self._free(told.address)

    def _free(self, address: Address) -> None:
        del self._owners[address]
        for entry in [entry for wanted, entry in self._waiting.values() if wanted == address]:
            self._look_at(entry)

    # ---- not ready for a moment ----------------------------------------------------------------------------------

    def _begin_grace(self, name: str, why: str) -> None:
        if name not in self._unready:
            self._unready[name] = self._call_later(self._grace, lambda: self._leave(name, why))

    def _end_grace(self, name: str) -> None:
        timer = self._unready.pop(name, None)
        if timer is not None:
            timer.stop()
