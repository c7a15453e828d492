"""Sends the chunks of one watch to its client, with the fault rules that are for it.

A client that does not read holds up its own stream alone: what waits for it is bounded by the transport's buffer, and
the connection is cut when a write has waited too long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.embedded import statuses
from kcontroller.embedded.faults import DropEvents, EndWatch, ExpireWatch, FreezeWatch, Garbage, SlowWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.faults import Action, Faults, Rule

_COUNTED: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})


class _Meta(msgspec.Struct):
    name: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_event: Final = msgspec.json.Decoder(_Event).decode
_object: Final = msgspec.json.Decoder(_Object).decode


class Cut(Exception):
    """The connection is to be closed without an end of the answer."""


class Stream:
    """One open watch.

    Args:
        call: the watch.
        faults: the rules of the server.
        send: writes bytes to the client and returns when there is room for more.
    """

    def __init__(self, call: Call, faults: Faults, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Nothing is sent before `run`."""
        self._call = call
        self._faults = faults
        self._send = send
        self._task: asyncio.Task[object] | None = None
        self._ending: Action | None = None
        self._drawn: dict[Rule, bool] = {}
        self._events: dict[Rule, int] = {}

    async def run(self, chunks: AsyncIterator[bytes]) -> None:
        """Send every chunk, until there are no more or a rule ends the watch.

        Raises:
            Cut: a rule wants the connection closed.
        """
        self._task = asyncio.current_task()
        try:
            if not self._ended_at_once():
                async for chunk in chunks:
                    rules = self._faults.on_stream(self._call)
                    if not rules:
                        await self._send(chunk)
                    elif not await self._send_under(rules, chunk):
                        break
        except asyncio.CancelledError:
            if self._ending is None or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self._task = None
        if self._ending is not None:
            await self._last_words(self._ending)

    def look(self) -> None:
        """Look at rules that were added: some end a watch that waits for its next event. On the loop."""
        if self._task is not None and self._ending is None and self._ended_at_once():
            self._task.cancel()

    def _draws(self, rule: Rule) -> bool:
        """Whether a rule acts on this watch; decided once."""
        if rule not in self._drawn:
            self._drawn[rule] = rule.draw()
        return self._drawn[rule]

    def _ended_at_once(self) -> bool:
        for rule in self._faults.on_stream(self._call):
            match rule.action:
                case ExpireWatch() | Garbage() | EndWatch(events=0) if self._draws(rule):
                    self._ending = rule.action
                    return True
        return False

    async def _send_under(self, rules: Sequence[Rule], chunk: bytes) -> bool:
        """Send a chunk line by line, as the rules want it; returns whether the watch goes on."""
        for line in chunk.splitlines(keepends=True):
            kind, name = _told(line)
            for rule in rules:
                match rule.action:
                    case SlowWatch(seconds) if self._draws(rule):
                        await asyncio.sleep(seconds)
                    case FreezeWatch() if self._draws(rule):
                        await rule.wait()
            if self._ended_at_once():
                return False
            if any(isinstance(r.action, DropEvents) and r.action.drops(kind, name) and r.draw() for r in rules):
                continue
            await self._send(line)
            if kind in _COUNTED and self._is_last(rules):
                return False
        return True

    def _is_last(self, rules: Sequence[Rule]) -> bool:
        for rule in rules:
            if isinstance(rule.action, EndWatch) and rule.action.events and self._draws(rule):
                self._events[rule] = self._events.get(rule, 0) + 1
                if self._events[rule] >= rule.action.events:
                    return True
        return False

    async def _last_words(self, ending: Action) -> None:
        match ending:
            case ExpireWatch(message):
                status = statuses.expired(message).document()
                await self._send(msgspec.json.encode({"type": "ERROR", "object": status}) + b"\n")
            case Garbage(data):
                if data:
                    await self._send(data)
                raise Cut


def _told(line: bytes) -> tuple[str, str]:
    """Give the type of an event and the name of its object; Tables have none."""
    event = _event(line)
    try:
        return event.type, _object(event.object).metadata.name
    except msgspec.ValidationError:
        return event.type, ""
