from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from kcontroller.errors import ConfigError
from kcontroller.serving import control_socket

if TYPE_CHECKING:
    from pathlib import Path

OPTION = "--control-socket"


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty runtime folder; what is made in it is kcontroller's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_it_lies_in_a_folder_that_only_this_user_can_open_and_is_named_after_the_process(runtime: Path) -> None:
    made, where = control_socket.listen(control_socket.AUTOMATIC, option=OPTION)
    with closing(made):
        assert where == runtime / "kcontroller" / f"{os.getpid()}.sock"
        assert stat.S_IMODE(where.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(where.stat().st_mode) == 0o600
        assert control_socket.sockets() == (where,)
        assert control_socket.is_served(where)


def test_without_a_runtime_folder_it_lies_in_tmp_under_the_number_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)

    assert str(control_socket.folder()) == f"/tmp/kcontroller-{os.geteuid()}"  # noqa: S108 - its owner and mode are checked


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_can_open_is_refused(runtime: Path, mode: int) -> None:
    (runtime / "kcontroller").mkdir()
    (runtime / "kcontroller").chmod(mode)

    with pytest.raises(ConfigError, match="mode 0700"):
        control_socket.listen(control_socket.AUTOMATIC, option=OPTION)
    assert control_socket.sockets() == ()


def test_a_link_in_the_place_of_the_folder_is_refused(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    elsewhere.chmod(0o700)
    (runtime / "kcontroller").symlink_to(elsewhere)

    with pytest.raises(ConfigError, match="is not a folder"):
        control_socket.listen(control_socket.AUTOMATIC, option=OPTION)


def test_a_socket_of_a_dead_process_is_taken_away_and_that_of_a_living_one_stays(runtime: Path) -> None:
    folder = runtime / "kcontroller"
    folder.mkdir(mode=0o700)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(20)
    left, living = folder / f"{ended.pid}.sock", folder / f"{os.getppid()}.sock"
    for path in (left, living):
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(str(path))

    made, where = control_socket.listen(control_socket.AUTOMATIC, option=OPTION)
    with closing(made):
        assert sorted(folder.iterdir()) == sorted((living, where))


def test_what_the_same_container_left_behind_is_replaced(runtime: Path) -> None:
    folder = runtime / "kcontroller"
    folder.mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as before:
        before.bind(str(folder / f"{os.getpid()}.sock"))

    made, where = control_socket.listen(control_socket.AUTOMATIC, option=OPTION)
    with closing(made):
        assert control_socket.is_served(where)


def test_a_path_that_a_process_listens_on_is_refused(tmp_path: Path) -> None:
    made, where = control_socket.listen(str(tmp_path / "one"), option=OPTION)
    with closing(made), pytest.raises(ConfigError, match=r"another process listens on .*one; stop it or name another"):
        control_socket.listen(str(where), option=OPTION)


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(ConfigError, match=r"--control-socket: cannot listen on .*file: Address already in use"):
        control_socket.listen(str(tmp_path / "file"), option=OPTION)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/nowhere/at/all.sock", "No such file or directory; name another path, or 0 for no control socket"),
        ("/nowhere/" + "x" * 120, "longer than the 107 bytes"),
    ],
)
def test_a_path_that_cannot_be_is_refused_with_a_remedy(path: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        control_socket.listen(path, option=OPTION)


def test_the_kernel_knows_this_user_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with closing(one), closing(other):
        assert control_socket.admits(one)


@pytest.mark.parametrize(("uid", "may"), [(0, True), (os.geteuid(), True), (4242, False)])
def test_only_this_user_and_root_are_let_in(uid: int, *, may: bool) -> None:
    class Peer:
        def getsockopt(self, level: int, name: int, size: int) -> bytes:
            assert (level, name) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
            return struct.pack("3i", 1, uid, 1)

    assert control_socket.admits(cast("socket.socket", Peer())) is may


def test_nobody_is_served_by_a_socket_without_a_process(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(tmp_path / "left"))

    assert not control_socket.is_served(tmp_path / "left")
    assert not control_socket.is_served(tmp_path / "absent")
