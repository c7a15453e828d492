from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ControlPlaneError
from kcontroller.testing.processes import Guardian, PortReservation, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAUSE = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "guarded"
    path.mkdir()
    return path


@pytest.fixture
def guardian(directory: Path) -> Iterator[Guardian]:
    guardian = Guardian(directory)
    yield guardian
    guardian.close()


def server(guardian: Guardian, directory: Path, command: list[str], *, ready: bool = True) -> ServerProcess:
    return ServerProcess("widget", command, log=directory / "widget.log", ready=lambda: ready, guardian=guardian)


def test_the_guardian_ends_what_is_left_and_removes_the_directory(
    guardian: Guardian, directory: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    process = server(guardian, directory, PAUSE).start()
    guardian.close()
    eventually(lambda: not process.running)
    assert not directory.exists()


def test_an_early_end_is_told_with_the_log(guardian: Guardian, directory: Path) -> None:
    process = server(guardian, directory, [sys.executable, "-c", "raise SystemExit('no licence')"], ready=False)
    with pytest.raises(ControlPlaneError, match=r"widget ended with code 1 while starting:\nno licence"):
        process.start()


def test_a_server_that_never_answers_is_told_with_the_time(guardian: Guardian, directory: Path) -> None:
    process = server(guardian, directory, PAUSE, ready=False)
    with pytest.raises(ControlPlaneError, match="widget is not ready after 0 s"):
        process.start(seconds=0.05)
    process.kill()


def test_a_program_that_is_not_there_is_named(guardian: Guardian, directory: Path) -> None:
    with pytest.raises(ControlPlaneError, match="widget does not start: No such file or directory: /no/such"):
        server(guardian, directory, ["/no/such"]).start()


def test_a_second_start_is_refused(guardian: Guardian, directory: Path) -> None:
    process = server(guardian, directory, PAUSE).start()
    with pytest.raises(ControlPlaneError, match="already running"):
        process.start()
    process.kill()


def test_a_killed_server_can_be_started_again(guardian: Guardian, directory: Path) -> None:
    process = server(guardian, directory, PAUSE).start()
    first = process.pid
    process.kill()
    process.kill()
    assert not process.running
    assert process.start().pid != first
    process.terminate()


def test_a_server_leads_a_session_of_its_own(guardian: Guardian, directory: Path) -> None:
    process = server(guardian, directory, PAUSE).start()
    assert os.getsid(process.pid) == process.pid
    process.kill()


def test_a_reserved_port_refuses_clients_until_a_server_shares_it() -> None:
    reservation = PortReservation()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", reservation.port), timeout=1)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", reservation.port))
        listener.listen()
        socket.create_connection(("127.0.0.1", reservation.port), timeout=1).close()
    reservation.close()


def test_a_reserved_port_is_not_given_to_others() -> None:
    reservation = PortReservation()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", reservation.port))
    reservation.close()
