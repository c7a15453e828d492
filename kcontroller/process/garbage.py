"""How often Python looks for reference cycles while a manager runs."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

YOUNG_OBJECTS: Final = 10_000
"""So many new objects are looked through at a time. Python's own figure is 700, from 3.13 on 2,000."""

_lock: Final = threading.Lock()
_before: list[tuple[int, int, int]] = []


@contextmanager
def rarer_collections() -> Iterator[None]:
    """Have Python look for reference cycles each time there are `YOUNG_OBJECTS` new objects.

    A thousand clusters that are engaged are 200,000 objects, and they stay. At Python's own pace the young ones are
    looked through 700 times meanwhile, and all that there are five times: a fifth of the CPU. Cycles that nobody needs
    any more wait a little longer instead. A process that collects more rarely than this, or not at all, goes on so.
    Where several are inside, the last one that leaves restores what the first one found.
    """
    with _lock:
        found = gc.get_threshold()
        _before.append(found)
        if 0 < found[0] < YOUNG_OBJECTS:
            gc.set_threshold(YOUNG_OBJECTS, *found[1:])
    try:
        yield
    finally:
        with _lock:
            restored = _before[0]
            _before.pop()
            if not _before:
                gc.set_threshold(*restored)
