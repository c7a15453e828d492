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
YOUNG_LOOKS: Final = 50
"""After so many of these looks, those that were left are looked through once more. Python's own figure is 10."""
OLD_LOOKS: Final = 1
"""After so many of those, the next look is through all there is, if a quarter of it is new. Python's own is 10."""

_lock: Final = threading.Lock()
_before: list[tuple[int, int, int]] = []


@contextmanager
def rarer_collections() -> Iterator[None]:
    """Have Python look for reference cycles each time there are `YOUNG_OBJECTS` new objects.

    A thousand clusters that are engaged are 250,000 objects, and they stay. At Python's own pace the young ones are
    looked through 350 times meanwhile, and all that there are several times: a fifth of the CPU. Here each is looked at
    once, while the processor still has it at hand; a look takes about a millisecond. Cycles that nobody needs any more
    wait a little longer instead, old ones, such as clusters that have left, until there are a million new objects. A
    process that collects more rarely than this, or not at all, goes on so. Where several are inside, the last one that
    leaves restores what the first one found.
    """
    with _lock:
        found = gc.get_threshold()
        _before.append(found)
        if 0 < found[0] < YOUNG_OBJECTS:
            gc.set_threshold(YOUNG_OBJECTS, max(YOUNG_LOOKS, found[1]), min(OLD_LOOKS, found[2]))
    try:
        yield
    finally:
        with _lock:
            restored = _before[0]
            _before.pop()
            if not _before:
                gc.set_threshold(*restored)
