"""Which changes count. They filter what is queued; they never shrink the cache.

Combine them with ``&``, ``|`` and ``~``. Several predicates of one source must all admit a change. Creations and
deletions pass everything here that compares before and after, as in controller-runtime. What a raw source says has no
object to look at, and passes everything here but functions.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Final

from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.paths import PathReader, steps_of
from kcontroller.cache.projection import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.cache.projection import Entry
    from kcontroller.controller.event import Event

_BOTH: Final = 2


class Predicate(abc.ABC):
    """Decides whether an event is worth a reconcile.

    Attributes:
        user_code: whether deciding runs code of the user's, so that it must not happen on the cluster's thread; also
            true of subclasses that users write.
        paths: the JSON paths that it compares, which the cache must keep.
    """

    user_code: bool = True
    paths: tuple[str, ...] = ()

    @abc.abstractmethod
    def admits(self, event: Event) -> bool:
        """Whether the event counts."""

    def __str__(self) -> str:
        """Name it for `kcontroller explain`."""
        return type(self).__name__

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
        self.paths = tuple(path for part in parts for path in part.paths)

    def admits(self, event: Event) -> bool:
        return self._join(part.admits(event) for part in self._parts)

    def __str__(self) -> str:
        return f"({(' & ' if self._join is all else ' | ').join(map(str, self._parts))})"


class _Not(Predicate):
    def __init__(self, inner: Predicate) -> None:
        self._inner = inner
        self.user_code = inner.user_code
        self.paths = inner.paths

    def admits(self, event: Event) -> bool:
        # What looks at objects has nothing to say of an event without one, and neither has its opposite.
        mute = not event.sides and not self.user_code
        return mute or not self._inner.admits(event)

    def __str__(self) -> str:
        return f"~{self._inner}"


class _Changed(Predicate):
    user_code = False

    def __init__(self, name: str, read: Callable[[Entry], object], *paths: str) -> None:
        self._name = name
        self._read = read
        self.paths = paths

    def admits(self, event: Event) -> bool:
        sides = event.sides
        return len(sides) != _BOTH or self._read(sides[0]) != self._read(sides[1])

    def __str__(self) -> str:
        return self._name


class _Selected(Predicate):
    user_code = False

    def __init__(self, selector: LabelSelector) -> None:
        self._selector = selector

    def admits(self, event: Event) -> bool:
        # Leaving the selection counts: whoever acted on the object must hear that it is no longer his.
        sides = event.sides
        return not sides or any(self._selector.matches(pairs(side.labels)) for side in sides)

    def __str__(self) -> str:
        return f"selector({str(self._selector)!r})"


class _Function(Predicate):
    def __init__(self, function: Callable[[Event], bool]) -> None:
        self._function = function

    def admits(self, event: Event) -> bool:
        return bool(self._function(event))

    def __str__(self) -> str:
        return f"function({getattr(self._function, '__qualname__', type(self._function).__name__)})"


def generation_changed() -> Predicate:
    """The spec changed; writes of status and metadata do not count.

    Some kinds (ConfigMap, Secret, ServiceAccount, ...) have no generation: of these every update counts, where
    controller-runtime drops them all.
    """
    return _Changed("generation_changed", lambda entry: entry.generation or (entry.version,))


def field_changed(*paths: str) -> Predicate:
    r"""The value at one of these JSON paths changed: ``field_changed("spec.replicas", "metadata.labels.tier")``.

    A value may be a whole map or list; a path does not lead into lists. A value that comes or goes has changed.

    Args:
        paths: from the object's root; a dot inside of a name is written ``\.``, as kubectl has it.

    Raises:
        ValueError: there is none, or one is malformed.
    """
    for path in paths or ("",):
        if not isinstance(path, str) or not all(steps_of(path)):
            msg = f"{path!r} is not a path to compare; write it like 'spec.replicas'"
            raise ValueError(msg)
    reader = PathReader(paths)
    name = f"field_changed({', '.join(map(repr, paths))})"
    return _Changed(name, lambda entry: reader.values(entry.raw, pairs(entry.labels)), *paths)


def labels_changed() -> Predicate:
    """A label changed."""
    return _Changed("labels_changed", lambda entry: entry.labels)


def annotations_changed() -> Predicate:
    """An annotation changed."""
    return _Changed("annotations_changed", lambda entry: entry.annotations, "metadata.annotations")


def version_changed() -> Predicate:
    """Anything changed; only a resync does not count."""
    return _Changed("version_changed", lambda entry: entry.version)


def deletion_started() -> Predicate:
    """The object got its deletionTimestamp, or a finalizer came or went."""
    return _Changed("deletion_started", lambda entry: (entry.deleting, entry.finalizers))


def selector(labels: LabelSelector | Mapping[str, Any] | str) -> Predicate:
    """The labels match, or did before the change: an object that leaves the selection is heard of once more."""
    return _Selected(LabelSelector.of(labels))


def function(decide: Callable[[Event], bool]) -> Predicate:
    """What a function of yours says; it runs on a mapper thread, in order, and may read ``event.old`` and ``new``."""
    return _Function(decide)
