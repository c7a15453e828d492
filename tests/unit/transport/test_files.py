from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ConfigError
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.files import WatchedFile, check_certificate, check_key, read_file

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OTHER = CERTIFICATE.replace(b"AAAA", b"BBBB")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_bytes(CERTIFICATE)
    return path


@pytest.fixture
def file(path: Path, clock: VirtualClock) -> WatchedFile:
    return WatchedFile(path, what="CA", check=check_certificate, clock=clock)


def test_a_replaced_file_is_read_after_five_seconds(file: WatchedFile, path: Path, clock: VirtualClock) -> None:
    assert file.read() == CERTIFICATE
    path.write_bytes(OTHER)
    assert file.read() == CERTIFICATE
    clock.advance(5.0)
    assert file.read() == OTHER


def test_a_replaced_file_is_read_at_once_after_invalidate(file: WatchedFile, path: Path) -> None:
    file.read()
    path.write_bytes(OTHER)
    file.invalidate()
    assert file.read() == OTHER


def test_an_unchanged_file_gives_the_same_object(file: WatchedFile, clock: VirtualClock) -> None:
    first = file.read()
    clock.advance(5.0)
    assert file.read() is first


@pytest.mark.parametrize("broken", [b"", b"no certificate", None])
def test_a_broken_rotation_keeps_the_last_content_and_warns(
    file: WatchedFile, path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, broken: bytes | None
) -> None:
    file.read()
    if broken is None:
        path.unlink()
    else:
        path.write_bytes(broken)
    clock.advance(5.0)
    assert file.read() == CERTIFICATE
    assert "keeping its last content" in caplog.text
    path.write_bytes(OTHER)
    clock.advance(5.0)
    assert file.read() == OTHER


def test_a_file_that_was_never_good_is_an_error_each_time(path: Path, clock: VirtualClock) -> None:
    path.unlink()
    file = WatchedFile(path, what="CA", clock=clock)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"CA: cannot read .*ca\.crt: No such file or directory"):
            file.read()


def test_watched_files_are_equal_by_path(path: Path, tmp_path: Path) -> None:
    assert WatchedFile(path, what="a") == WatchedFile(path, what="b")
    assert WatchedFile(path, what="a") != WatchedFile(tmp_path / "other", what="a")


def test_a_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token: cannot read .*: Is a directory; correct the path"):
        read_file(tmp_path, what="token")


def test_a_device_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        read_file(tmp_path / "zero", what="token")


@pytest.mark.parametrize(
    ("pem", "complaint"),
    [
        (b"hunter2", "not a PEM private key"),
        (CERTIFICATE, "not a PEM private key"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", "is encrypted"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "is encrypted"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(pem: bytes, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as failed:
        check_key(pem, what="client-key")
    assert "hunter2" not in str(failed.value)


def test_the_log_of_a_broken_rotation_has_one_line(
    file: WatchedFile, path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    file.read()
    path.unlink()
    clock.advance(5.0)
    file.read()
    file.read()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
