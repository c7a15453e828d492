"""What a piece of work leaves behind: threads of ours, and descriptors that go somewhere."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

THREAD_PREFIX: Final = "kc-"
"""How the names of all threads of the framework and of this kit begin."""

_NUMBER: Final = re.compile(r"\[\d+\]")
_OPEN: Final = Path("/proc/self/fd")
_PAUSE: Final = 0.005


class LeakCheck:
    """Fails if its ``with`` block leaves something behind that was not there before.

    Threads: those whose name begins with ``kc-``. Descriptors: sockets, pipes, event descriptors and files, counted by
    sort; only where ``/proc`` tells of them (Linux). What the block's own work needs a moment to close has that moment.

    Args:
        within: seconds that are left to end.
        descriptors: False looks at threads only.
    """

    def __init__(self, *, within: float = 2.0, descriptors: bool = True) -> None:
        self._within = within
        self._look_at_descriptors = descriptors
        self._threads: set[threading.Thread] = set()
        self._descriptors: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Note what is there."""
        self._threads = set(threading.enumerate())
        self._descriptors = self._open_descriptors()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Compare, unless the block failed for another reason."""
        if error is None:
            self.check()

    def check(self) -> None:
        """Wait until nothing is left.

        Raises:
            AssertionError: something still is; it is named.
        """
        deadline = time.monotonic() + self._within
        while self.left() and time.monotonic() < deadline:
            gc.collect()  # A socket that only a cycle of references keeps open is not leaked.
            time.sleep(_PAUSE)
        left = self.left()
        if left:
            msg = f"left behind: {', '.join(left)}"
            raise AssertionError(msg)

    def left(self) -> tuple[str, ...]:
        """Name what is there now and was not before."""
        threads = [f"thread {thread.name}" for thread in _our_threads() if thread not in self._threads]
        more = self._open_descriptors() - self._descriptors
        return (*sorted(threads), *(f"{count} x {sort}" for sort, count in sorted(more.items())))

    def _open_descriptors(self) -> Counter[str]:
        if not self._look_at_descriptors or not _OPEN.is_dir():
            return Counter()
        found: Counter[str] = Counter()
        for number in os.listdir(_OPEN):  # noqa: PTH208 - one descriptor of its own, gone again before the first look
            try:
                target = os.readlink(_OPEN / number)  # noqa: PTH115 - the text, not a path: there is none
            except OSError:
                continue
            found[_NUMBER.sub("", target).rstrip(":")] += 1
        return found


def _our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)]
