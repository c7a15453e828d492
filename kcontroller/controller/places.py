"""Where in somebody's code something happens: a file and a line for those who read the log without tracebacks."""

from __future__ import annotations

import os
import sys
import traceback
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_OURS: Final = f"{Path(__file__).parents[1]}{os.sep}"
_FROZEN: Final = "<frozen "


def place_of_error(error: BaseException) -> str:
    """Say where an exception was raised; "" if all of it is ours."""
    return _place(reversed(list(traceback.walk_tb(error.__traceback__))))


def place_of_thread(ident: int) -> str:
    """Say where a thread is now; "" if it is in our code, or has ended."""
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - documented, and the only way
    return "" if frame is None else _place(traceback.walk_stack(frame))


def _place(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Choose the innermost frame of somebody's own code; failing that of what they installed, or of Python.

    Args:
        frames: the innermost first.
    """
    files = ((frame.f_code.co_filename, line) for frame, line in frames)
    ranked = ((_rank(name), name, line) for name, line in files if not name.startswith(_OURS))
    _, name, line = min(ranked, key=itemgetter(0), default=(0, "", 0))
    return f"{Path(name).name}:{line}" if name else ""


def _rank(name: str) -> int:
    # Installed packages may lie in the folder of the standard library, so they are looked for first.
    if name.startswith(_folders("purelib", "platlib")):
        return 1
    return 2 if name.startswith((_FROZEN, *_folders("stdlib", "platstdlib"))) else 0


@cache
def _folders(*names: str) -> tuple[str, ...]:
    import sysconfig  # noqa: PLC0415 - most processes never ask, and it reads how Python was built

    return tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in names)
