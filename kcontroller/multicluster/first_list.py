"""For which clusters readiness waits: those that there were at the start, until enough of them have been engaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.process.clock import Clock

ReadyWhen: TypeAlias = Literal["first-list", "any", "quorum", "all", "none"]
"""How many clusters a process wants before it is ready.

========== ===========================================================================================================
first-list each that there was at the start has had its chance: it was engaged once, or has failed, or has troubles, or
           its provider has no more patience. A provider without patience wants all, always
any        one was engaged once
quorum     of those at the start more than half were
all        of those at the start each was, however long it takes
none       the first list has been seen
========== ===========================================================================================================

What was reached once stays: a cluster that breaks later makes nobody unready, since no restart would cure it.
"""

READY_WHEN: Final[tuple[ReadyWhen, ...]] = get_args(ReadyWhen)


class FirstList:
    """The clusters of a provider's first list. It is written on the fleet thread and read by any, without a lock.

    Args:
        clock: the time.
        policy: see `ReadyWhen`.
        patience: see `Provider.patience`.

    Attributes:
        told: whether the provider has told all of them.
        lenient: whether a cluster that has troubles has had its chance.
    """

    def __init__(self, *, clock: Clock, policy: ReadyWhen = "first-list", patience: float | None = None) -> None:
        self.told = False
        self.lenient = policy == "first-list"
        self._clock = clock
        self._policy = policy
        self._patience = patience
        self._all: set[str] = set()
        self._waiting: dict[str, float] = {}
        self._any = False
        self._enough = False

    # ---- what the fleet tells ------------------------------------------------------------------------------------

    def present(self, name: str) -> None:
        """A cluster was told of that was not there."""
        if not self.told:
            self._all.add(name)
            self._waiting[name] = self._clock.monotonic()

    def all_told(self) -> None:
        """These were all."""
        self.told = True

    def engaged(self, name: str) -> None:
        """A cluster works."""
        self._any = True
        self._waiting.pop(name, None)

    def failed(self, name: str) -> None:
        """A try to engage a cluster has failed."""
        if self._policy == "first-list":
            self._waiting.pop(name, None)

    def gone(self, name: str) -> None:
        """A cluster has left."""
        self._all.discard(name)
        self._waiting.pop(name, None)

    # ---- what readiness asks -------------------------------------------------------------------------------------

    def awaited(self, known: Iterable[str]) -> tuple[str, ...]:
        """The clusters that readiness waits for.

        Args:
            known: every cluster that there is now.
        """
        if self._policy == "first-list":
            return tuple(known) if self._patience is None else self._still_tried(self._patience)
        self._enough = self._enough or (self.told and self._is_enough())
        return () if self._enough else tuple(self._waiting.copy())

    def awaits(self, name: str) -> bool:
        """Whether readiness waits for a cluster that there is."""
        return name in self.awaited((name,))

    def _still_tried(self, patience: float) -> tuple[str, ...]:
        now = self._clock.monotonic()
        return tuple(name for name, since in self._waiting.copy().items() if now - since < patience)

    def _is_enough(self) -> bool:
        match self._policy:
            case "any":
                return self._any or not self._all
            case "quorum":
                return 2 * len(self._waiting) < len(self._all) or not self._all
            case "all":
                return not self._waiting
            case _:
                return True
