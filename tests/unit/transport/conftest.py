"""Scripted servers, requesters and loops that leave nothing behind."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import ANONYMOUS
from kcontroller.transport.requests import Requester
from kcontroller.transport.streams import StreamLoop
from tests.unit.transport.scripted import AUTHORITY, Server, ok, tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.transport.scripted import Call


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    """Closed at the end of the test, last in first out."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def certificate() -> Any:
    """A server certificate that is as it should be; making one costs more than a test."""
    return tls()


@pytest.fixture
def serve(closing: contextlib.ExitStack, certificate: Any) -> Callable[..., Server]:
    """Start a server that runs a script, with TLS unless told otherwise."""

    def start(script: Callable[[Call], None] = ok, *, context: Any = certificate) -> Server:
        return closing.enter_context(Server(script, context))

    return start


def config_of(server: Server, /, **changes: Any) -> Config:
    """Configure a client that trusts the server."""
    values = {"credentials": ANONYMOUS, "tls": TLSConfig(ca=AUTHORITY.cert_pem.bytes()), "source": 'context "test"'}
    return Config(**{"server": server.url, **values, **changes})


@pytest.fixture
def configure() -> Callable[..., Config]:
    """Configure a client that trusts a server; keywords change fields."""
    return config_of


@pytest.fixture
def connect(closing: contextlib.ExitStack) -> Callable[..., Requester]:
    """Make a requester for a server; `config` changes the configuration."""

    def make(server: Server, *, config: dict[str, Any] | None = None, **options: Any) -> Requester:
        requester = Requester(config_of(server, **(config or {})), **options)
        closing.callback(requester.close)
        return requester

    return make


class Running:
    """A loop on a thread of its own."""

    def __init__(self, loop: StreamLoop) -> None:
        self.loop = loop
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="kc-cluster-test")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except Exception as error:  # noqa: BLE001 - a test looks at it
            self.failure = error

    def stop(self) -> None:
        self.loop.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()

    def do(self, function: Callable[[], Any]) -> Any:
        """Run a function on the loop thread and give back what it returned."""
        done = threading.Event()
        results: list[Any] = []

        def run() -> None:
            results.append(function())
            done.set()

        self.loop.call(run)
        assert done.wait(10)
        return results[0]


@pytest.fixture
def start_loop(closing: contextlib.ExitStack) -> Callable[..., Running]:
    """Run a loop for a server until the end of the test."""

    def start(server: Server, *, config: dict[str, Any] | None = None, **options: Any) -> Running:
        running = Running(StreamLoop(config_of(server, **(config or {})), name="test", **options))
        closing.callback(running.stop)
        return running

    return start


class Recorder:
    """A receiver that writes down what it is told, and on which thread."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.ends: list[Any] = []
        self.threads: set[int] = set()
        self.changed = threading.Condition()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def on_response(self, status: int, headers: Any) -> None:
        with self.changed:
            self.status, self.headers = status, dict(headers)
            self._note()

    def on_data(self, chunk: bytes) -> None:
        with self.changed:
            self.chunks.append(chunk)
            self._note()

    def on_end(self, error: Any) -> None:
        with self.changed:
            self.ends.append(error)
            self._note()

    def _note(self) -> None:
        self.threads.add(threading.get_ident())
        self.changed.notify_all()

    def wait_for(self, condition: Callable[[Recorder], bool]) -> Recorder:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), 10), vars(self)
        return self

    def wait_for_end(self) -> Any:
        return self.wait_for(lambda it: bool(it.ends)).ends[0]


@pytest.fixture
def recorder() -> type[Recorder]:
    """A class of receivers that write down what they are told."""
    return Recorder
