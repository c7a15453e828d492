from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.http import HttpServer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    server: HttpServer
    threads: ThreadGroup

    def ask(self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return Reply(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()


Serve = Callable[..., Served]


@pytest.fixture
def failures() -> list[tuple[str, BaseException]]:
    return []


@pytest.fixture
def serve(failures: list[tuple[str, BaseException]]) -> Iterator[Serve]:
    """Start servers on free ports; afterwards every thread must be gone and none may have failed."""
    started: list[Served] = []

    def start(app: WSGIApplication, *, clock: Any = SYSTEM_CLOCK, **more: Any) -> Served:
        threads = ThreadGroup(on_failure=lambda name, error: failures.append((name, error)))
        server = HttpServer(address="127.0.0.1:0", app=app, name="health", clock=clock, **more)
        server.start(threads)
        started.append(Served(server, threads))
        return started[-1]

    before = set(threading.enumerate())
    yield start
    for served in started:
        assert served.server.stop(timeout=5) == ()
    assert failures == []
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []
