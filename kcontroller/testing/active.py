"""A fault at work on a proxy: what `add` gives back, to take it off again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Active:
    """A fault that acts until `remove`, or until the end of a ``with`` block.

    Args:
        remove: takes it off.
    """

    def __init__(self, remove: Callable[[Active], None]) -> None:
        self._remove = remove

    def remove(self) -> None:
        """Take it off; what it held up goes on. Later calls do nothing."""
        self._remove(self)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it off."""
        self.remove()
