"""The client that people call: kinds and objects in, objects out.

The kind comes first in every read. Writes take the object, and put the server's answer into it. A `patch` without an
explicit patch sends the difference between the object as it was read and as it is now; no difference, no request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from msgspec.structs import replace

from kcontroller.api import codec
from kcontroller.api.given import check_object, check_patch
from kcontroller.api.keys import GVK
from kcontroller.api.objects import KubeObject, Object, key_of
from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.client import upserts
from kcontroller.client.generated_names import create_named
from kcontroller.client.metadata import MetadataClient
from kcontroller.client.ports import Selection, Write
from kcontroller.client.writes import ObjectWriter, Ports, WriteOptions, kind_of, wished
from kcontroller.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Key, Request
    from kcontroller.api.patches import Patch
    from kcontroller.client.upserts import Upsert

K = TypeVar("K", bound=KubeObject)
Propagation = Literal["Background", "Foreground", "Orphan"]
_DEFAULTS = WriteOptions()


class Client:
    """Verbs on the objects of one cluster; safe for all threads.

    Every call may raise `ApiError` (by status), `TransportError`, `KindNotServed`, and `Stopped` when the running work
    was asked to stop. A cached client may also raise `CacheError`. What is no object, key or patch is a TypeError.

    Args:
        ports: where it reads and writes.
        options: what its writes carry.
    """

    def __init__(self, ports: Ports, options: WriteOptions = _DEFAULTS) -> None:
        self._ports = ports
        self._writes = ObjectWriter(ports, options)

    @overload
    def get(self, kind: type[K], key: Key | Request, *, track: bool = False) -> K: ...
    @overload
    def get(self, kind: GVK | str, key: Key | Request, *, track: bool = False) -> Object: ...
    def get(self, kind: Any, key: Key | Request, *, track: bool = False) -> Any:
        """Read one object.

        Args:
            kind: the kind.
            key: the object.
            track: call the running reconcile's request again when the object changes, appears or is deleted, until a
                reconcile of that request ends without having read it so. The object is watched by itself unless its
                kind is cached anyway: that needs the rights to get, list and watch it, and no others of its kind.

        Raises:
            NotFound: it does not exist.
            ClusterMismatch: `key` is a request of another cluster.
            TooManyTracked: it cannot be tracked.
            ValueError: `track` outside of a reconcile, or on a client that always asks the server.
        """
        where = self._writes.local(key)
        raw = self._tracked(kind, where) if track else self._ports.reader.get(kind, where)
        return codec.decode(raw, kind)

    @overload
    def get_or_none(self, kind: type[K], key: Key | Request, *, track: bool = False) -> K | None: ...
    @overload
    def get_or_none(self, kind: GVK | str, key: Key | Request, *, track: bool = False) -> Object | None: ...
    def get_or_none(self, kind: Any, key: Key | Request, *, track: bool = False) -> Any:
        """Read one object; None if it does not exist. Otherwise as `get`."""
        try:
            return self.get(kind, key, track=track)
        except NotFound:
            return None

    def _tracked(self, kind: KindRef, key: Key) -> bytes:
        tracked = self._ports.tracked
        if tracked is None:
            msg = (
                f"{codec.gvk_of(kind)} {key} cannot be tracked here: track=True is for ctx.client and "
                f"ctx.clusters.get(name).client, since it needs a reconcile that can be called again"
            )
            raise ValueError(msg)
        return tracked(kind, key)

    @overload
    def list(
        self,
        kind: type[K],
        *,
        namespace: str = "",
        labels: LabelSelector | Mapping[str, Any] | str | None = None,
        fields: FieldSelector | Mapping[str, str] | str | None = None,
        index: tuple[str, str] | None = None,
    ) -> list[K]: ...
    @overload
    def list(
        self,
        kind: GVK | str,
        *,
        namespace: str = "",
        labels: LabelSelector | Mapping[str, Any] | str | None = None,
        fields: FieldSelector | Mapping[str, str] | str | None = None,
        index: tuple[str, str] | None = None,
    ) -> list[Object]: ...
    def list(
        self,
        kind: Any,
        *,
        namespace: str = "",
        labels: LabelSelector | Mapping[str, Any] | str | None = None,
        fields: FieldSelector | Mapping[str, str] | str | None = None,
        index: tuple[str, str] | None = None,
    ) -> Any:
        """Read the objects that match, in no particular order.

        Args:
            kind: the kind.
            namespace: one namespace; "" for all.
            labels: ``"app=web,tier!=db"``, a mapping of equal labels, or matchLabels and matchExpressions.
            fields: equality of fields; a cache answers metadata.name, metadata.namespace and declared indexes.
            index: (name, value) of an index declared in `setup`.
        """
        selection = Selection(namespace, LabelSelector.of(labels), FieldSelector.of(fields), index)
        return [codec.decode(raw, kind) for raw in self._ports.reader.list(kind, selection)]

    def create(self, obj: K) -> K:
        """Create the object; the server's answer is put into it.

        A name is made of ``generateName`` here, by the server's rule, so that a lost answer can be settled by reading.
        If it stays open whether the object was created, it keeps that name.

        Raises:
            AlreadyExists: an object of that name exists.
            Invalid: it does not pass validation.
            OutcomeUnknown: also where an object of the name that you gave exists after a lost answer; it may be
                another writer's.
        """
        check_object(obj, to="create")
        if not obj.metadata.name and obj.metadata.generate_name:
            return create_named(obj, partial(self._create, fresh_name=True))
        return self._create(obj)

    def _create(self, obj: K, *, fresh_name: bool = False) -> K:
        return self._writes.send(obj, "create", codec.encode(wished(obj)), fresh_name=fresh_name)

    def update(self, obj: K) -> K:
        """Replace the object as a whole, on condition that it has not changed since it was read; prefer `patch`.

        Fields that a typed model does not know are kept as they were read.

        Raises:
            Conflict: it has changed.
        """
        check_object(obj, to="update")
        _before, after = codec.changed(obj)
        return self._writes.send(obj, "update", codec.encode(after))

    def patch(self, obj: K, patch: Patch | None = None) -> K:
        """Send what changed since the object was read, or an explicit patch.

        The status is not part of it; see `status`. A difference that replaces or removes a list carries the
        resourceVersion, and on a conflict is made anew on a fresh reading, so that nobody's finalizer or condition is
        lost. Of an object that was not read, everything it says is sent.

        A difference that changed nothing, because the server writes the value in a form of its own (``1000m`` as ``1``,
        an empty map as none), is sent once in ten minutes at most while the object stays in its version.

        Raises:
            NotFound: the object is gone, also where another one has its name now.
            Conflict: it kept changing, or an explicit patch carried an old resourceVersion.
        """
        check_object(obj, to="patch")
        if patch is not None:
            check_patch(patch)
            return self._writes.send(obj, "patch", patch.body, content_type=patch.content_type)
        self._writes.patch_difference(obj)
        return obj

    def create_or_update(self, obj: K, mutate: Callable[[K], object]) -> Upsert:
        """Read the object; create it if it is absent, replace it if `mutate` changes it, else send nothing.

        What changes is for the server to say, see `patch`: a replacement that changed nothing answers ``unchanged``.
        Prefer `create_or_patch`, which carries only what changed. The status is not written.

        Args:
            obj: says kind, namespace and name; where the object is absent, everything else it says is created with it.
                It holds the server's state afterwards.
            mutate: makes of the object it gets (this one) what it should be; whether that was just read or is new. It
                may be called twice, the second time on a fresh reading, and must not change kind, namespace or name.

        Raises:
            ValueError: the object has no name, or `mutate` changed it; nothing was sent then.
            Conflict: the object has changed since it was read.
            NotFound: it was deleted since it was read.
        """
        check_object(obj, to="create_or_update")
        return upserts.create_or_update(self._writes, obj, mutate)

    def create_or_patch(self, obj: K, mutate: Callable[[K], object]) -> Upsert:
        """Read the object; create it if it is absent, send what `mutate` changes, and the status by itself.

        A new object gets no status. Conflicts are settled as by `patch`.

        Args:
            obj: as for `create_or_update`.
            mutate: as for `create_or_update`; may change the status too.

        Raises:
            ValueError: the object has no name, or `mutate` changed it; nothing was sent then.
            NotFound: the object was deleted since it was read, also where another one has its name now.
        """
        check_object(obj, to="create_or_patch")
        return upserts.create_or_patch(self._writes, obj, mutate)

    def apply(self, obj: K, *, field_owner: str | None = None, force: bool = False) -> K:
        """Server-side apply (KEP-555): own exactly the fields that are set.

        Args:
            obj: the fields you want to own.
            field_owner: instead of the client's.
            force: take fields over from other owners instead of failing.

        Raises:
            Conflict: another owner has one of the fields, and `force` is not set.
        """
        check_object(obj, to="apply")
        fields = {name: value for name, value in wished(obj).items() if name != "status"}
        return self._writes.apply(obj, fields, field_owner=field_owner, force=force)

    def delete(
        self,
        target: KubeObject | KindRef,
        key: Key | Request | None = None,
        *,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> None:
        """Delete an object, or ``(kind, key)``.

        An object that was read is deleted only if it is still the same one: its uid is the precondition.

        Raises:
            NotFound: it does not exist.
            Conflict: another object has its name now.
            ValueError: a kind without a key.
        """
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if self._writes.options.dry_run:
            options["dryRun"] = ["All"]  # The server reads either the body or the query, and here is a body.
        kind: KindRef
        if key is None:
            if isinstance(target, str | GVK | type):
                msg = f"which {codec.gvk_of(target)} to delete? Give its key, or an object"
                raise ValueError(msg)
            check_object(target, to="delete")
            kind, where = kind_of(target), key_of(target)
            if target.metadata.uid:
                options["preconditions"] = {"uid": target.metadata.uid}
        else:
            kind, where = target, self._writes.local(key)  # type: ignore[assignment]
        query = tuple(pair for pair in self._writes.options.query() if pair[0] == "dryRun")
        self._ports.writer.write(Write("delete", kind, where, codec.encode(options), query=query))

    @property
    def metadata(self) -> MetadataClient:
        """Reads of nothing but the metadata."""
        return MetadataClient(self._ports.reader, self._writes.local)

    @property
    def status(self) -> SubresourceClient:
        """Writes of ``status``."""
        return SubresourceClient(self._writes, "status")

    def subresource(self, name: str) -> SubresourceClient:
        """Reads and writes of a subresource such as ``scale`` or ``eviction``."""
        return SubresourceClient(self._writes, name)

    def with_options(
        self,
        *,
        field_owner: str | None = None,
        dry_run: bool | None = None,
        field_validation: Literal["Strict", "Warn", "Ignore", ""] | None = None,
    ) -> Client:
        """Return a client whose writes carry other options."""
        options = self._writes.options
        if field_owner is not None:
            options = replace(options, field_owner=field_owner)
        if dry_run is not None:
            options = replace(options, dry_run=dry_run)
        if field_validation is not None:
            options = replace(options, field_validation=field_validation)
        return Client(self._ports, options)


class SubresourceClient:
    """Verbs on one subresource of an object.

    Args:
        writes: sends the writes.
        name: the subresource, such as ``status``.
    """

    def __init__(self, writes: ObjectWriter, name: str) -> None:
        self._writes = writes
        self._name = name

    def get(self, kind: KindRef, key: Key | Request) -> Object:
        """Read the subresource at the server, for example a ``scale``."""
        return codec.decode(self._writes.ports.live.get(kind, self._writes.local(key), self._name), Object)

    def patch(self, obj: K, patch: Patch | None = None) -> K:
        """Send what changed in the subresource since the object was read; no difference, no request."""
        self._check(obj, "patch")
        if patch is None:
            self._writes.patch_difference(obj, self._name)
            return obj
        check_patch(patch)
        return self._writes.send(obj, "patch", patch.body, content_type=patch.content_type, subresource=self._name)

    def update(self, obj: K) -> K:
        """Replace the subresource, on condition that the object has not changed since it was read; prefer `patch`."""
        self._check(obj, "update")
        _before, after = codec.changed(obj)
        return self._writes.send(obj, "update", codec.encode(after), subresource=self._name)

    def apply(self, obj: K, *, field_owner: str | None = None, force: bool = False) -> K:
        """Server-side apply of the subresource."""
        self._check(obj, "apply")
        says = wished(obj)
        # Labels and the like are no part of a subresource, and would be owned without being set.
        metadata = {name: value for name, value in says["metadata"].items() if name in {"name", "namespace"}}
        fields = {name: value for name, value in says.items() if name in {"apiVersion", "kind", self._name}}
        fields["metadata"] = metadata
        return self._writes.apply(obj, fields, self._name, field_owner=field_owner, force=force)

    def create(self, kind: KindRef, key: Key | Request, body: KubeObject) -> Object:
        """Post to a subresource, such as an ``eviction`` or a ``token``; returns the answer."""
        self._check(body, "create")
        query = self._writes.options.query()
        where = self._writes.local(key)
        write = Write("create", kind, where, codec.encode(wished(body)), subresource=self._name, query=query)
        return codec.decode(self._writes.ports.writer.write(write), Object)

    def _check(self, given: object, verb: str) -> None:
        check_object(given, to=f"{self._name if self._name == 'status' else f'subresource({self._name!r})'}.{verb}")
