"""The cluster of `reconcile_once`: an API in memory, and a client that reads and writes as a manager's would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from kcontroller.api import codec
from kcontroller.api.differences import merge_diff
from kcontroller.api.keys import Key
from kcontroller.api.objects import Object, key_of
from kcontroller.api.paths import object_path
from kcontroller.cache.projection import Projection
from kcontroller.cache.store import Store
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.ports import Selection
from kcontroller.client.writes import Ports, WriteOptions
from kcontroller.cluster import Cluster
from kcontroller.cluster.floors import Floors
from kcontroller.cluster.reader import CachedReader
from kcontroller.errors import ApiError, ClusterNotFound, KindNotServed, NotFound
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import StopToken
from kcontroller.testing.in_process import InProcessServer
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, ResourceMapping
    from kcontroller.api.objects import KubeObject
    from kcontroller.cache.scope import Holding
    from kcontroller.client.ports import Reader, Write, Writer
    from kcontroller.cluster import CacheHandle
    from kcontroller.cluster.kind_view import KindView
    from kcontroller.cluster.rails import Rail
    from kcontroller.cluster.tracked import Tracker
    from kcontroller.process.stop import Deadline

_SERVER_WRITTEN: Final = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_IDENTITY: Final = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_APPLY: Final = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class RecordedWrite:
    """One write that a reconcile sent.

    Attributes:
        verb: ``create``, ``update``, ``patch``, ``apply`` or ``delete``.
        kind: such as ``v1 ConfigMap``.
        key: of the object, also when the server made the name.
        subresource: ``status`` and the like; "" for the object itself.
        body: what was sent.
        change: what it changed in the object as stored, as a merge patch without what only the server writes; empty if
            nothing changed.
        error: what the server answered instead, such as ``409 Conflict: ...``; "" if it was done.
        dry_run: whether it was to change nothing.
    """

    verb: str
    kind: str
    key: Key
    subresource: str
    body: dict[str, Any]
    change: dict[str, Any]
    error: str = ""
    dry_run: bool = False

    def __str__(self) -> str:
        """Say it in one line: ``patch example.com/v1 Widget default/a/status``."""
        where = f"{self.key}/{self.subresource}" if self.subresource else str(self.key)
        marks = (" (dry run)" if self.dry_run else "") + (f" -> {self.error}" if self.error else "")
        return f"{self.verb} {self.kind} {where}{marks}"


class World:
    """What there is, and the ways to it.

    Args:
        cached: the kinds that are read from a cache, with their indexes: what the Reconciler declares.
    """

    def __init__(self, cached: Mapping[GVK, tuple[KindRef, tuple[str, ...]]]) -> None:
        self.server = InProcessServer()
        self.writes: list[RecordedWrite] = []
        self.mapper = RestMapper(self.server)
        self._cached = cached
        self.client = self._client(DirectPort(self.server, self.mapper), WriteOptions(), cached=False, recorded=False)

    def put(self, obj: KubeObject) -> None:
        """Store an object as it is given, with its status, its identity and, if it has one, its deletion.

        Raises:
            LookupError: the server does not know its kind.
            ValueError: it is being deleted without a finalizer, so that it would not be there.
            Invalid: it does not pass validation.
        """
        _before, document = codec.changed(obj)
        metadata = document.get("metadata") or {}
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            msg = f"{obj!r} has a deletionTimestamp and no finalizer: it would be gone; give it one"
            raise ValueError(msg)
        made = Object(msgspec.json.decode(msgspec.json.encode(document)))
        self._make_namespace(metadata.get("namespace", ""))
        try:
            self.client.create(made)
        except KindNotServed as error:
            msg = f"{obj.gvk} is not installed here; name its CustomResourceDefinition in crds="
            raise LookupError(msg) from error
        if document.get("status") and made.data.get("status") != document["status"]:
            made["status"] = document["status"]
            self.client.status.update(made)
        self._stamp(made, {name: metadata[name] for name in _IDENTITY if metadata.get(name)})

    def stored(self, kind: KindRef, key: Key) -> dict[str, Any]:
        """Read what is stored; {} if there is nothing."""
        resource = self.mapper.resolve(kind)
        status, document = self.server.request("GET", object_path(resource, key))
        return document if status == 200 else {}  # noqa: PLR2004

    def client_for(
        self, field_owner: str, *, stop: StopToken | None = None, deadline: Deadline | None = None
    ) -> Client:
        """Make the client of a reconcile: it reads what is declared as from a cache, and its writes are recorded."""
        direct = DirectPort(self.server, self.mapper, stop=stop, deadline=deadline)
        return self._client(direct, WriteOptions(field_owner=field_owner), cached=True, recorded=True)

    def api_reader(self) -> Client:
        """Make the client that always asks the server; its writes are recorded too."""
        return self._client(DirectPort(self.server, self.mapper), WriteOptions(), cached=False, recorded=True)

    def _client(self, direct: DirectPort, options: WriteOptions, *, cached: bool, recorded: bool) -> Client:
        reader: Reader = direct
        if cached:
            floors = Floors(clock=SYSTEM_CLOCK, on_loop_thread=lambda: False, on_stale=lambda: None)
            reader = CachedReader(direct, floors, self._cached_kind)
        writer: Writer = _Recorder(direct, self) if recorded else direct
        tracked = reader.get if cached else None
        return Client(Ports(reader=reader, live=direct, writer=writer, tracked=tracked), options)

    def _cached_kind(self, gvk: GVK) -> KindView | None:
        if gvk not in self._cached:
            return None
        kind, paths = self._cached[gvk]
        return cast("KindView", _Snapshot(self, kind, paths))

    def _make_namespace(self, name: str) -> None:
        if name and self.client.get_or_none("v1 Namespace", Key("", name)) is None:
            self.client.create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))

    def _stamp(self, obj: Object, identity: dict[str, Any]) -> None:
        """Give a stored object the identity that owner references of other objects may name."""
        if not identity:
            return
        backend = self.server.api.backend
        resource = self.mapper.resolve(obj.gvk)
        kind = backend.catalog.find(resource.gvk.group, resource.gvk.version, resource.plural)
        stored = backend.find("", kind, key_of(obj)) if kind is not None else None
        if kind is not None and stored is not None:
            document = stored.document()
            document["metadata"] |= identity
            backend.store.put("", kind.storage, document)


@dataclass(slots=True, eq=False)
class _Snapshot:
    """One declared kind as a synced cache would hold it now; stands in for a `KindView`."""

    world: World
    kind: KindRef
    paths: tuple[str, ...]
    mapping: ResourceMapping = field(init=False)
    store: Store = field(init=False)

    def informers(
        self,
        namespace: str,
        *,
        metadata: bool = False,  # noqa: ARG002 - all of each object is there
        paths: Sequence[str] = (),  # noqa: ARG002 - and every path that was declared
    ) -> tuple[_Snapshot, ...]:
        direct = DirectPort(self.world.server, self.world.mapper)
        self.mapping = self.world.mapper.resolve(self.kind)
        projection = Projection(self.mapping.gvk, self.paths)
        self.store = Store(projection)
        entries = [projection.entry(raw) for raw in direct.list(self.kind, Selection(namespace))]
        self.store.replace(entries, self.world.server.api.backend.store.version)
        return (self,)


class _Recorder:
    """A `Writer` that notes what it sends and what became of it."""

    def __init__(self, writer: Writer, world: World) -> None:
        self._writer = writer
        self._world = world

    def write(self, write: Write) -> bytes:
        before = self._world.stored(write.kind, write.key) if write.key.name else {}
        try:
            answer = self._writer.write(write)
        except ApiError as error:
            self._note(write, write.key, {}, error=f"{error.status} {error.reason}: {error.message}")
            raise
        key = write.key
        if not key.name:
            key = Key(key.namespace, msgspec.json.decode(answer)["metadata"]["name"])
        change = merge_diff(_plain(before), _plain(self._world.stored(write.kind, key)))
        self._note(write, key, {} if write.verb == "delete" else change)
        return answer

    def _note(self, write: Write, key: Key, change: dict[str, Any], *, error: str = "") -> None:
        verb = "apply" if write.content_type == _APPLY else write.verb
        body = msgspec.json.decode(write.body) if write.body else {}
        kind = str(codec.gvk_of(write.kind))
        self._world.writes.append(RecordedWrite(verb, kind, key, write.subresource, body, change, error, write.dry_run))


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in document.get("metadata", {}).items() if name not in _SERVER_WRITTEN}
    return {**document, "metadata": metadata} if document else {}


class WorldCluster(Cluster):
    """A world as a reconciler sees it. Nothing runs in it: there is no thread, no watch and no address."""

    def __init__(self, world: World) -> None:
        self.config = Config("https://reconcile-once.invalid", ANONYMOUS)
        self.name = self.uid = ""
        self.labels = {}
        self.leaving = StopToken()
        self._world = world
        self.client = world.client_for("kcontroller")
        self.api_reader = world.api_reader()

    def client_for(
        self,
        field_owner: str,
        *,
        cached: bool = True,
        stop: StopToken | None = None,
        deadline: Deadline | None = None,
        guard: Callable[[], None] | None = None,  # noqa: ARG002 - nobody competes for a world
        tracker: Tracker | None = None,  # noqa: ARG002 - and nothing changes in it behind the reconcile's back
        holdings: Mapping[GVK, Holding] | None = None,  # noqa: ARG002 - and everything is kept whole
        rails: tuple[Rail, ...] = (),  # noqa: ARG002 - and one reconcile goes nowhere far
    ) -> Client:
        """Make a client for one piece of work."""
        if not cached:
            return self._world.api_reader()
        return self._world.client_for(field_owner, stop=stop, deadline=deadline)

    def is_namespaced(self, kind: KindRef) -> bool | None:
        """Whether a kind lives in namespaces; None if it is not served."""
        try:
            return self._world.mapper.resolve(kind).namespaced
        except (KindNotServed, NotFound):
            return None

    def pending(self) -> tuple[()]:
        """Nothing: every declared kind is synced."""
        return ()

    def troubles(self) -> dict[str, str]:
        """None."""
        return {}

    def get(self, name: str) -> Cluster:
        """Find a cluster by name: itself.

        Raises:
            ClusterNotFound: any other name.
        """
        if name:
            msg = f"no cluster {name!r} is engaged"
            raise ClusterNotFound(msg)
        return self

    def __iter__(self) -> Iterator[Cluster]:
        """Iterate over the clusters: itself."""
        return iter((self,))

    def cache(self, kind: KindRef, holding: Holding | None = None) -> CacheHandle:  # noqa: ARG002 - as it overrides
        """Refuse: a reconcile has no use for it."""
        raise _NotHere("cache(kind)")  # noqa: EM101 - the name of what is not here

    def kubernetes_client(self) -> Any:
        """Refuse: there is no address."""
        raise _NotHere("kubernetes_client()")  # noqa: EM101


class _NotHere(NotImplementedError):
    def __init__(self, what: str) -> None:
        super().__init__(f"reconcile_once has no server with an address, so no {what}; use api_server and manager")
