from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ConfigError
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import ClientCertificate
from kcontroller.transport.credentials import (
    ANONYMOUS,
    CertificateFiles,
    Joined,
    StaticCredentials,
    TokenFile,
    basic,
    bearer,
)
from tests.unit.transport.scripted import AUTHORITY

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.transport.refresh import Fresh


def issue() -> tuple[bytes, bytes]:
    issued = AUTHORITY.issue_cert("me@example.com")
    return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()


def write(folder: Path, certificate: bytes, key: bytes) -> tuple[Path, Path]:
    (folder / "c").write_bytes(certificate)
    (folder / "k").write_bytes(key)
    return folder / "c", folder / "k"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_a_token_is_stripped() -> None:
    assert bearer(" abc.def\n", what="token") == "Bearer abc.def"


@pytest.mark.parametrize("token", ["hunter2\r\nX-Evil: 1", "hunter2 b", "hunter2\x00", "hünter2", "", " \n"])
def test_a_token_that_would_break_the_header_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ConfigError, match=r"token (contains|is empty)") as failed:
        bearer(token, what="token")
    assert "nter2" not in str(failed.value)


def test_user_and_password_become_a_basic_header() -> None:
    assert basic("Aladdin", "open sesame", what="x") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_a_username_with_a_colon_is_refused() -> None:
    with pytest.raises(ConfigError, match="must not contain ':'"):
        basic("a:b", "c", what="x")


def test_a_token_file_is_read_again_within_a_minute(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    credentials = TokenFile(path, what="tokenFile", clock=clock)
    assert credentials.authorization() == "Bearer one"
    path.write_text("two\n")
    clock.advance(49.9)
    assert credentials.authorization() == "Bearer one"
    clock.advance(0.1)
    assert credentials.authorization() == "Bearer two"


def test_a_token_file_is_read_at_once_after_a_401(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    credentials = TokenFile(path, what="tokenFile", clock=clock)
    credentials.authorization()
    path.write_text("two")
    credentials.invalidate()
    assert credentials.authorization() == "Bearer two"


def test_a_projected_token_is_followed_through_its_symlinks(tmp_path: Path, clock: VirtualClock) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(f"token-{version}")
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "token").symlink_to("..data/token")
    credentials = TokenFile(tmp_path / "token", what="tokenFile", clock=clock)
    assert credentials.authorization() == "Bearer token-1"
    (tmp_path / "..new").symlink_to("2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    clock.advance(50.0)
    assert credentials.authorization() == "Bearer token-2"


def test_a_token_file_with_a_line_break_inside_keeps_the_last_token(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    credentials = TokenFile(path, what="tokenFile", clock=clock)
    credentials.authorization()
    path.write_text("two\r\nX-Evil: 1")
    credentials.invalidate()
    assert credentials.authorization() == "Bearer one"


def test_certificate_files_are_read_again_after_five_seconds(tmp_path: Path, clock: VirtualClock) -> None:
    old, new = issue(), issue()
    certificate, key = write(tmp_path, *old)
    credentials = CertificateFiles(certificate, key, what="user", clock=clock)
    first = credentials.client_certificate()
    clock.advance(5.0)
    assert credentials.client_certificate() is first
    write(tmp_path, *new)
    clock.advance(5.0)
    assert credentials.client_certificate() == ClientCertificate(*new)


def test_a_certificate_without_its_key_is_not_taken(tmp_path: Path, clock: VirtualClock) -> None:
    old, new = issue(), issue()
    certificate, key = write(tmp_path, *old)
    credentials = CertificateFiles(certificate, key, what="user", clock=clock)
    credentials.client_certificate()
    certificate.write_bytes(new[0])
    clock.advance(5.0)
    assert credentials.client_certificate() == ClientCertificate(*old)
    key.write_bytes(new[1])
    clock.advance(5.0)
    assert credentials.client_certificate() == ClientCertificate(*new)


def test_a_pair_of_which_one_was_read_before_the_rotation_is_not_taken(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = issue(), issue()
    certificate, key = write(tmp_path, *old)
    credentials = CertificateFiles(certificate, key, what="user", clock=clock)
    credentials.client_certificate()
    load = credentials._key.load

    def load_after_rotation() -> Fresh[bytes]:
        write(tmp_path, *new)
        return load()

    monkeypatch.setattr(credentials._key, "load", load_after_rotation)
    clock.advance(5.0)
    assert credentials.client_certificate() == ClientCertificate(*old)
    clock.advance(5.0)
    assert credentials.client_certificate() == ClientCertificate(*new)


def test_joined_credentials_take_the_header_of_one_and_the_certificate_of_another() -> None:
    pair = ClientCertificate(b"c", b"k")
    joined = Joined((StaticCredentials(certificate=pair), StaticCredentials("Bearer x")))
    assert (joined.authorization(), joined.client_certificate()) == ("Bearer x", pair)


def test_joined_credentials_pass_a_401_on(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    joined = Joined((ANONYMOUS, TokenFile(path, what="tokenFile")))
    joined.authorization()
    path.write_text("two")
    joined.invalidate()
    assert joined.authorization() == "Bearer two"


def test_equal_credentials_are_equal_and_their_repr_shows_no_secret() -> None:
    pair = ClientCertificate(b"hunter2", b"hunter2")
    one, other = (StaticCredentials("Bearer hunter2", pair) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != StaticCredentials("Bearer x", pair)
    assert "hunter2" not in repr(one)
