"""What `Reconciler.setup` declares."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from kcontroller.api.codec import gvk_of
from kcontroller.controller.handlers import ForObject, ForOwner, Mapped
from kcontroller.controller.marks import OWNER_INDEX
from kcontroller.controller.predicates import Predicate

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.handlers import Handler


class Declaration(msgspec.Struct, frozen=True):
    """One kind to watch: which changes count, and whom they concern."""

    kind: KindRef
    predicates: tuple[Predicate, ...]
    handler: Handler

    @property
    def user_code(self) -> bool:
        """Whether deciding runs functions of the user's."""
        return self.handler.user_code or any(predicate.user_code for predicate in self.predicates)


class ControllerOptions(msgspec.Struct, frozen=True):
    """How a controller works.

    Attributes:
        max_concurrent_reconciles: workers; None takes the manager's figure.
        reconcile_timeout: seconds one reconcile may take; None takes the manager's figure, 0 is no limit.
        needs_leader_election: whether it works only in the process that leads, where one is elected.
    """

    max_concurrent_reconciles: int | None = None
    reconcile_timeout: float | None = None
    needs_leader_election: bool = True


class Builder:
    """Collects what a Reconciler watches. Every method returns the builder."""

    def __init__(self) -> None:
        self._for: KindRef | None = None
        self._declarations: list[Declaration] = []
        self._owned: list[tuple[KindRef, tuple[Predicate, ...], bool]] = []
        self._indexes: list[tuple[KindRef, str]] = []
        self._options = ControllerOptions()

    def for_(self, kind: KindRef, *, predicates: Iterable[Predicate] = ()) -> Self:
        """Reconcile this kind; once per Reconciler.

        Args:
            kind: ``"apps/v1 Deployment"`` or a `Resource` class.
            predicates: which changes count.

        Raises:
            ValueError: it was called before, or the kind is malformed.
        """
        if self._for is not None:
            msg = f"for_ was called twice: {gvk_of(self._for)} and {gvk_of(kind)}; use watches for further kinds"
            raise ValueError(msg)
        self._for = kind
        return self._declare(kind, predicates, ForObject())

    def owns(self, kind: KindRef, *, predicates: Iterable[Predicate] = (), every_owner: bool = False) -> Self:
        """Reconcile the owner when an object of this kind changes.

        Args:
            kind: of the children.
            predicates: which changes count.
            every_owner: also owners that are not the controller.

        Raises:
            ValueError: the kind is malformed.
        """
        gvk_of(kind)
        self._owned.append((kind, _checked(predicates), every_owner))
        return self

    def watches(
        self,
        kind: KindRef,
        to: Callable[[Cluster, Any], Iterable[Key | Request]],
        *,
        predicates: Iterable[Predicate] = (),
    ) -> Self:
        """Reconcile what a function names when an object of this kind changes.

        Args:
            kind: of the objects.
            to: gets the cluster and an object, and returns keys in that cluster, or requests in any. It runs on a
                mapper thread for the object before and after the change, and should read from the cache only.
            predicates: which changes count.

        Raises:
            ValueError: the kind is malformed.
        """
        if not callable(to):
            msg = f"watches needs a function that names what to reconcile, got {type(to).__name__}"
            raise TypeError(msg)
        return self._declare(kind, predicates, Mapped(to))

    def index(self, kind: KindRef, path: str) -> Self:
        r"""Index a kind by a JSON path such as ``spec.nodeName``, for ``client.list(kind, index=(path, value))``.

        A dot inside of a name is written ``\.``, as kubectl has it: ``metadata.labels.app\.kubernetes\.io/name``.
        """
        gvk_of(kind)
        if not all(path.split(".")):
            msg = f"{path!r} is not a path to index by; write it like 'spec.nodeName'"
            raise ValueError(msg)
        self._indexes.append((kind, path))
        return self

    def options(
        self,
        *,
        max_concurrent_reconciles: int | None = None,
        reconcile_timeout: float | None = None,
        needs_leader_election: bool | None = None,
    ) -> Self:
        """Set how the controller works; what is not given stays as it is.

        Args:
            max_concurrent_reconciles: workers.
            reconcile_timeout: seconds one reconcile may take; 0 is no limit.
            needs_leader_election: False lets it work in every replica; for controllers that only read, or whose writes
                cannot disturb one another.
        """
        if max_concurrent_reconciles is not None and max_concurrent_reconciles < 1:
            msg = f"max_concurrent_reconciles must be at least 1, got {max_concurrent_reconciles}"
            raise ValueError(msg)
        if reconcile_timeout is not None and not 0 <= reconcile_timeout < math.inf:
            msg = f"reconcile_timeout must be a number of seconds, or 0 for no limit, got {reconcile_timeout}"
            raise ValueError(msg)
        if max_concurrent_reconciles is not None:
            self._options = replace(self._options, max_concurrent_reconciles=max_concurrent_reconciles)
        if reconcile_timeout is not None:
            self._options = replace(self._options, reconcile_timeout=reconcile_timeout)
        if needs_leader_election is not None:
            self._options = replace(self._options, needs_leader_election=needs_leader_election)
        return self

    # ---- for the controller --------------------------------------------------------------------------------------

    @property
    def reconciled(self) -> GVK | None:
        """The kind of `for_`."""
        return None if self._for is None else gvk_of(self._for)

    @property
    def for_kind(self) -> KindRef | None:
        """The kind of `for_` as it was given."""
        return self._for

    @property
    def owned_kinds(self) -> tuple[KindRef, ...]:
        """The kinds of `owns`, as they were given."""
        return tuple(kind for kind, _predicates, _every in self._owned)

    def build(self) -> tuple[tuple[Declaration, ...], tuple[tuple[KindRef, str], ...], ControllerOptions]:
        """Give all declarations, indexes and options.

        Raises:
            ValueError: nothing is watched, or `owns` was used without `for_`.
        """
        owner = self.reconciled
        if self._owned and owner is None:
            msg = "owns needs for_: it reconciles the owner of what changed"
            raise ValueError(msg)
        if not self._declarations and not self._owned:
            msg = "setup watches nothing; call builder.for_(kind) or builder.watches(kind, to=...)"
            raise ValueError(msg)
        owned = tuple(
            Declaration(kind, predicates, ForOwner(owner, every_owner=every))
            for kind, predicates, every in self._owned
            if owner is not None
        )
        indexes = (*self._indexes, *((kind, OWNER_INDEX) for kind in self.owned_kinds))
        return (*self._declarations, *owned), indexes, self._options

    def _declare(self, kind: KindRef, predicates: Iterable[Predicate], handler: Handler) -> Self:
        gvk_of(kind)
        self._declarations.append(Declaration(kind, _checked(predicates), handler))
        return self


def _checked(predicates: Iterable[Predicate]) -> tuple[Predicate, ...]:
    given = tuple(predicates) if isinstance(predicates, Iterable) else (predicates,)
    wrong = [each for each in given if not isinstance(each, Predicate)]
    if wrong or not isinstance(predicates, Iterable):
        shown = ", ".join(getattr(each, "__name__", type(each).__name__) for each in wrong or given)
        msg = f"predicates takes a list, such as [predicates.generation_changed()], got {shown}"
        raise TypeError(msg)
    return given
