"""Which changes count. They filter what is queued; they never shrink the cache.

Combine them with ``&``, ``|`` and ``~``. Several predicates of one source must all admit a change. Creations and
deletions pass everything here that compares before and after, as in controller-runtime.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.projection import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.cache.projection import Entry
    from kcontroller.controller.event import Event


class Predicate(abc.ABC):
    """Decides whether an event is worth a reconcile.

    Attributes:
        user_code: whether deciding runs code of the user's, so that it must not happen on the cluster's thread; also
            true of subclasses that users write.
    """

    user_code: bool = True

    @abc.abstractmethod
    def admits(self, event: Event) -> bool:
        """Whether the event counts."""

    def __and__(self, other: Predicate) -> Predicate:
        """Both."""
        return _Combined((self, other), all)

    def __or__(self, other: Predicate) -> Predicate:
        """Either."""
        return _Combined((self, other), any)

    def __invert__(self) -> Predicate:
        """The opposite."""
        return _Not(self)


class _Combined(Predicate):
    def __init__(self, parts: tuple[Predicate, ...], join: Callable[[Any], bool]) -> None:
        self._parts = parts
        self._join = join
        self.user_code = any(part.user_code for part in parts)

    def admits(self, event: Event) -> bool:
        return self._join(part.admits(event) for part in self._parts)


class _Not(Predicate):
    def __init__(self, inner: Predicate) -> None:
        self._inner = inner
        self.user_code = inner.user_code

    def admits(self, event: Event) -> bool:
        return not self._inner.admits(event)


class _Changed(Predicate):
    user_code = False

    def __init__(self, read: Callable[[Entry], object]) -> None:
        self._read = read

    def admits(self, event: Event) -> bool:
        old, new = event.change.old, event.change.new
        return old is None or new is None or self._read(old) != self._read(new)


class _Selected(Predicate):
    user_code = False

    def __init__(self, selector: LabelSelector) -> None:
        self._selector = selector

    def admits(self, event: Event) -> bool:
        # Leaving the selection counts: whoever acted on the object must hear that it is no longer his.
        sides = (event.change.old, event.change.new)
        return any(self._selector.matches(pairs(side.labels)) for side in sides if side is not None)


class _Function(Predicate):
    def __init__(self, function: Callable[[Event], bool]) -> None:
        self._function = function

    def admits(self, event: Event) -> bool:
        return bool(self._function(event))


def generation_changed() -> Predicate:
    """The spec changed; writes of status and metadata do not count."""
    return _Changed(lambda entry: entry.generation)


def labels_changed() -> Predicate:
    """A label changed."""
    return _Changed(lambda entry: entry.labels)


def annotations_changed() -> Predicate:
    """An annotation changed."""
    return _Changed(lambda entry: entry.annotations)


def version_changed() -> Predicate:
    """Anything changed; only a resync does not count."""
    return _Changed(lambda entry: entry.version)


def deletion_started() -> Predicate:
    """The object got its deletionTimestamp, or a finalizer came or went."""
    return _Changed(lambda entry: (entry.deleting, entry.finalizers))


def selector(labels: LabelSelector | Mapping[str, Any] | str) -> Predicate:
    """The labels match, or did before the change: an object that leaves the selection is heard of once more."""
    return _Selected(LabelSelector.of(labels))


def function(decide: Callable[[Event], bool]) -> Predicate:
    """What a function of yours says; it runs on a mapper thread, in order, and may read ``event.old`` and ``new``."""
    return _Function(decide)
