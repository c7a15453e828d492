from __future__ import annotations

import errno
import http.client
import socket
import ssl
import struct
import threading
from contextlib import ExitStack, closing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kcontroller.errors import ConfigError
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.dispatch import Answer, Application, Question
from kcontroller.serving.http import HttpServer
from kcontroller.serving.tls import CertificateFolder, SelfSigned
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPTION = "--metrics-cert-dir"
PAGE = b"x" * 300_000  # More than a socket takes at once.
ASK = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"


def page(_: Question) -> Answer:
    return Answer(HTTPStatus.OK, PAGE)


def issue(authority: trustme.CA, folder: Path) -> trustme.LeafCert:
    made = authority.issue_cert("localhost", "127.0.0.1")
    (folder / "tls.crt").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    (folder / "tls.key").write_bytes(made.private_key_pem.bytes())
    return made


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(authority: trustme.CA, tmp_path: Path) -> Path:
    issue(authority, tmp_path)
    return tmp_path


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def source(folder: Path, clock: VirtualClock) -> CertificateFolder:
    return CertificateFolder(folder, option=OPTION, metrics=Metrics(), clock=clock)


@pytest.fixture
def serve() -> Iterator[Callable[..., HttpServer]]:
    failures: list[tuple[str, BaseException]] = []
    threads = ThreadGroup(on_failure=lambda name, error: failures.append((name, error)))
    servers: list[HttpServer] = []

    def start(tls: Callable[[], ssl.SSLContext], **more: Any) -> HttpServer:
        server = HttpServer(address="127.0.0.1:0", app=Application({"/page": page}), name="metrics", tls=tls, **more)
        server.start(threads)
        servers.append(server)
        return server

    yield start
    for server in servers:
        assert server.stop() == ()
    assert failures == []


@pytest.fixture
def server(serve: Callable[..., HttpServer], source: CertificateFolder) -> HttpServer:
    return serve(source.context)


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def shake(server: HttpServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(connect(server), server_hostname="localhost")


def get(server: HttpServer, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=5)
    with closing(connection):
        connection.request("GET", "/page")
        return connection.getresponse().read()


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def number_of(server: HttpServer, context: ssl.SSLContext) -> object:
    with closing(shake(server, context)) as client:
        certificate = client.getpeercert()
        return certificate["serialNumber"] if certificate else None


# ---- the server ------------------------------------------------------------------------------------------------------


def test_a_page_is_served_whole_to_who_trusts_the_certificate(server: HttpServer, trusting: ssl.SSLContext) -> None:
    assert get(server, trusting) == PAGE


def test_who_does_not_trust_it_gets_nothing_and_others_are_served(server: HttpServer, trusting: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        get(server, ssl.create_default_context())
    assert get(server, trusting) == PAGE


def test_the_end_of_an_answer_is_said_by_tls(server: HttpServer, trusting: ssl.SSLContext) -> None:
    wrapped = trusting.wrap_socket(connect(server), server_hostname="localhost", suppress_ragged_eofs=False)
    with closing(wrapped) as client:
        client.sendall(ASK)
        assert read_all(client).endswith(PAGE)


def test_a_head_in_pieces_is_put_together(server: HttpServer, trusting: ssl.SSLContext) -> None:
    with closing(shake(server, trusting)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ASK:
            client.sendall(bytes((byte,)))
        assert read_all(client).endswith(PAGE)


def test_what_arrives_in_many_records_at_once_is_read_to_its_end(server: HttpServer, trusting: ssl.SSLContext) -> None:
    """Decrypted bytes that wait make no socket readable: nobody would come back for them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with closing(connect(server)) as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(65536))
        for byte in ASK:
            tls.write(bytes((byte,)))
        client.sendall(outgoing.read())
        assert client.recv(1) != b""


def test_a_head_above_the_limit_is_refused(server: HttpServer, trusting: ssl.SSLContext) -> None:
    with closing(shake(server, trusting)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 9000)
        assert read_all(client).startswith(b"HTTP/1.1 413 ")


def test_connections_that_do_not_shake_hands_hold_no_worker(server: HttpServer, trusting: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    with ExitStack() as opened:
        for number in range(60):
            client = opened.enter_context(closing(connect(server)))
            client.sendall(hello[: number * len(hello) // 59])
        assert get(server, trusting) == PAGE


def test_a_handshake_that_takes_too_long_is_ended(
    serve: Callable[..., HttpServer], folder: Path, trusting: ssl.SSLContext
) -> None:
    clock = VirtualClock()
    server = serve(CertificateFolder(folder, option=OPTION, metrics=Metrics(), clock=clock).context, clock=clock)
    with closing(connect(server)) as slow:
        assert get(server, trusting) == PAGE  # The loop has accepted the one before.
        clock.advance(10)
        assert get(server, trusting) == PAGE
        assert slow.recv(1) == b""


def test_http_in_the_clear_is_told_that_this_is_https(server: HttpServer) -> None:
    with closing(connect(server)) as client:
        client.sendall(ASK)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nthis port speaks HTTPS\n")


@pytest.mark.parametrize(
    "sent", [b"\x00" * 64, b"\x16\x03\x01\xff\xff" + b"\xff" * 64, b"\x15\x03\x01\x00\x02\x02\x28"]
)
def test_what_is_not_tls_is_closed_and_others_are_served(
    server: HttpServer, trusting: ssl.SSLContext, sent: bytes
) -> None:
    with closing(connect(server)) as client, suppress(OSError):
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        read_all(client)
    assert get(server, trusting) == PAGE


def test_a_peer_that_resets_in_any_state_is_forgotten(server: HttpServer, trusting: ssl.SSLContext) -> None:
    reset = struct.pack("ii", 1, 0)
    for state in (connect, lambda server: shake(server, trusting)):
        for send in (b"", b"GET"):
            client = state(server)
            if send:
                client.sendall(send)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.close()
    assert get(server, trusting) == PAGE
    loop = server._loop
    assert loop is not None
    eventually(lambda: not loop._waiting)


def test_old_versions_of_tls_are_refused(server: HttpServer, trusting: ssl.SSLContext) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trusting.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        get(server, trusting)


def test_many_are_served_at_once(server: HttpServer, trusting: ssl.SSLContext) -> None:
    answers: list[bytes] = []
    clients = [threading.Thread(target=lambda: answers.append(get(server, trusting))) for _ in range(20)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(20)
    assert [len(answer) for answer in answers] == [len(PAGE)] * 20


# ---- the certificate of a folder -------------------------------------------------------------------------------------


def test_a_new_certificate_is_served_within_seconds_and_without_a_restart(
    server: HttpServer, folder: Path, authority: trustme.CA, clock: VirtualClock, trusting: ssl.SSLContext
) -> None:
    before = number_of(server, trusting)
    issue(authority, folder)
    assert number_of(server, trusting) == before
    clock.advance(6)
    assert number_of(server, trusting) not in {before, None}


def test_the_same_certificate_is_read_and_not_loaded_again(source: CertificateFolder, clock: VirtualClock) -> None:
    first = source.context()
    clock.advance(60)
    assert source.context() is first
    assert source._metrics.certificate_readings._value.get() == 1


def test_half_a_rotation_keeps_the_old_pair_and_the_other_half_ends_it(
    source: CertificateFolder,
    folder: Path,
    authority: trustme.CA,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = source.context()
    key = (folder / "tls.key").read_bytes()
    issue(authority, folder)
    new_key = (folder / "tls.key").read_bytes()
    (folder / "tls.key").write_bytes(key)
    clock.advance(6)
    assert source.context() is first
    assert source.context() is first
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        f"--metrics-cert-dir: tls.crt and tls.key in {folder} are of no use together: KEY_VALUES_MISMATCH; renew both;"
        " keeping the last pair"
    )
    assert source._metrics.certificate_errors._value.get() == 1
    (folder / "tls.key").write_bytes(new_key)
    clock.advance(6)
    assert source.context() is not first


def test_a_pair_that_could_not_be_loaded_is_tried_again_after_a_while(
    source: CertificateFolder,
    folder: Path,
    authority: trustme.CA,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[object] = []

    def no_descriptor(*args: object, **_named: object) -> None:
        tries.append(args)
        raise OSError(errno.EMFILE, "Too many open files")

    first = source.context()
    issue(authority, folder)
    with monkeypatch.context() as starved:
        starved.setattr(ssl.SSLContext, "load_cert_chain", no_descriptor)
        for expected in (1, 2):
            clock.advance(6)
            assert [source.context() for _ in range(3)] == [first] * 3
            assert len(tries) == expected
    assert len(caplog.records) == 1
    clock.advance(6)
    assert source.context() is not first


def test_a_certificate_that_goes_away_is_served_on(
    source: CertificateFolder, folder: Path, clock: VirtualClock
) -> None:
    first = source.context()
    (folder / "tls.crt").unlink()
    clock.advance(6)
    assert source.context() is first


def test_without_files_the_server_does_not_begin(tmp_path: Path) -> None:
    source = CertificateFolder(tmp_path, option=OPTION, metrics=Metrics())
    server = HttpServer(address="127.0.0.1:0", app=Application({}), name="metrics", tls=source.context)
    with pytest.raises(ConfigError, match=r"^--metrics-cert-dir: cannot read .*/tls\.crt: No such file"):
        server.bind()
    assert server.stop() == ()


def test_a_pair_that_is_none_is_refused_in_one_line(folder: Path, source: CertificateFolder) -> None:
    (folder / "tls.key").write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
    with pytest.raises(ConfigError, match=r"tls\.crt and tls\.key in .*: KEY_VALUES_MISMATCH; renew"):
        source.context()


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(
    folder: Path, source: CertificateFolder
) -> None:
    key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    (folder / "tls.key").write_text(key)
    with pytest.raises(ConfigError, match="encrypted, and nobody is there to type the passphrase"):
        source.context()


# ---- a certificate that is made here ---------------------------------------------------------------------------------


def test_a_certificate_is_made_that_those_can_trust_who_have_it(
    serve: Callable[..., HttpServer], clock: VirtualClock
) -> None:
    server = serve(SelfSigned(option="--metrics-secure", clock=clock).context)
    pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=5)
    context = ssl.create_default_context(cadata=pem)
    assert get(server, context) == PAGE
    first = number_of(server, context)
    assert number_of(server, context) == first
    clock.advance(183 * 24 * 3600)
    assert ssl.get_server_certificate(("127.0.0.1", server.port), timeout=5) != pem


def test_nothing_of_it_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    SelfSigned(option="--metrics-secure").context()
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_a_temporary_file_that_is_said_and_a_renewal_keeps_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = SelfSigned(option="--metrics-secure", clock=clock)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="no certificate can be made: No such file or directory; let TMPDIR name"):
        source.context()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = source.context()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    clock.advance(183 * 24 * 3600)
    assert source.context() is first
    assert "keeping the last one" in caplog.text


def test_without_the_package_the_remedies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(ConfigError) as caught:
        SelfSigned(option="--metrics-secure").context()
    assert str(caught.value) == (
        "--metrics-secure: there is no certificate; name a folder with tls.crt and tls.key (--metrics-cert-dir), or"
        " install kcontroller[secure-metrics], with which one is made here"
    )
