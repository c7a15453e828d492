"""An asyncio loop in a thread of its own, and how other threads get things done on it."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

NAME: Final = "kc-embedded"
"""The name of the thread."""

_STOP_SECONDS: Final = 5.0
_CALL_SECONDS: Final = 10.0
_log: Final = logging.getLogger("kcontroller.embedded")

T = TypeVar("T")


class LoopThread:
    """Runs from `start` to `stop`, once.

    Attributes:
        failures: what went wrong in callbacks of the loop.
    """

    def __init__(self) -> None:
        """Nothing runs before `start`."""
        self.failures: list[Exception] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, opening: Callable[[], Awaitable[None]], closing: Callable[[], Awaitable[None]]) -> None:
        """Start the thread and wait until `opening` is done; its exception is raised here.

        Args:
            opening: runs on the loop first.
            closing: runs on the loop last, also when `opening` failed.
        """
        ready: Future[None] = Future()
        # A daemon, so that a program that forgets to stop it still ends.
        self._thread = threading.Thread(target=self._run, args=(ready, opening, closing), name=NAME, daemon=True)
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self._thread.join(_STOP_SECONDS)
            raise

    def stop(self) -> None:
        """End the loop and the thread; a second call does nothing.

        Raises:
            ControlPlaneError: the thread did not end in five seconds.
        """
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None or not thread.is_alive():
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            msg = f"the embedded API server did not stop within {_STOP_SECONDS:g} s"
            raise ControlPlaneError(msg)

    def soon(self, function: Callable[[], object]) -> None:
        """Run a function on the loop.

        Raises:
            ControlPlaneError: the loop does not run.
        """
        loop = self._loop
        if loop is None or not self.is_running or loop.is_closed():
            raise not_running()
        loop.call_soon_threadsafe(function)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the loop and return its result; its exception is raised here.

        Raises:
            ControlPlaneError: the loop does not run.
            TimeoutError: no result within ten seconds.
        """
        if threading.current_thread() is self._thread:
            return function()
        result: Future[T] = Future()
        self.soon(lambda: _into(result, function))
        return result.result(_CALL_SECONDS)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; its exception is raised here.

        Raises:
            ControlPlaneError: the loop does not run.
            TimeoutError: no result within ten seconds.
        """
        loop = self._loop
        if loop is None or not self.is_running:
            coroutine.close()
            raise not_running()
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(_CALL_SECONDS)

    def _run(
        self, ready: Future[None], opening: Callable[[], Awaitable[None]], closing: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            asyncio.run(self._main(ready, opening, closing))
        except BaseException as error:  # noqa: BLE001 - whoever waits for the start must hear of it
            if ready.done():
                _log.critical("the embedded API server ended", exc_info=error)
            else:
                ready.set_exception(error)

    async def _main(
        self, ready: Future[None], opening: Callable[[], Awaitable[None]], closing: Callable[[], Awaitable[None]]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._failed)
        self._stopping = asyncio.Event()
        try:
            await opening()
            ready.set_result(None)
            await self._stopping.wait()
        finally:
            await closing()

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError):  # A client went away, or speaks no TLS.
            _log.debug("%s: %s", context.get("message"), error)
            return
        _log.error("%s", context.get("message"), exc_info=error)
        if isinstance(error, Exception):
            self.failures.append(error)


def not_running() -> ControlPlaneError:
    """Say that the server does not run, and how it would."""
    return ControlPlaneError("the embedded API server does not run; call start(), or use it in a with block")


def _into(result: Future[T], function: Callable[[], T]) -> None:
    try:
        result.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it belongs to the thread that asked
        result.set_exception(error)
