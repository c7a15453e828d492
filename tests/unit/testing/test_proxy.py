from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from kcontroller.testing.polling import eventually
from kcontroller.testing.proxy import FaultProxy
from kcontroller.testing.toxics import Bandwidth, BlackHole, Latency, Limit, Reset, Slicer, SlowClose
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.testing.sockets import PATIENCE, EchoServer, read_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as made:
        yield made


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.address) as made:
        yield made


@pytest.fixture
def connect(proxy: FaultProxy) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def make() -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.append(sock)
        return sock

    yield make
    for sock in opened:
        sock.close()


def echo(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    return read_exactly(sock, len(data))


def arrives_within(sock: socket.socket, seconds: float) -> bool:
    sock.settimeout(seconds)
    try:
        return bool(sock.recv(1))
    except TimeoutError:
        return False
    finally:
        sock.settimeout(PATIENCE)


def test_bytes_pass_unchanged_both_ways_and_are_counted(
    proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    data = bytes(range(256)) * 400
    sock = connect()
    sender = threading.Thread(target=lambda: sock.sendall(data))
    sender.start()

    assert read_exactly(sock, len(data)) == data
    sender.join()
    eventually(lambda: proxy.counts.bytes_down == len(data))
    assert (proxy.counts.connections, proxy.counts.bytes_up) == (1, len(data))


def test_the_end_of_one_side_reaches_the_other(server: EchoServer, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    assert echo(sock, b"hello") == b"hello"
    sock.shutdown(socket.SHUT_WR)

    assert sock.recv(1) == b""
    server.wait_for_ends("fin")


def test_a_reset_of_the_client_reaches_the_server(
    server: EchoServer, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    echo(sock, b"hello")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()

    server.wait_for_ends("rst")


def test_latency_delays_what_comes_and_its_removal_lets_it_through(
    proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    with proxy.add(Latency(60), direction="down"):
        sock.sendall(b"x")
        assert not arrives_within(sock, 0.01)

    assert arrives_within(sock, PATIENCE)


def test_latency_holds_nothing_up_that_follows(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    proxy.add(Latency(0.02), direction="down")
    proxy.add(Slicer(1, pause=0.001), direction="up")
    began = time.monotonic()

    assert echo(sock, b"0123456789") == b"0123456789"
    assert 0.02 <= time.monotonic() - began < 0.2  # Not ten times as much.


def test_jitter_keeps_the_order(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    proxy.add(Latency(0.002, jitter=0.002))
    proxy.add(Slicer(1), direction="up")

    assert echo(sock, b"0123456789") == b"0123456789"


def test_bandwidth_is_not_exceeded(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    proxy.add(Bandwidth(100_000), direction="down")
    began = time.monotonic()

    assert echo(sock, b"x" * 4000) == b"x" * 4000
    assert time.monotonic() - began >= 0.02


@pytest.mark.parametrize("toxic", [Bandwidth(100_000), Slicer(1000, pause=0.008)])
def test_other_toxics_that_come_and_go_do_not_quicken_it(
    proxy: FaultProxy, connect: Callable[[], socket.socket], toxic: Bandwidth | Slicer
) -> None:
    sock = connect()
    proxy.add(toxic, direction="down")
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            proxy.add(Latency(0)).remove()

    busy = threading.Thread(target=come_and_go)
    busy.start()
    began = time.monotonic()
    assert echo(sock, b"x" * 4000) == b"x" * 4000
    took = time.monotonic() - began
    ended.set()
    busy.join()

    assert took >= 0.02


@pytest.mark.parametrize("speed", [0, -1])
def test_no_bandwidth_at_all_is_a_black_hole(speed: float) -> None:
    with pytest.raises(ValueError, match=f"{speed} bytes in a second is no bandwidth; .* BlackHole"):
        Bandwidth(speed)


def test_a_slicer_cuts_into_pieces(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    proxy.add(Slicer(3, pause=0.002), direction="down")
    sock.sendall(b"abcdefgh")
    pieces = [sock.recv(100) for _ in range(3)]

    assert pieces == [b"abc", b"def", b"gh"]


def test_a_black_hole_swallows_data_and_the_end_until_it_is_gone(
    server: EchoServer, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    hole = proxy.add(BlackHole())
    sock.sendall(b"lost?")
    sock.shutdown(socket.SHUT_WR)
    assert not arrives_within(sock, 0.01)
    assert (server.received, server.ends) == (b"", [])
    hole.remove()

    assert read_exactly(sock, 6) == b"lost?"
    server.wait_for_ends("fin")


def test_a_black_hole_in_one_direction_lets_the_other_pass(
    server: EchoServer, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    proxy.add(BlackHole(), direction="down")
    sock.sendall(b"x")
    eventually(lambda: server.received == b"x")
    assert not arrives_within(sock, 0.01)


def test_a_black_hole_can_close_at_last(
    server: EchoServer, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    echo(sock, b"x")
    proxy.add(BlackHole(close_after=0.005))

    assert sock.recv(1) == b""
    server.wait_for_ends("fin")


@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_a_limit_ends_the_connection_at_exactly_that_byte(
    cut: int, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    proxy.add(Limit(cut), direction="down")
    sock.sendall(b"0123456789")

    assert read_exactly(sock, 10) == b"0123456789"[:cut]


def test_a_limit_can_reset(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    proxy.add(Limit(0, reset=True), direction="down")
    sock.sendall(b"0123456789")

    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_a_reset_ends_open_connections_on_both_sides(
    server: EchoServer, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    echo(sock, b"x")
    proxy.add(Reset())

    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    server.wait_for_ends("rst")
    eventually(lambda: proxy.counts.resets == 1)


def test_a_slow_close_tells_the_end_later(
    server: EchoServer, proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    sock = connect()
    slow = proxy.add(SlowClose(60), direction="up")
    sock.shutdown(socket.SHUT_WR)
    assert not arrives_within(sock, 0.01)
    assert server.ends == []
    slow.remove()
    server.wait_for_ends("fin")


def test_a_proxy_that_is_down_refuses_and_comes_back_on_its_port(
    proxy: FaultProxy, connect: Callable[[], socket.socket]
) -> None:
    before = connect()
    echo(before, b"x")
    proxy.down()
    assert before.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.up()

    assert echo(connect(), b"again") == b"again"


def test_a_cut_ends_what_is_open_only(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    before = connect()
    echo(before, b"x")
    proxy.cut(reset=True)
    with pytest.raises(ConnectionResetError):
        before.recv(1)

    assert proxy.connections == ()
    assert echo(connect(), b"y") == b"y"


def read_from(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        return sock.recv(1)


def test_a_target_that_is_away_resets_and_is_counted(server: EchoServer) -> None:
    with FaultProxy(server.address) as away, FaultProxy(f"127.0.0.1:{away.port}") as proxy:
        away.down()
        with pytest.raises(ConnectionResetError):
            read_from(proxy.port)

        assert (proxy.counts.connections, proxy.counts.unreachable) == (1, 1)


def test_single_connections_can_be_meant(proxy: FaultProxy, connect: Callable[[], socket.socket]) -> None:
    first, second = connect(), connect()
    echo(first, b"x")
    proxy.add(BlackHole(), connections={2})

    assert echo(first, b"fine") == b"fine"
    second.sendall(b"x")
    assert not arrives_within(second, 0.01)


def survivors(server: EchoServer, seed: int) -> set[int]:
    with FaultProxy(server.address, seed=seed) as proxy:
        proxy.add(Limit(0), direction="down", probability=0.5)
        alive = set()
        for number in range(1, 21):
            with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as sock:
                sock.sendall(b"x")
                if sock.recv(1):
                    alive.add(number)
        return alive


def test_a_seed_draws_the_same_connections_in_each_run(server: EchoServer) -> None:
    first = survivors(server, 7)

    assert survivors(server, 7) == first
    assert survivors(server, 8) != first
    assert 0 < len(first) < 20


def test_a_configuration_leads_through_the_proxy_with_its_credentials_and_its_ca(server: EchoServer) -> None:
    with FaultProxy(f"https://{server.address}/base") as proxy:
        config = Config(f"https://{server.address}/base", StaticCredentials("Bearer t"), TLSConfig(ca=b"pem"))
        through = proxy.config(config)

        assert through.server == proxy.url == f"https://127.0.0.1:{proxy.port}/base"
        assert (through.credentials, through.tls) == (config.credentials, config.tls)


def test_a_target_needs_a_host() -> None:
    with pytest.raises(ValueError, match="not a target: 'https://'"):
        FaultProxy("https://")


def test_a_stopped_proxy_leaves_nothing_and_says_so(server: EchoServer) -> None:
    proxy = FaultProxy(server.address)
    proxy.stop()
    proxy.stop()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kc-proxy")]
    with pytest.raises(RuntimeError, match="has stopped"):
        proxy.add(Latency(1))
