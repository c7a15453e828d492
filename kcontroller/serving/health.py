"""Named checks behind ``/healthz`` and ``/readyz``, asked and answered as kube-apiserver does.

``/readyz`` answers ``ok`` or 500 with one line per check; ``?verbose`` gives the lines always, ``?exclude=NAME`` leaves
a check out, ``/readyz/NAME`` asks one alone. The log tells why a check failed, and so does the answer to who asks from
the same machine (the pod itself, ``kubectl port-forward``); others are told that it did, as kube-apiserver does.

A check runs on a thread of its own and has `PATIENCE` seconds. One that takes longer has failed, and is not begun again
before it ends: however many hang, the server goes on answering, and there is one thread for each.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described, one_line
from kcontroller.process.stop import Deadline
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.dispatch import Answer, Application

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock
    from kcontroller.serving.dispatch import Question

Check = Callable[[], str | None]
"""Returns None when healthy, otherwise the reason why not. It must answer at once: it may not ask the API server."""

PATIENCE: Final = 3.0
"""Below the five seconds that the chart's probes wait, so that who is told is told which check it is."""

_NAME: Final = re.compile(r"[\w.:-]+")
_SILENT: Final = "does not answer"
_NO_THREAD: Final = "there is no thread left to run it on"
_WITHHELD: Final = "reason withheld"

_log = Log(__name__)


class Checks:
    """The checks of one path; every method may be called from any thread, also while the server runs.

    Args:
        name: the path's last part, ``healthz`` or ``readyz``.
        threads: on which checks run; by default a group of its own.
        patience: seconds that a check has.
        clock: the time.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: ThreadGroup | None = None,
        patience: float = PATIENCE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Start without checks; without any, the answer is ok."""
        self.name = name
        self._threads = threads or ThreadGroup(on_failure=_thread_failed, clock=clock)
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._running: dict[str, _Run] = {}
        self._last_failed: frozenset[str] = frozenset()

    def add(self, name: str, check: Check) -> None:
        """Add a check; one that raises counts as failed, with the class of the exception as its reason.

        Raises:
            ValueError: the name is taken, or could not be part of a path.
        """
        if not _NAME.fullmatch(name):
            msg = f"not a name for a check: {name!r} (letters, digits, '.', ':', '_' and '-')"
            raise ValueError(msg)
        with self._lock:
            if name in self._checks:
                msg = f"{self.name} has a check named {name!r} already"
                raise ValueError(msg)
            self._checks[name] = check

    def remove(self, name: str) -> None:
        """Remove a check; one that is not there is no error."""
        with self._lock:
            self._checks.pop(name, None)

    def run(self) -> dict[str, str | None]:
        """Run every check, in the order they were added; the values are the reasons of those that failed."""
        return self._run(self._copy())

    def answer(self, question: Question) -> Answer:
        """Answer a request for the path, or for one check below it."""
        if question.rest:
            return self._answer_one(question.rest, tells=question.local)
        excluded = frozenset(question.query.get("exclude", ()))
        results = self._run({name: check for name, check in self._copy().items() if name not in excluded})
        failed = frozenset(name for name, reason in results.items() if reason is not None)
        if not excluded:
            self._tell(failed, results)
        if not failed and "verbose" not in question.query:
            return Answer(HTTPStatus.OK, b"ok")
        lines = self._lines(results, excluded, tells=question.local)
        lines.append(f"{self.name} check {'failed' if failed else 'passed'}")
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR if failed else HTTPStatus.OK, ("\n".join(lines) + "\n").encode())

    def _copy(self) -> dict[str, Check]:
        with self._lock:
            return dict(self._checks)

    def _answer_one(self, name: str, *, tells: bool) -> Answer:
        check = self._copy().get(name)
        if check is None:
            return Answer(HTTPStatus.NOT_FOUND, b"404 page not found\n")
        reason = self._run({name: check})[name]
        if reason is None:
            return Answer(HTTPStatus.OK, b"ok")
        told = reason if tells else _WITHHELD
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"internal server error: {told}\n".encode())

    def _run(self, checks: dict[str, Check]) -> dict[str, str | None]:
        """Run them side by side."""
        runs = {name: self._begun(name, check) for name, check in checks.items()}
        return {name: run.outcome() for name, run in runs.items()}

    def _begun(self, name: str, check: Check) -> _Run:
        with self._lock:
            run = self._running.get(name)
            if run is None or run.over or run.check is not check:
                deadline = Deadline.after(self._patience, clock=self._clock)
                run = self._running[name] = _Run(check, deadline)
                run.begin(self._threads, f"{self.name}-{name}")
            return run

    def _lines(self, results: dict[str, str | None], excluded: frozenset[str], *, tells: bool) -> list[str]:
        known = self._copy()
        lines = [
            f"[+]{name} ok" if reason is None else f"[-]{name} failed: {reason if tells else _WITHHELD}"
            for name, reason in results.items()
        ]
        lines += [f"[+]{name} excluded: ok" for name in known if name in excluded]
        if unknown := sorted(one_line(name) for name in excluded if name not in known):
            names = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        return lines

    def _tell(self, failed: frozenset[str], results: dict[str, str | None]) -> None:
        """Log a change, because the kubelet's event holds the status only, not the reasons."""
        with self._lock:
            before, self._last_failed = self._last_failed, failed
        for name in sorted(failed - before):
            _log.warning("health check failed", path=f"/{self.name}", check=name, reason=results[name])
        for name in sorted(before - failed):
            _log.info("health check passed again", path=f"/{self.name}", check=name)


class _Run:
    """One call of a check, for all that ask while it runs."""

    def __init__(self, check: Check, deadline: Deadline) -> None:
        self.check = check
        self._deadline = deadline
        self._reason: str | None = _SILENT
        self._thread: threading.Thread | None = None

    def begin(self, threads: ThreadGroup, name: str) -> None:
        try:
            self._thread = threads.spawn("check", name, self._run)
        except RuntimeError:
            self._reason = _NO_THREAD

    @property
    def over(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def outcome(self) -> str | None:
        """Wait for it as long as it may take; from its begin, not from now."""
        if self._thread is not None:
            self._thread.join(self._deadline.remaining())
        return self._reason

    def _run(self) -> None:
        try:
            reason = self.check()
        except BaseException as error:  # noqa: BLE001 - a check that raises is a check that failed
            self._reason = type(error).__name__
        else:
            self._reason = None if reason is None else one_line(reason)


def _thread_failed(name: str, error: BaseException) -> None:
    _log.exception_of(error, "thread %s failed: %s", name, described(error))


def application(*, healthz: Checks, readyz: Checks) -> Application:
    """Make the WSGI application of both paths."""
    return Application({"/healthz": healthz.answer, "/readyz": readyz.answer})
