from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import TLSFailed
from kcontroller.transport import bundles
from kcontroller.transport.bundles import LARGE_BYTES, path_of
from kcontroller.transport.config import TLSConfig
from kcontroller.transport.messages import HttpRequest
from tests.unit.transport.scripted import AUTHORITY, STRANGER, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd_create(2) is Linux's")


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[bytes, str]]:
    """No bundle has a path yet, and none keeps it beyond the test."""
    fresh: dict[bytes, str] = {}
    monkeypatch.setattr(bundles, "_paths", fresh)
    yield fresh
    for path in fresh.values():
        os.close(int(Path(path).name))


def large(authority: Any) -> bytes:
    """A bundle with an authority at its end."""
    return b"# Others come first.\n" * (LARGE_BYTES // 20) + bytes(authority.cert_pem.bytes())


def test_the_same_certificates_have_the_same_path_and_others_have_another() -> None:
    first, second = large(AUTHORITY), large(STRANGER)
    path = path_of(first)
    assert path is not None
    assert Path(path).read_bytes() == first
    assert path_of(bytes(bytearray(first))) == path
    assert path_of(second) not in {None, path}


def test_nobody_can_change_what_is_found_there() -> None:
    path = path_of(large(AUTHORITY))
    assert path is not None
    for change in (lambda: Path(path).write_bytes(b""), lambda: os.truncate(path, 1)):
        with pytest.raises(PermissionError):
            change()


def test_small_bundles_and_those_beyond_the_limit_have_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_BUNDLES", 1)
    assert path_of(AUTHORITY.cert_pem.bytes()) is None
    assert path_of(large(AUTHORITY)) is not None
    assert path_of(large(STRANGER)) is None


def test_without_a_descriptor_a_bundle_has_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", fail)
    assert path_of(large(AUTHORITY)) is None


def test_who_is_in_a_large_bundle_is_trusted_and_nobody_else(
    serve: Callable[..., Any], connect: Callable[..., Any], start_loop: Callable[..., Any], recorder: Callable[..., Any]
) -> None:
    server = serve(ok)
    for authority in (AUTHORITY, STRANGER, AUTHORITY):
        config = {"tls": TLSConfig(ca=large(authority))}
        receiver, running = recorder(), start_loop(server, config=config)
        running.do(lambda running=running, receiver=receiver: running.loop.open("/x", receiver, timeout=10))
        error = receiver.wait_for_end()
        requester = connect(server, config=config)
        if authority is AUTHORITY:
            assert error is None
            assert requester.send(HttpRequest("GET", "/x")).status == 200
        else:
            assert isinstance(error, TLSFailed)
            with pytest.raises(TLSFailed):
                requester.send(HttpRequest("GET", "/x"))
