"""Waiting for what other threads and servers do, with a message that shows what happened meanwhile."""

from __future__ import annotations

import ast
import inspect
import reprlib
import textwrap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kcontroller.errors import KindNotServed, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.testing.clock import VirtualClock

T = TypeVar("T")

NOT_YET: Final = (AssertionError, NotFound, KindNotServed)
"""What a check may raise without ending the wait."""

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05
_GROWTH: Final = 1.5
_SHOWN_CHANGES: Final = 8
_REAL_SECONDS: Final = 1.0  # For what a virtual clock cannot see, once nobody waits for a moment any more.

_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxdict = _short.maxlist = _short.maxtuple = 12


def eventually(
    check: Callable[[], T],
    within: float = 5.0,
    *,
    ignoring: tuple[type[Exception], ...] = (),
    clock: VirtualClock | None = None,
) -> T:
    """Call `check` again and again until it holds; returns what it returned.

    A check holds when it returns something true. One that returns nothing at all (there is no ``return`` with a value
    in it) holds when it raises no more, so that it may be made of asserts. While it raises AssertionError, `NotFound`
    or `KindNotServed` it does not hold yet; any other exception ends the wait at once. The first tries are a
    millisecond apart, later ones 50.

    Args:
        check: a function without arguments.
        within: seconds.
        ignoring: further exceptions that mean "not yet".
        clock: a virtual clock by which `within` goes; it jumps between the tries.

    Raises:
        AssertionError: it did not hold in time. The text lists each answer with the time since when it was given and
            how often, the last one last; its cause is the last exception.
    """
    __tracebackhide__ = True
    tries = _Tries(check, NOT_YET + ignoring, time.monotonic if clock is None else clock.monotonic)
    if _poll(tries, time.monotonic() + within) if clock is None else _jump(tries, clock, clock.monotonic() + within):
        return tries.answer  # type: ignore[no-any-return]
    raise AssertionError(tries.report(within)) from tries.error


def _poll(tries: _Tries, deadline: float) -> bool:
    pause = _FIRST_PAUSE
    while not tries.once():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    return True


def _jump(tries: _Tries, clock: VirtualClock, deadline: float) -> bool:
    tries.once()
    while not tries.held:
        left = deadline - clock.monotonic()
        # The look before each jump comes when the work of the moment is done, so that no jump is one too many.
        if (left < 0 or not clock.jump(within=left, unless=tries.once)) and not tries.held:
            # Nobody waits for a moment before the deadline; what is left is outside of the clock.
            return _poll(tries, time.monotonic() + _REAL_SECONDS)
    return True


@dataclass(slots=True)
class _Answer:
    """What a check said, for as long as it said the same."""

    text: str
    since: float
    count: int = 1


class _Tries:
    """The tries of one wait, and what came of them."""

    def __init__(
        self, check: Callable[[], Any], not_yet: tuple[type[Exception], ...], clock: Callable[[], float]
    ) -> None:
        self.answer: Any = None
        self.error: Exception | None = None
        self.held = False
        self._check = check
        self._not_yet = not_yet
        self._clock = clock
        self._began = clock()
        self._answers: list[_Answer] = []
        self._count = 0

    def once(self) -> bool:
        __tracebackhide__ = True
        self._count += 1
        try:
            self.answer = self._check()
        except self._not_yet as error:
            self.error = error
            self._note(f"{type(error).__name__}: {error}")
            return False
        self.error = None
        self.held = bool(self.answer) or (self.answer is None and _returns_nothing(self._check))
        if not self.held:
            self._note(_short.repr(self.answer))
        return self.held

    def report(self, within: float) -> str:
        shown = self._answers[-_SHOWN_CHANGES:]
        tries = "1 try" if self._count == 1 else f"{self._count} tries"
        lines = [f"{_name(self._check)} did not hold within {within:g} s ({tries}); it answered:"]
        if len(shown) < len(self._answers):
            lines.append(f"  ... {len(self._answers) - len(shown)} other answers ...")
        for answer in shown:
            times = f"  ({answer.count} times)" if answer.count > 1 else ""
            first, *rest = answer.text.splitlines() or [""]
            lines.append(f"  from {answer.since:.3f} s: {first}{times}")
            lines += [f"      {line}" for line in rest]
        return "\n".join(lines)

    def _note(self, text: str) -> None:
        if self._answers and self._answers[-1].text == text:
            self._answers[-1].count += 1
        else:
            self._answers.append(_Answer(text, self._clock() - self._began))


def _name(check: Callable[[], Any]) -> str:
    name = getattr(check, "__name__", type(check).__name__)
    if name != "<lambda>":
        return str(name)
    code = check.__code__
    return f"the lambda in line {code.co_firstlineno}"


def _returns_nothing(check: Callable[[], Any]) -> bool:
    """Whether the check is a function made of statements that never returns a value."""
    function = inspect.unwrap(check)
    if not inspect.isroutine(function) or function.__name__ == "<lambda>":
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    (definition, *_rest) = tree.body
    return isinstance(definition, ast.FunctionDef) and not any(
        isinstance(node, ast.Return) and node.value is not None for node in _own_nodes(definition)
    )


def _own_nodes(definition: ast.FunctionDef) -> list[ast.AST]:
    """Every node of a function but those of functions inside it."""
    nodes: list[ast.AST] = []
    ahead: list[ast.AST] = list(definition.body)
    while ahead:
        node = ahead.pop()
        nodes.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            ahead += ast.iter_child_nodes(node)
    return nodes
