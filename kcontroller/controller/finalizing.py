"""Several finalizers on one object, each with its function; the rules are those of controller-runtime's ``finalizer``.

While the object lives, all are put on it in one patch. While it is being deleted, the function of each that is there is
called, in the order they were declared, whatever becomes of the others; those that are done come off in one patch.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

from kcontroller.api import finalizers
from kcontroller.errors import BudgetSpent, NotFound, NotLeader, NotSynced, StaleRead, Stopped, TerminalError, Wait
from kcontroller.process.logs import described

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from kcontroller.controller.context import Context
    from kcontroller.controller.reconciler import Result

    Finalize: TypeAlias = Callable[[Context, Any], Result | None]

# The API server refuses a finalizer that is not qualified by a domain.
_QUALIFIED: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NOT_YET: Final = (Wait, StaleRead, NotSynced, BudgetSpent)


class FinalizerRegistry:
    """The finalizers of one kind and what each cleans up; `ObjectReconciler` has one built in.

    Args:
        functions: by finalizer, such as ``example.com/dns``; each gets the context and the object, and returns None
            when it is done, or a Result that asks for more time. It must be idempotent: what is done is done again if
            the finalizer could not be taken off.

    Raises:
        ValueError: a finalizer is not written like ``example.com/dns``.
    """

    def __init__(self, functions: Mapping[str, Finalize]) -> None:
        check_names(functions)
        self._functions = dict(functions)

    def add(self, ctx: Context, obj: Any) -> bool:
        """Put those that are missing on a live object, in one patch; returns whether there were any.

        Raises:
            FinalizerOnDeleting: the object is being deleted.
        """
        missing = [name for name in self._functions if finalizers.add(obj, name)]
        if missing:
            ctx.client.patch(obj)
        return bool(missing)

    def finalize(self, ctx: Context, obj: Any) -> Result | None:
        """Call the functions of those that are on an object that is being deleted, and take off what is done.

        Returns:
            None if nothing of ours is on the object any more, else the Result that asks for the next call soonest.

        Raises:
            ExceptionGroup: several functions failed; its text names each. One failure is raised as it is, a `Wait` only
                if none failed.
        """
        failures: dict[str, Exception] = {}
        again: list[Result | Exception] = []
        done = []
        for name, function in self._functions.items():
            if not finalizers.has(obj, name):
                continue
            try:
                result = _checked(name, function(ctx, obj))
            except _NOT_YET as error:
                again.append(error)
            except (Stopped, NotLeader):
                raise
            except Exception as error:  # noqa: BLE001 - user code; the others have their turn first
                failures[name] = error
            else:
                if result is not None and result.again:
                    again.append(result)
                else:
                    done.append(name)
        self._take_off(ctx, obj, done)
        if failures:
            _fail(failures)
        return _soonest(again)

    @staticmethod
    def _take_off(ctx: Context, obj: Any, names: list[str]) -> None:
        if not names:
            return
        for name in names:
            finalizers.remove(obj, name)
        with contextlib.suppress(NotFound):  # Somebody else has let it go.
            ctx.client.patch(obj)


def check_names(names: Mapping[str, object]) -> None:
    """Refuse what the API server would.

    Raises:
        ValueError: a finalizer is not written like ``example.com/dns``.
    """
    for name in names:
        if not _QUALIFIED.fullmatch(name):
            msg = f"{name!r} is not a finalizer; write it like 'example.com/dns'"
            raise ValueError(msg)


def _checked(name: str, result: Any) -> Result | None:
    from kcontroller.controller.reconciler import Result  # noqa: PLC0415 - it needs this module

    if not isinstance(result, Result | None):
        msg = f"the function of {name} must return a Result or None, got {type(result).__name__}"
        raise TypeError(msg)
    return result


def _fail(failures: dict[str, Exception]) -> None:
    errors = list(failures.values())
    if len(errors) == 1:
        raise errors[0]
    told = "; ".join(f"{name}: {described(error)}" for name, error in failures.items())
    group = ExceptionGroup(f"finalizers failed: {told}", errors)
    # Of no use to repeat only if none of them is: then the group says so as any exception does, by its cause.
    raise group from (errors[0] if all(isinstance(error, TerminalError) for error in errors) else None)


def _soonest(again: list[Result | Exception]) -> Result | None:
    if not again:
        return None
    first = min(again, key=_seconds)
    if isinstance(first, Exception):
        raise first
    return first


def _seconds(again: Result | Exception) -> float:
    """When the next call is asked for; 0 after the object's backoff."""
    if isinstance(again, Wait):
        return again.after if isinstance(again.after, int | float) else 0.0  # Judged as an error later.
    return 0.0 if isinstance(again, Exception) else again.seconds or 0.0
