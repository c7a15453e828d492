"""What becomes of objects whose requests were refused or lost: they are told of again; `inlet` knows when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.cache.subscribers import SLICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import Key
    from kcontroller.cluster import KindSubscription
    from kcontroller.cluster.subscriptions import Place


class Retelling:
    """Has a source hear of its objects again, slice by slice, as far as there is room for what it asks for.

    A *pass* tells of all objects that there are when it begins. It rests at the first that is refused, and goes on with
    it when there is room. Another pass follows if something else was refused meanwhile. So every object is told of
    after the last time that it was refused, and no request has to be remembered for it. Of an object that is gone by
    then nobody is told, as after a restart.

    It lives on the loop thread. Where a lane runs the source, `refused` is called there, and the steps of a pass take
    their way through the lane: each comes behind the jobs of the one before.

    Args:
        subscription: gives the one that tells of the objects.
        lane: runs a function behind the source's jobs; None for a source that has none.
    """

    def __init__(
        self,
        subscription: Callable[[], KindSubscription],
        lane: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._subscription = subscription
        self._lane = lane
        self._full = False
        self._owed = False
        self._known: list[Place] | None = None  # Of the pass under way.
        self._at = 0
        self._first: Key | None = None  # Refused of this slice.
        self._resting = False

    def refused(self, key: Key, *, resync: bool) -> bool:
        """Take note that a request was refused.

        Args:
            key: of the object whose change asked for it.
            resync: whether that change may be one of a pass.

        Returns:
            Whether that is news: the first refusal since there was room.
        """
        news = not self._full
        self._full = True
        if self._known is None or not resync:
            self._owed = True
        elif self._first is None:
            self._first = key
        return news

    def room(self) -> None:
        """Begin or go on if anything was refused; any thread."""
        self._soon(self._go_on)

    def again(self) -> None:
        """Have all objects told of again as soon as there is room for them; any thread."""
        self._soon(self._all_again)

    def _all_again(self) -> None:
        self._owed = True
        self._go_on()

    def _soon(self, function: Callable[[], None]) -> None:
        call = self._subscription().call
        if self._lane is None:
            call(function)
        else:
            self._lane(lambda: call(function))

    def _go_on(self) -> None:
        self._full = False
        if self._known is None:
            self._begin()
        elif self._resting:
            self._tell(self._known)

    def _begin(self) -> None:
        if self._owed:
            self._owed = False  # Before the look at what there is: all that was refused so far is there, or gone.
            self._known, self._at = self._subscription().known(), 0
            self._tell(self._known)

    def _tell(self, known: list[Place]) -> None:
        self._first, self._resting = None, False
        self._subscription().tell_slice(known, self._at)
        self._soon(self._step)

    def _step(self) -> None:
        known = self._known
        if known is None:
            return
        self._at = self._next(known)
        self._resting = self._first is not None and self._full
        if self._resting:
            return
        if self._at < len(known):
            self._tell(known)
        else:
            self._known = None
            self._begin()

    def _next(self, known: list[Place]) -> int:
        places = range(self._at, min(self._at + SLICE, len(known)))
        return (
            self._at + SLICE
            if self._first is None
            else next((at for at in places if known[at][1] == self._first), self._at)
        )
