"""One reconcile, with a world of given objects around it: the quickest test of a Reconciler.

::

    outcome = reconcile_once(WidgetReconciler(), Widget.named("a", namespace="default"), given=[config_map])
    assert [str(write) for write in outcome.writes] == [
        "create v1 ConfigMap default/a",
        "patch example.com/v1 Widget default/a/status",
    ]
    assert outcome.obj.status.ready
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kcontroller.api import codec
from kcontroller.api.keys import Key, Request
from kcontroller.api.objects import Object, key_of
from kcontroller.client.writes import kind_of
from kcontroller.controller import Builder, Context
from kcontroller.controller.ledger import Ledger
from kcontroller.controller.plan import name_of
from kcontroller.errors import Wait
from kcontroller.events import recorded
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline, StopToken
from kcontroller.testing.crds import install_crds, open_crd
from kcontroller.testing.world import World, WorldCluster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK
    from kcontroller.api.objects import KubeObject
    from kcontroller.client.client import Client
    from kcontroller.controller import Reconciler, Result
    from kcontroller.events import RecordedEvent, Recorder
    from kcontroller.testing.crds import Source
    from kcontroller.testing.world import RecordedWrite


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one reconcile.

    Attributes:
        result: what it returned.
        error: the `Wait` it raised, or the exception that `raises` named; None otherwise.
        writes: every write it sent, in order.
        obj: the object afterwards, of the class it was given in; None if it is gone.
        events: what it recorded with ``ctx.event``, in order; nothing is counted together or sent.
        client: reads the world afterwards, straight from its server.
    """

    result: Result | None
    error: Exception | None
    writes: tuple[RecordedWrite, ...]
    obj: Any
    client: Client
    events: tuple[RecordedEvent, ...] = ()

    @property
    def requeue_after(self) -> float | None:
        """Seconds after which it asks to be called again, by Result or by `Wait`; None if it does not."""
        if isinstance(self.error, Wait):
            return self.error.after
        return None if self.result is None else self.result.seconds

    def writes_of(self, kind: KindRef) -> tuple[RecordedWrite, ...]:
        """The writes of one kind."""
        return tuple(write for write in self.writes if write.kind == str(codec.gvk_of(kind)))


def reconcile_once(
    reconciler: Reconciler,
    obj: KubeObject | Mapping[str, Any] | Key | Request,
    *,
    given: Iterable[KubeObject | Mapping[str, Any]] = (),
    crds: Source = (),
    raises: type[Exception] | tuple[type[Exception], ...] = (),
) -> Outcome:
    """Call a Reconciler once for an object, in a cluster that holds that object and the given ones, and nothing else.

    The cluster is the embedded API server's own code, called in this thread: objects are validated, defaulted and
    pruned, status and spec are written apart, conflicts happen. Reads of the kinds that `setup` declares follow the
    rules of a cache (a field selector needs an index), and see own writes at once. There is no watch, no garbage
    collection, and nothing is left when it returns.

    Args:
        reconciler: its `setup` is called too.
        obj: the object, stored as it is given: with its status, its uid, its deletionTimestamp. Or only the key of one
            that is not there.
        given: the other objects, stored likewise. Namespaces are made as needed.
        crds: CustomResourceDefinitions, as for `install_crds`. The class of a `Resource` needs none; then it gets
            `open_crd`, which validates nothing and prunes nothing inside spec and status.
        raises: the exception that the reconcile must raise; it stands in `Outcome.error` then.

    Raises:
        AssertionError: it did not raise what `raises` names.
        LookupError: an object of a kind that is not installed; name its definition in `crds`.
        Exception: whatever the reconcile raises, except for `Wait`, which is no error and stands in `Outcome.error`.
    """
    __tracebackhide__ = True
    builder = Builder()
    reconciler.setup(builder)
    world = World(_declared(builder))
    main = obj if isinstance(obj, Key | Request) else _object(obj)
    objects = [each for each in (main, *(map(_object, given))) if not isinstance(each, Key | Request)]
    _install(world, crds, [*map(kind_of, objects), *(kind for kind, _paths in _declared(builder).values())])
    for each in objects:
        world.put(each)
    key = main if isinstance(main, Key) else main.key if isinstance(main, Request) else key_of(main)
    request = Request("", *key)
    events = _Events()
    result, error = _call(reconciler, builder, world, request, events=events, raises=raises)
    after = None if isinstance(main, Key | Request) else world.client.get_or_none(kind_of(main), key)
    return Outcome(result, error, tuple(world.writes), after, world.client, tuple(events.recorded))


def _call(
    reconciler: Reconciler,
    builder: Builder,
    world: World,
    request: Request,
    *,
    events: Recorder,
    raises: type[Exception] | tuple[type[Exception], ...],
) -> tuple[Result | None, Exception | None]:
    __tracebackhide__ = True
    cluster = WorldCluster(world)
    _declarations, _indexes, options = builder.build()
    deadline = Deadline.after(options.reconcile_timeout) if options.reconcile_timeout else None
    name = name_of(reconciler, builder)
    with StopToken(deadline=deadline) as stop:
        cluster.client = cluster.client_for(name, stop=stop, deadline=deadline)
        context = Context(
            request=request,
            cluster=cluster,
            clusters=cluster,
            log=Log(f"kcontroller.reconciler.{name}"),
            reasons=(),
            deadline=deadline,
            stop=stop,
            events=events,
            kind=builder.for_kind,
            owned=builder.owned_kinds,
            ledger=Ledger(name),
        )
        try:
            result = reconciler.reconcile(context, request)
        except Wait as wait:
            return None, wait
        except raises as error:
            return None, error
    if raises:
        names = " or ".join(each.__name__ for each in (raises if isinstance(raises, tuple) else (raises,)))
        msg = f"the reconcile returned {result}; it was to raise {names}"
        raise AssertionError(msg)
    return result, None


class _Events:
    """A `Recorder` that keeps what it is told."""

    def __init__(self) -> None:
        self.recorded: list[RecordedEvent] = []

    def event(self, obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> None:
        self.recorded.append(recorded(obj, type_, reason, message, action=action))


def _object(given: KubeObject | Mapping[str, Any]) -> KubeObject:
    return Object(dict(given)) if isinstance(given, Mapping) else given


def _declared(builder: Builder) -> dict[GVK, tuple[KindRef, tuple[str, ...]]]:
    declarations, indexes, _options = builder.build()
    kinds: dict[GVK, tuple[KindRef, tuple[str, ...]]] = {}
    for kind in (*(each.kind for each in declarations), *(kind for kind, _path in indexes)):
        gvk = codec.gvk_of(kind)
        paths = tuple(path for indexed, path in indexes if codec.gvk_of(indexed) == gvk)
        known = kinds.get(gvk)
        # Of the ways to name a kind a class is the best: it knows its plural.
        kinds[gvk] = (known[0] if known is not None and isinstance(known[0], type) else kind, paths)
    return kinds


def _install(world: World, crds: Source, kinds: list[KindRef]) -> None:
    install_crds(world.server, crds)
    for kind in kinds:
        mapping = codec.mapping_of(kind)
        catalog = world.server.api.backend.catalog
        if mapping is not None and catalog.find(mapping.gvk.group, mapping.gvk.version, mapping.plural) is None:
            install_crds(world.server, open_crd(kind))  # type: ignore[arg-type]
