from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.cache.projection import Projection
from kcontroller.cache.store import Store
from kcontroller.cluster.floors import Promise
from kcontroller.controller.loops import LINKS, SUSPECT, WINDOW_SECONDS, Loop, Loops
from kcontroller.workqueue import Outcome
from kcontroller.workqueue.outcome import FORGET
from tests.unit.controller.fakes import CONFIG_MAP, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

A = Request("", "default", "a")
MANY = SUSPECT + LINKS + 2
ECHO = ("ConfigMap updated",)


class Informer:
    """A kind as the cache shows it; writes come back at once."""

    def __init__(self, kind: str = CONFIG_MAP) -> None:
        self.mapping = self
        self.gvk = gvk_of(kind)
        self.projection = Projection(self.gvk)
        self.store = Store(self.projection)
        self._kind = kind

    def write(self, name: str = "a") -> list[tuple[Key, Promise]]:
        """Write an object: what that promises."""
        body = json.dumps(document(name, kind=self._kind)).encode()
        entry = self.projection.entry(body)
        self.store.upsert(entry)
        return [(Key("default", name), Promise(self, entry.version))]  # type: ignore[arg-type]


class Watch:
    """The detector of a controller, and what it said."""

    def __init__(self) -> None:
        self.said: list[Loop] = []
        self.loops = Loops(self.said.append)
        self.now = 100.0

    def ended(
        self,
        reasons: tuple[str, ...] = ECHO,
        outcome: Outcome = FORGET,
        written: Callable[[], Iterable[Any]] | None = None,
        request: Request = A,
    ) -> None:
        self.now += 0.001
        self.loops.began(request)
        made = written() if written is not None else None
        self.loops.ended(request, reasons, outcome, made, now=self.now)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_reconcile_that_its_own_write_calls_again_and_again_is_a_loop(watch: Watch) -> None:
    informer = Informer()
    for _ in range(MANY):
        watch.ended(written=informer.write)

    [loop] = watch.said
    assert (loop.request, loop.cause) == (A, "echo")
    assert str(loop) == (
        "reconciled more than 100 times in 10 s, and nobody else asked for it: each reconcile writes ConfigMap "
        "default/a, which queues it again; does it write what was there before?"
    )


def test_a_reconcile_that_asks_to_be_called_at_once_is_a_loop(watch: Watch) -> None:
    for _ in range(MANY):
        watch.ended(("requeue",), Outcome.after(0.01))

    [loop] = watch.said
    assert loop.cause == "requeue"
    assert "let requeue_after be longer" in str(loop)


def test_it_is_said_once_in_a_window_and_again_in_the_next(watch: Watch) -> None:
    for _window in range(2):
        for _ in range(3 * MANY):
            watch.ended(("requeue",), Outcome.after(0.01))
        watch.now += WINDOW_SECONDS
    assert len(watch.said) == 2


def test_what_comes_less_often_is_none(watch: Watch) -> None:
    for _ in range(5 * MANY):
        watch.now += WINDOW_SECONDS / (SUSPECT + LINKS)
        watch.ended(("requeue",), Outcome.after(0.01))
    assert watch.said == []


def test_many_changes_from_outside_are_none(watch: Watch) -> None:
    """A thousand pods of one owner come and go, and its status follows."""
    informer = Informer()
    for _ in range(3 * MANY):
        watch.ended(("Pod updated",), written=informer.write)
    assert watch.said == []


def test_an_object_that_somebody_else_writes_as_often_is_none(watch: Watch) -> None:
    informer = Informer()
    for _ in range(3 * MANY):
        watch.ended(written=informer.write)
        informer.write()
    assert watch.said == []


def test_the_echo_of_a_write_after_which_nothing_is_written_is_none(watch: Watch) -> None:
    informer = Informer()
    for _ in range(3 * MANY):
        watch.ended(("Pod updated",), written=informer.write)
        watch.ended()
    assert watch.said == []


@pytest.mark.parametrize("reasons", [("ConfigMap resync",), ("resumed",), (), ("ConfigMap updated", "Pod updated")])
def test_what_was_called_for_anything_else_is_none(watch: Watch, reasons: tuple[str, ...]) -> None:
    informer = Informer()
    for _ in range(3 * MANY):
        watch.ended(reasons, written=informer.write)
    assert watch.said == []


def test_a_failure_that_is_retried_is_none(watch: Watch) -> None:
    for _ in range(3 * MANY):
        watch.ended(("retry",), Outcome.retry())
    assert watch.said == []


def test_many_requests_that_are_each_called_once_are_none(watch: Watch) -> None:
    for number in range(20_000):
        watch.ended(("requeue",), Outcome.after(0.01), request=Request("", "default", f"n{number}"))
    assert watch.said == []


def test_a_loop_among_many_others_is_found(watch: Watch) -> None:
    for number in range(20_000):
        watch.ended(("ConfigMap added",), request=Request("", "default", f"n{number}"))
        if not number % 50:
            watch.ended(("requeue",), Outcome.after(0.01))
    assert {loop.request for loop in watch.said} == {A}
