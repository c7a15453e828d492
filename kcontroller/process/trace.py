"""What happened to each request lately, for `kcontroller explain`: a ring of steps for each of the newest keys.

A step is taken down on the thread where it happens and costs less than half a microsecond: nothing is formatted there,
that is left to whoever reads. `controller.recording` has the steps, and what each of them is about.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kcontroller.process.clock import Clock

ENDED: Final = "ended"
FAILED: Final = "failed"
"""How work on a key ends; a key whose last one `FAILED` is kept longer."""

STEPS: Final = 32
"""The steps that are kept of a key."""

FEWEST_KEYS: Final = 8
_TRIMMED_AT: Final = STEPS + 8
_ENDS: Final = frozenset((ENDED, FAILED))


class Step(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened.

    Attributes:
        at: when, in seconds of the clock's `monotonic`.
        what: one word, see the module.
        about: values that never refer back to the trace, as the garbage collector does not look into a step: texts,
            numbers, keys.
    """

    at: float
    what: str
    about: tuple[object, ...]


class Trace:
    """The last steps of the newest keys; any thread. Memory is bounded by `keys` and `STEPS`.

    Keys live in two generations. One that is touched moves to the young one; when that is full (two fifths of `keys`),
    the old one is dropped and the young one takes its place: the newest are there for certain, in constant time, and
    without a lock except for a key's first step in a generation. Keys whose last work failed outlive the drop, up to a
    fifth of `keys`: a poison object that is retried every quarter of an hour among thousands is what people ask about.

    Args:
        keys: how many keys are kept at most.
        clock: the time.
    """

    def __init__(self, keys: int, *, clock: Clock) -> None:
        if keys < FEWEST_KEYS:
            msg = f"a trace cannot keep {keys} keys; give at least {FEWEST_KEYS}, or leave the trace out"
            raise ValueError(msg)
        self._full = keys * 2 // 5
        self._monotonic = clock.monotonic
        self._lock = threading.Lock()
        self._young: dict[Hashable, list[Step]] = {}
        self._old: dict[Hashable, list[Step]] = {}

    def add(self, key: Hashable, what: str, *about: object) -> None:
        """Take a step of a key down."""
        steps = self._young.get(key)
        if steps is None:
            steps = self._renewed(key)
        steps.append(Step(self._monotonic(), what, about))
        if len(steps) > _TRIMMED_AT:
            del steps[:-STEPS]

    def add_once(self, key: Hashable, what: str, *about: object) -> None:
        """Take a step down that is told again and again, if the last one was another."""
        steps = self._young.get(key) or self._old.get(key)
        if not steps or steps[-1].what != what:
            self.add(key, what, *about)

    def of(self, key: Hashable) -> tuple[Step, ...]:
        """The last steps of a key, oldest first; of `STEPS` it is not known whether there were more."""
        with self._lock:
            steps = self._young.get(key) or self._old.get(key)
        return () if steps is None else tuple(steps[-STEPS:])

    def keys(self, about: Callable[[Step], bool]) -> tuple[Hashable, ...]:
        """The keys that have such a step; it looks at all of them."""
        with self._lock:
            known = (*self._old.items(), *self._young.items())
        return tuple(key for key, steps in known if any(map(about, steps[-STEPS:])))

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._young) + len(self._old)

    def _renewed(self, key: Hashable) -> list[Step]:
        with self._lock:
            steps = self._young.get(key)
            if steps is not None:
                return steps  # Another thread was quicker.
            if len(self._young) >= self._full:
                failing = [each for each in self._old.items() if _is_failing(each[1])]
                self._old = {**dict(failing[-(self._full // 2) :]), **self._young}
                self._young = {}
            steps = self._young[key] = self._old.pop(key) if key in self._old else []
            return steps


def _is_failing(steps: list[Step]) -> bool:
    for step in reversed(steps):
        if step.what in _ENDS:
            return step.what == FAILED
    return False
