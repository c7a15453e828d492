"""An asyncio loop on a thread of its own, asked from other threads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_PATIENCE: Final = 30.0
_LAST_TURNS: Final = 3  # A transport that was aborted closes its socket in the next turn of the loop.


class LoopThread:
    """Runs a loop on a daemon thread from `__init__` to `stop`.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the loop and return what it returns, or raise what it raises."""

        async def run() -> T:
            return function()

        return self.run(run())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop to its end, half a minute at most.

        Raises:
            RuntimeError: the loop has stopped.
        """
        if self.loop.is_closed():
            coroutine.close()
            msg = f"{self._thread.name} has stopped"
            raise RuntimeError(msg)
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(_PATIENCE)

    def stop(self) -> None:
        """End every task, the loop and the thread; a second call does nothing."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(_finish(tasks))
        finally:
            self.loop.close()


async def _finish(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
