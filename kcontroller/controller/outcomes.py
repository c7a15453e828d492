"""What came back from a reconcile, and what follows from it: the table of `Reconciler` as a function."""

from __future__ import annotations

import sys
from typing import Final, Literal

import msgspec

from kcontroller.controller.reconciler import Result
from kcontroller.errors import (
    BudgetSpent,
    ClusterNotFound,
    ClusterSuspended,
    ClusterUnavailable,
    NotSynced,
    StaleRead,
    TerminalError,
    Wait,
)
from kcontroller.process.logs import text_of
from kcontroller.workqueue import Outcome
from kcontroller.workqueue.outcome import FORGET

Label = Literal["success", "requeue_after", "requeue", "error"]


class Verdict(msgspec.Struct, frozen=True):
    """What follows from one reconcile.

    Attributes:
        label: the ``result`` of ``controller_runtime_reconcile_total``.
        outcome: what the queue does.
        why: what was waited for, for the log.
        terminal: the error will not be retried.
        panic: it was no Exception, such as SystemExit: the worker goes on, as controller-runtime's does after a panic.
    """

    label: Label
    outcome: Outcome
    why: str = ""
    terminal: bool = False
    panic: bool = False


DONE: Final = Verdict("success", FORGET)
"""How nearly every reconcile ends; made once."""

_RETRY: Final = Verdict("error", Outcome.retry())
_SOONEST: Final = 1.0  # Seconds until a cluster that could not be written to is tried again.


def of_result(result: Result | None) -> Verdict:
    """Judge a return.

    Raises:
        TypeError: it is neither a Result nor None.
    """
    if result is None:
        return DONE
    if not isinstance(result, Result):
        msg = f"reconcile must return a Result or None, got {type(result).__name__}"
        raise TypeError(msg)
    if result.seconds:
        return Verdict("requeue_after", Outcome.after(result.seconds, priority=result.priority))
    if result.requeue:
        return Verdict("requeue", Outcome.retry(priority=result.priority))
    return DONE


def of_error(error: BaseException) -> Verdict:
    """Judge what was raised, and never raise itself.

    A TerminalError counts also as the cause of another exception; a group of exceptions is terminal if all of it is. A
    `Wait` that names no time is an error as any other; one of no seconds waits the object's backoff, since an object
    that asks to be called at once and for ever would take a whole core.
    """
    try:
        return _judged(error)
    except BaseException:  # noqa: BLE001 - a user's own exception, which may do anything when it is asked
        return _RETRY


def _judged(error: BaseException) -> Verdict:
    return _waits(error) or _fails(error)


def _waits(error: BaseException) -> Verdict | None:
    match error:
        case Wait(after=int() | float() as after, why=why) if after < sys.float_info.max:
            if after <= 0:
                return Verdict("requeue", Outcome.retry(), text_of(why))
            return Verdict("requeue_after", Outcome.after(float(after)), text_of(why))
        case ClusterUnavailable(retry_after=seconds) | ClusterSuspended(retry_after=seconds):
            return Verdict("requeue_after", Outcome.after(max(_SOONEST, seconds or 0.0)), text_of(error))
        case StaleRead() | NotSynced() | BudgetSpent() | ClusterNotFound():
            return Verdict("requeue", Outcome.retry(), text_of(error))
        case _:
            return None


def _fails(error: BaseException) -> Verdict:
    if _is_terminal(error):
        return Verdict("error", FORGET, terminal=True)
    return _RETRY if isinstance(error, Exception) else Verdict("error", Outcome.retry(), panic=True)


def _is_terminal(error: BaseException | None, above: frozenset[int] = frozenset()) -> bool:
    if error is None or id(error) in above:
        return False
    if isinstance(error, TerminalError):
        return True
    above |= {id(error)}
    if isinstance(error, BaseExceptionGroup) and all(_is_terminal(each, above) for each in error.exceptions):
        return True
    return _is_terminal(error.__cause__, above)
