"""What users write: a Reconciler, and the Result it returns."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_origin

from kcontroller.api.objects import KubeObject, Object, is_deleting
from kcontroller.controller.finalizing import FinalizerRegistry, check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Request
    from kcontroller.controller.builder import Builder
    from kcontroller.controller.context import Context

K = TypeVar("K", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconcile went. None, and a Result that asks for nothing, mean done until the next event.

    Attributes:
        requeue_after: come again after so many seconds (or a timedelta); the backoff starts anew.
        requeue: come again after the object's backoff.
        priority: of the next time; None keeps the one it has.
    """

    requeue_after: float | timedelta | None = None
    requeue: bool = False
    priority: int | None = None

    def __post_init__(self) -> None:
        """Refuse what the queue could not work with, here where the traceback shows who asked for it."""
        if self.seconds is not None and not 0 <= self.seconds < math.inf:
            msg = f"requeue_after must be a number of seconds and not negative, got {self.requeue_after}"
            raise ValueError(msg)
        if not isinstance(self.priority, int | None):
            msg = f"priority must be an int, got {type(self.priority).__name__}"
            raise TypeError(msg)

    @property
    def seconds(self) -> float | None:
        """`requeue_after` in seconds."""
        if isinstance(self.requeue_after, timedelta):
            return self.requeue_after.total_seconds()
        return None if self.requeue_after is None else float(self.requeue_after)

    @property
    def again(self) -> bool:
        """Whether another call is asked for."""
        return self.requeue or bool(self.seconds)


class Reconciler(abc.ABC):
    """Brings the world closer to what one object asks for.

    `reconcile` is called with a request whenever something that `setup` declared has changed. It is level-triggered: it
    gets no event, reads what is true now, and must be idempotent. The same request is never with two workers at once.

    ================================ ========================================================
    it returns or raises             then
    ================================ ========================================================
    None, ``Result()``               done; the backoff is forgotten
    ``Result(requeue_after=30)``     again in 30 s; the backoff is forgotten
    ``Result(requeue=True)``         again after the object's backoff
    ``Wait(after=10, why=...)``      as requeue_after; not an error
    `StaleRead`, `NotSynced`         as requeue; not an error
    `ClusterNotFound`                likewise
    `ClusterUnavailable`             as requeue_after; not an error
    `ClusterSuspended`               likewise
    `TerminalError`                  counted and logged, no retry; the backoff is forgotten
    any other exception              counted, logged, retried after 5 ms, 10 ms, ... 1000 s
    ================================ ========================================================

    Attributes:
        name: the controller's name; the lower-case kind of `for_` unless given.
    """

    name: ClassVar[str | None] = None

    @abc.abstractmethod
    def setup(self, builder: Builder) -> None:
        """Declare what to watch; called once, before the start."""

    @abc.abstractmethod
    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        """Reconcile one object, by name."""


class ObjectReconciler(Reconciler, Generic[K]):
    """A Reconciler that gets the object instead of its name, with the usual beginning and end written once.

    An object that is gone needs nothing. With a `finalizer`, it is added before the first `reconcile_object`,
    `finalize` is called while the object is being deleted, and when that returns None the finalizer is removed. With
    several `finalizers` each function is called by itself: one that fails does not keep the others on the object.

    Attributes:
        finalizer: such as ``example.com/widget``; None for none.
        finalizers: further ones, each with what it calls instead of `finalize`: a method of the class or any function
            of the context and the object. See `FinalizerRegistry`.
        kind: what is reconciled; the class argument (``ObjectReconciler[Widget]``) unless given, which for unstructured
            objects it must be: ``kind = "apps/v1 Deployment"``.
    """

    finalizer: ClassVar[str | None] = None
    finalizers: ClassVar[Mapping[str, Callable[..., Result | None]]] = {}
    kind: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the kind from the class argument.

        Raises:
            ValueError: a finalizer is not written like ``example.com/widget``.
        """
        super().__init_subclass__(**kwargs)
        check_names({**({cls.finalizer: None} if cls.finalizer else {}), **cls.finalizers})
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            arguments = get_args(base)
            if cls.kind is None and isinstance(origin, type) and issubclass(origin, ObjectReconciler):
                argument = arguments[0]
                if isinstance(argument, type) and argument not in (Object, Any):
                    cls.kind = argument

    def setup(self, builder: Builder) -> None:
        """Watch the kind; override it to watch more."""
        builder.for_(self._kind())

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        """Get the object, then finalize or reconcile it."""
        obj: K | None = ctx.client.get_or_none(self._kind(), request)  # type: ignore[assignment]
        if obj is None:
            return None
        registry = self._registry()
        if is_deleting(obj):
            return registry.finalize(ctx, obj)
        registry.add(ctx, obj)
        return self.reconcile_object(ctx, obj)

    def _registry(self) -> FinalizerRegistry:
        own: dict[str, Any] = {self.finalizer: self.finalize} if self.finalizer else {}
        return FinalizerRegistry(own | {name: self._bound(function) for name, function in self.finalizers.items()})

    def _bound(self, function: Callable[..., Result | None]) -> Callable[..., Result | None]:
        """Bind a function that stands in the class body, where it is no method yet; other callables are as they are."""
        name = getattr(function, "__name__", "")
        if any(vars(base).get(name) is function for base in type(self).__mro__):
            method: Callable[..., Result | None] = getattr(self, name)
            return method
        return function

    @abc.abstractmethod
    def reconcile_object(self, ctx: Context, obj: K) -> Result | None:
        """Reconcile one object that exists and is not being deleted."""

    def finalize(self, ctx: Context, obj: K) -> Result | None:  # noqa: ARG002 - for those who override it
        """Clean up after an object that is being deleted; None lets it go."""
        return None

    def _kind(self) -> KindRef | Any:
        if self.kind is None:
            name = type(self).__name__
            msg = f"{name} does not say its kind: write ObjectReconciler[YourResource], or kind = 'apps/v1 Deployment'"
            raise TypeError(msg)
        return self.kind


def refuse_metadata_only(reconciler: Reconciler, builder: Builder) -> None:
    """Refuse an `ObjectReconciler` that keeps of its objects nothing but the metadata.

    Raises:
        ValueError: it does.
    """
    gets_objects = type(reconciler).reconcile is ObjectReconciler.reconcile
    holding = builder.holdings.get(builder.reconciled) if gets_objects and builder.reconciled else None
    if holding is not None and holding.metadata_only:
        msg = (
            f"{builder.reconciled} is kept as metadata only, and reconcile_object gets whole objects; leave "
            "metadata_only= out, or override reconcile, which can read ctx.client.metadata"
        )
        raise ValueError(msg)
