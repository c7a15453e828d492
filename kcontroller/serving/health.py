"""Named checks behind ``/healthz`` and ``/readyz``, asked and answered as kube-apiserver does.

``/readyz`` answers ``ok`` or 500 with one line per check; ``?verbose`` gives the lines always, ``?exclude=NAME`` leaves
a check out, ``/readyz/NAME`` asks one alone. Reasons are told (kube-apiserver withholds them): a check must not put
secrets into its reason.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log, one_line
from kcontroller.serving.dispatch import Answer, Application

if TYPE_CHECKING:
    from kcontroller.serving.dispatch import Question

Check = Callable[[], str | None]
"""Returns None when healthy, otherwise the reason why not. It must answer at once: it may not ask the API server."""

_NAME: Final = re.compile(r"[\w.:-]+")

_log = Log(__name__)


class Checks:
    """The checks of one path; every method may be called from any thread, also while the server runs.

    Args:
        name: the path's last part, ``healthz`` or ``readyz``.
    """

    def __init__(self, name: str) -> None:
        """Start without checks; without any, the answer is ok."""
        self.name = name
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
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
        return {name: _reason(check) for name, check in self._copy().items()}

    def answer(self, question: Question) -> Answer:
        """Answer a request for the path, or for one check below it."""
        if question.rest:
            return self._answer_one(question.rest)
        excluded = frozenset(question.query.get("exclude", ()))
        results = {name: _reason(check) for name, check in self._copy().items() if name not in excluded}
        failed = frozenset(name for name, reason in results.items() if reason is not None)
        if not excluded:
            self._tell(failed, results)
        if not failed and "verbose" not in question.query:
            return Answer(HTTPStatus.OK, b"ok")
        lines = list(self._lines(results, excluded))
        lines.append(f"{self.name} check {'failed' if failed else 'passed'}")
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR if failed else HTTPStatus.OK, ("\n".join(lines) + "\n").encode())

    def _copy(self) -> dict[str, Check]:
        with self._lock:
            return dict(self._checks)

    def _answer_one(self, name: str) -> Answer:
        check = self._copy().get(name)
        if check is None:
            return Answer(HTTPStatus.NOT_FOUND, b"404 page not found\n")
        reason = _reason(check)
        if reason is None:
            return Answer(HTTPStatus.OK, b"ok")
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"internal server error: {reason}\n".encode())

    def _lines(self, results: dict[str, str | None], excluded: frozenset[str]) -> list[str]:
        known = self._copy()
        lines = [
            f"[+]{name} ok" if reason is None else f"[-]{name} failed: {reason}" for name, reason in results.items()
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


def _reason(check: Check) -> str | None:
    try:
        reason = check()
    except Exception as error:  # noqa: BLE001 - a check that raises is a check that failed
        return type(error).__name__
    return None if reason is None else one_line(reason)


def application(*, healthz: Checks, readyz: Checks) -> Application:
    """Make the WSGI application of both paths."""
    return Application({"/healthz": healthz.answer, "/readyz": readyz.answer})
