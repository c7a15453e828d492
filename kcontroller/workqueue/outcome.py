"""What a worker reports when it is done with an item."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reconcile ended; make it with one of the class methods.

    ======== ============== ==================== ================================
    outcome  failures       added again          after (controller-runtime)
    ======== ============== ==================== ================================
    forget   set to 0       no                   success, or a terminal error
    after    set to 0       in `delay` seconds   RequeueAfter
    retry    one more       in backoff seconds   an error, or Requeue
    hold     as they were   in `delay` seconds   no reconcile yet
    drop     set to 0       no                   no reconcile
    ======== ============== ==================== ================================

    What no retry heals is forgotten as a success is: the next add of the object is a new try, and waits for nothing.
    (In controller-runtime its failures stay counted, and a later error that does pass may wait a quarter of an hour.)

    Adds that came while the item was in work count in all cases; the earliest time and the higher priority win.

    Attributes:
        forgets: whether the failures are reset.
        fails: whether this was one more failure; the queue then chooses the delay.
        delay: seconds until the item is added again, or None if it is not, or if the queue chooses.
        priority: the priority of the new add; None keeps the one the item had.
        holds: whether the item was not worked on, and comes again with its reasons and what else it had.
        works: whether it was worked on, so that the time it took says something of its cluster.
    """

    forgets: bool
    fails: bool
    delay: float | None = None
    priority: int | None = None
    holds: bool = False
    works: bool = True

    def __post_init__(self) -> None:
        """Refuse a delay that no clock reaches."""
        if self.delay is not None and not 0 <= self.delay < math.inf:
            msg = f"an item cannot be added again after {self.delay} seconds; give a finite number >= 0"
            raise ValueError(msg)

    @classmethod
    def forget(cls) -> Self:
        """Report that nothing is left to do: the backoff starts anew with the next failure."""
        return cls(True, False)

    @classmethod
    def after(cls, seconds: float, *, priority: int | None = None) -> Self:
        """Report success and ask for the item again in `seconds`.

        Raises:
            ValueError: `seconds` is negative or not finite.
        """
        return cls(True, False, seconds, priority)

    @classmethod
    def retry(cls, *, priority: int | None = None) -> Self:
        """Report a failure: the item comes again after its backoff, which grows."""
        return cls(False, True, None, priority)

    @classmethod
    def hold(cls, seconds: float) -> Self:
        """Report that it is too early: the item comes again in `seconds` as if nobody had taken it.

        Raises:
            ValueError: `seconds` is negative or not finite.
        """
        return cls(False, False, seconds, holds=True, works=False)

    @classmethod
    def drop(cls) -> Self:
        """Report that nothing was to be done with it: its object is paused, or its cluster has left."""
        return cls(True, False, works=False)


FORGET: Final = Outcome.forget()
"""The most frequent outcome, made once."""
DROP: Final = Outcome.drop()
