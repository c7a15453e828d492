"""Bytes on a watch that no Kubernetes API server sends (A10 of the reliability table)."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cache.reflector import State
from kcontroller.errors import Garbled, TransportError
from kcontroller.transport.lines import LIMIT
from tests.faults.watched import Watched, bookmark, event
from tests.unit.transport.scripted import Server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.unit.transport.scripted import Call

MIB = 1024 * 1024


@dataclass
class Script:
    """One ConfigMap and the end mark, then bytes of the test's; every later watch brings another ConfigMap."""

    garbage: Iterable[bytes]
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, call: Call) -> None:
        call.begin()
        if call.request.number == 0:
            call.chunk(added("a", 11) + bookmark(12, mark="true"))
            self.go_on.wait(10)
            for piece in self.garbage:
                call.chunk(piece)
        elif "sendInitialEvents" in call.request.target:
            call.chunk(added("a", 11) + added("b", 13) + bookmark(13, mark="true"))
        else:
            call.chunk(added("b", 13))
        call.hold()


class Garbling(Server):
    """As far as `Watched` needs to know it."""

    ca_pem = ""
    token = "test"

    def request(self, *_: object) -> tuple[int, Any]:
        raise NotImplementedError


def config_map(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "HERE"}}


def added(name: str, version: int, value: bytes = b'"x"') -> bytes:
    return event("ADDED", config_map(name, version)).replace(b'"HERE"', value)


LONGEST = [b"x" * MIB] * (LIMIT // MIB)


@pytest.mark.parametrize(
    ("garbage", "expected", "words"),
    [
        pytest.param([*LONGEST, b"x"], TransportError, "longer than", id="a line over the cap"),
        pytest.param([*LONGEST, b"\n"], Garbled, "malformed", id="the longest line, of nonsense"),
        pytest.param([b'{"type":"ADDED\xff","object":{}}\n'], Garbled, "utf-8", id="a type that is not UTF-8"),
        pytest.param([added("n", 13, b'"\x00"')], Garbled, "malformed", id="NUL"),
        pytest.param([b"[" * 1_000 + b"]" * 1_000 + b"\n"], Garbled, "got `array`", id="1,000 levels of nothing"),
    ],
)
def test_a_watch_that_brings_what_is_no_event_is_opened_again(
    garbage: list[bytes], expected: type[TransportError], words: str
) -> None:
    script = Script(garbage)
    with Garbling(script) as server, Watched(server) as watched:
        watched.until_synced()
        gc.collect()
        tracemalloc.start()
        try:
            script.go_on.set()
            watched.until(lambda: watched.reflector.state is State.WAITING, within=30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        error = watched.informer.error
        assert watched.names == ["a"]
        watched.until(lambda: watched.names == ["a", "b"], resting=True)

    assert type(error) is expected
    assert words in str(error)
    assert peak <= 3 * LIMIT
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b'"\xff\xfe"', id="not UTF-8"),
        pytest.param(b"[" * 1_000 + b"]" * 1_000, id="1,000 levels deep"),
    ],
)
def test_an_object_that_cannot_be_read_is_skipped_and_the_watch_goes_on(value: bytes) -> None:
    script = Script([added("unreadable", 13, value), added("b", 14)])
    with Garbling(script) as server, Watched(server) as watched:
        watched.until_synced()
        script.go_on.set()
        watched.until(lambda: watched.names == ["a", "b"])
        for entry in watched.informer.store.entries():
            json.loads(entry.raw)

    assert len(server.seen) == 1
