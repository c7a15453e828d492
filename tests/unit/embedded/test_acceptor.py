from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from kcontroller.embedded.web.acceptor import Acceptor
from kcontroller.embedded.web.certificates import Certificates
from kcontroller.testing import LeakCheck

CERTIFICATES = Certificates.make()
Connect = Callable[[], socket.socket]


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


def run(test: Callable[[Acceptor, Connect], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a test on a loop of its own; nothing may be open afterwards, and nothing may have gone wrong on the loop."""
    failed: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        address = listener.getsockname()
        acceptor = Acceptor(listener, Greeter, tls=CERTIFICATES.server_context(), **options)
        await test(acceptor, lambda: socket.create_connection(address))

    with LeakCheck():
        asyncio.run(main())
    assert failed == []


async def greeted(client: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(
        sock=client, ssl=CERTIFICATES.client_context(), server_hostname="localhost"
    )
    said = await reader.read(5)
    writer.transport.abort()
    return said


def test_who_connects_gets_a_protocol() -> None:
    async def test(acceptor: Acceptor, connect: Connect) -> None:
        assert [await greeted(connect()) for _ in range(3)] == [b"hello"] * 3
        await acceptor.end()

    run(test)


@pytest.mark.parametrize("turns", range(6))
def test_an_end_in_the_moment_of_a_connection_ends_that_one_too(turns: int) -> None:
    async def test(acceptor: Acceptor, connect: Connect) -> None:
        clients = [connect() for _ in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await acceptor.end()
        for client in clients:
            client.settimeout(1)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
            client.close()

    run(test)


def test_who_speaks_no_tls_does_not_keep_others_from_it() -> None:
    async def test(acceptor: Acceptor, connect: Connect) -> None:
        silent, rude = connect(), connect()
        rude.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert await greeted(connect()) == b"hello"
        await acceptor.end()
        silent.close()
        rude.close()

    run(test)


def test_without_a_descriptor_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcontroller.embedded.web.acceptor._PAUSE_SECONDS", 0.001)
    failures = [OSError(errno.EMFILE, "none left"), ConnectionAbortedError()]

    class Listener(socket.socket):
        def accept(self) -> Any:
            if failures:
                raise failures.pop()
            return super().accept()

    async def test(acceptor: Acceptor, connect: Connect) -> None:
        assert await greeted(connect()) == b"hello"
        await acceptor.end()

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Listener)
        run(test)
    assert failures == []


def test_an_end_while_it_waits_for_a_descriptor_is_an_end() -> None:
    class Listener(socket.socket):
        def accept(self) -> Any:
            raise OSError(errno.EMFILE, "none left")

    async def main() -> None:
        listener = Listener()
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        acceptor = Acceptor(listener, Greeter, tls=CERTIFICATES.server_context())
        with socket.create_connection(listener.getsockname()):
            await asyncio.sleep(0.001)
            await acceptor.end()

    with LeakCheck():
        asyncio.run(main())
