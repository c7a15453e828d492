"""Golden traces of the reflector: a text form that reads like a protocol, and the player that compares or rewrites it.

A trace is a title and steps. A step is the time, what happened, and below it the actions, each after a ``>``::

    == the title
    0     start
            > watch initial at newest
            > timer 10
    0.2   added a@5

``start any-version`` begins with that option. ``KC_REWRITE_TRACES=1`` writes the actions anew; read the difference
before you keep it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from kcontroller.api.keys import Key
from kcontroller.cache.actions import (
    Advance,
    Apply,
    Close,
    Dropped,
    Forget,
    OpenList,
    OpenWatch,
    Outdate,
    Recovered,
    Replace,
    Skipped,
    Timer,
    Troubled,
)
from kcontroller.cache.events import Bookmark, Deleted, Failure, Page, Upserted
from kcontroller.cache.poison import Undecodable
from kcontroller.cache.projection import Entry
from kcontroller.cache.reflector import HEALTHY_SECONDS, Reflector, State
from kcontroller.errors import (
    ApiError,
    ConnectFailed,
    Garbled,
    RequestTimeout,
    ServerSilent,
    TransportError,
    error_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kcontroller.cache.actions import Action

WORDS = {
    "refused": ConnectFailed("refused"),
    "cut": TransportError("cut"),
    "silent": ServerSilent("silent"),
    "timeout": RequestTimeout("timeout"),
    "garbled": Garbled("garbled"),
    "too-large": error_type(504, "Timeout")(
        "Too large resource version", status=504, reason="Timeout", causes=("ResourceVersionTooLarge",), retry_after=1
    ),
    "too-large-by-text": error_type(504, "Timeout")("Too large resource version: 9, current: 5", status=504),
}


class Still(random.Random):
    """Draws the lowest value every time, so that a trace shows the delays without their jitter."""

    def random(self) -> float:
        return 0.0


class Trace(NamedTuple):
    title: str
    lines: list[str]


def entry(text: str, *, uid: str = "") -> Entry:
    """Make an entry of ``name@version`` or ``name:uid@version``."""
    name, _, version = text.partition("@")
    name, _, own = name.partition(":")
    return Entry("", name, int(version), own or uid or name, 0, False, (), (), (), (), text.encode())


def poison(text: str, *, deleted: bool = False) -> Undecodable:
    """Make an undecodable of ``name@version``; ``?`` stands for a name or version that cannot be read."""
    name, _, version = text.partition("@")
    key = None if name == "?" else Key("", name)
    return Undecodable(key, 0 if version == "?" else int(version), "why", deleted)


def error(words: list[str]) -> Exception:
    """Make an error of ``cut`` or ``429`` or ``429 after 7``."""
    if words[0] in WORDS:
        return WORDS[words[0]]
    status = int(words[0])
    return error_type(status, "")("", status=status, retry_after=float(words[2]) if words[1:] else None)


def play(machine: Reflector, step: str, now: float) -> list[Action]:
    """Tell the machine one thing."""
    word, *rest = step.split()
    match word:
        case "start":
            return machine.start(now)
        case "tick" | "opened" | "ended" | "reachable":
            answer: list[Action] = getattr(machine, word)(now)
            return answer
        case "added" | "modified":
            return machine.event(Upserted(entry(rest[0])), now)
        case "deleted":
            return machine.event(Deleted(entry(rest[0])), now)
        case "poison":
            return machine.event(poison(rest[0], deleted=rest[1:] == ["deleted"]), now)
        case "bookmark":
            return machine.event(Bookmark(int(rest[0])), now)
        case "mark":
            return machine.event(Bookmark(int(rest[0]), initial_events_end=True), now)
        case "error":
            failure = error(rest)
            assert isinstance(failure, ApiError)
            return machine.event(Failure(failure), now)
        case "renew":
            return machine.renew(now, elsewhere=rest == ["elsewhere"])
        case "failed":
            return machine.failed(error(rest), now)
        case "page":
            token = rest.pop() if rest[-1].startswith("token-") else ""
            version = int(rest.pop())
            items = [poison(text[1:]) if text.startswith("!") else entry(text) for text in rest]
            return machine.page(Page(version, token, items), now)
    raise ValueError(step)


def names(entries: tuple[Entry, ...]) -> str:
    return " ".join(f"{each.key}@{each.version}" for each in entries) or "nothing"


def asked(target: str) -> str:
    """Say in words what a target asks for; whatever is not in the words must be as always."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
    at = query.pop("resourceVersion", "newest")
    match_ = query.pop("resourceVersionMatch", None)
    if query.pop("watch", None):
        assert query.pop("allowWatchBookmarks") == "true"
        assert query.pop("timeoutSeconds") == "300"
        initial = query.pop("sendInitialEvents", None)
        assert not query, query
        assert (match_, initial) in {("NotOlderThan", "true"), (None, None)}
        return f"watch initial at {at}" if initial else f"watch from {at}"
    size = query.pop("limit", None)
    token = query.pop("continue", "")
    assert not query, query
    assert (match_ == "NotOlderThan") == (at != "newest")
    return " ".join(filter(None, ["list", "page" if size else "whole", f"at {at}", token]))


def said(action: Action) -> str:
    """Write one action."""
    match action:
        case OpenWatch(target, _) | OpenList(target, _):
            return asked(target)
        case Close() | Dropped() | Outdate() | Recovered():
            return type(action).__name__.lower()
        case Timer(seconds):
            return f"timer {seconds:.4g}"
        case Replace(entries, version, reset, kept):
            more = (" as a reset" if reset else "") + (f" keeping {' '.join(map(str, kept))}" if kept else "")
            return f"replace by {names(entries)} at {version}{more}"
        case Apply(Upserted(item)):
            return f"store {names((item,))}"
        case Apply(Deleted(item)):
            return f"delete {names((item,))}"
        case Forget(key, version):
            return f"forget {key} at {version}"
        case Skipped(item):
            return f"skip {item.key or '?'}@{item.version or '?'}"
        case Advance(version):
            return f"advance to {version}"
        case Troubled(failure, _):
            return f"troubled by {failure if isinstance(failure, TransportError) else failure.status}"  # type: ignore[attr-defined]
    raise AssertionError(action)


class Guard:
    """Holds every trace against what no input may bring about."""

    def __init__(self) -> None:
        self.lists: dict[str, float] = {}
        self.version = 0

    def watch(self, machine: Reflector, actions: list[Action], now: float) -> None:
        """Check one step: never stuck, never back, never the same list twice without a pause."""
        for action in actions:
            match action:
                case Timer() if machine.state is State.WAITING:
                    self.lists.clear()
                case OpenList(target, _) | OpenWatch(target, _) if (
                    "sendInitialEvents" in target or "watch" not in target
                ):
                    what = asked(target)
                    asked_at = self.lists.get(what, -HEALTHY_SECONDS)
                    assert now - asked_at >= HEALTHY_SECONDS, f"asks again for {what!r} without a pause"
                    self.lists[what] = now
                case Outdate():
                    self.version = 0
                case Replace(_, version, reset, _):
                    assert version >= self.version or reset
                    self.version = version
                case Advance(version) | Forget(_, version):
                    assert version >= self.version
                    self.version = version
                case Apply(event):
                    assert event.entry.version > self.version
                    self.version = event.entry.version
        waits = machine.state is State.WAITING
        asks = bool(actions) and isinstance(actions[-1], OpenList | OpenWatch)
        assert not (waits and asks)
        if any(isinstance(action, Troubled) and action.retry_after for action in actions):
            assert waits
            assert isinstance(actions[-1], Timer)


def run(lines: list[str]) -> list[str]:
    """Play the steps of a trace; returns them with the actions that came."""
    any_version = any(line.split()[1:] == ["start", "any-version"] for line in lines)
    machine = Reflector("/api/v1/pods", rng=Still(), any_version=any_version)
    guard = Guard()
    out: list[str] = []
    for line in lines:
        if line.lstrip().startswith(">"):
            continue
        out.append(line)
        if not line.strip() or line.startswith("#"):
            continue
        now, step = line.split(maxsplit=1)
        actions = play(machine, step, float(now))
        guard.watch(machine, actions, float(now))
        out += [f"        > {said(action)}" for action in actions]
    return out


def read(path: Path) -> Iterator[Trace]:
    """Split a file into its traces."""
    title, lines = "", []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            if title:
                yield Trace(title, lines)
            title, lines = line[3:], []
        else:
            lines.append(line)
    yield Trace(title, lines)


def write(path: Path, traces: list[Trace]) -> None:
    """Write the traces back."""
    blocks = ("\n".join([f"== {title}", *lines]).rstrip("\n") + "\n" for title, lines in traces)
    path.write_text("\n".join(blocks))
