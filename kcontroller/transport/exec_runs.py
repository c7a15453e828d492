"""The runs of one exec plugin: who wants them, whether one takes long, and when it is given up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log
from kcontroller.process.stop import StopToken
from kcontroller.transport import exec_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kcontroller.process.repeats import Repeats
    from kcontroller.transport.exec_process import Outcome

SLOW_SECONDS: Final = 5.0
"""A plugin that has not answered by then is worth a warning: nothing goes on without it."""

_log: Final = Log("kcontroller.transport.exec")


class Runs:
    """Runs one plugin, one run at a time.

    When the last of those who use the plugin leaves, the run that is under way ends. One that begins without users, as
    while a kubeconfig is tried, has nothing but its time limit, and the end of the process.

    Args:
        name: the plugin in messages: ``exec plugin /usr/bin/login``.
        where: whose it is: ``user "admin" in /home/me/.kube/config``.
        repeats: shared with the same plugin of other users.
    """

    def __init__(self, name: str, *, where: str, repeats: Repeats) -> None:
        self._name = name
        self._where = where
        self._repeats = repeats
        self._lock = threading.Lock()
        self._users = 0
        self._unused = StopToken()
        self._began: float | None = None
        self._told = False

    def join(self) -> Callable[[], None]:
        """Use the plugin; returns how to leave, which never blocks and may be called again."""
        left = False
        with self._lock:
            self._users += 1

        def leave() -> None:
            nonlocal left
            with self._lock:
                if left:
                    return
                left = True
                self._users -= 1
                if self._users:
                    return
                unused, self._unused = self._unused, StopToken()
            unused.stop("nobody waits for it any more")

        return leave

    @property
    def trouble(self) -> str:
        """What is wrong with the run that is under way; "" for nothing. Any thread."""
        began = self._began
        seconds = 0.0 if began is None else time.monotonic() - began
        return self._waiting(seconds) if seconds >= SLOW_SECONDS else ""

    def run(self, command: Sequence[str], *, env: Mapping[str, str], timeout: float) -> Outcome:
        """Run it, as `exec_process.run`; it is given up when the last user leaves."""
        with self._lock:
            stop = self._unused
        self._began = time.monotonic()
        try:
            outcome = exec_process.run(
                command, env=env, timeout=timeout, stop=stop, slow=SLOW_SECONDS, on_slow=self._warn
            )
        finally:
            self._began = None
        self._told = self._told and bool(outcome.problem)
        return outcome

    def _warn(self) -> None:
        if not self._told:
            self._told = True
            text = f"{self._waiting(SLOW_SECONDS)}; run it by hand to see what it waits for"
            told = self._repeats.told(text)
            (_log.warning if told else _log.debug)("%s", told or text, user=self._where)

    def _waiting(self, seconds: float) -> str:
        return f"{self._name} has not answered for {seconds:.0f} s"
