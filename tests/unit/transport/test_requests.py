from __future__ import annotations

import contextlib
import dataclasses
import gzip
import os
import resource
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from kcontroller.errors import (
    ConnectFailed,
    NotLeader,
    OutcomeUnknown,
    RequestTimeout,
    Stopped,
    TLSFailed,
    TransportError,
)
from kcontroller.process.metrics import Metrics
from kcontroller.process.stop import StopToken
from kcontroller.process.waits import on_wait
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import ClientCertificate, Config, TLSConfig
from kcontroller.transport.credentials import ANONYMOUS, StaticCredentials
from kcontroller.transport.messages import HttpRequest, HttpResponse
from kcontroller.transport.requests import Requester
from kcontroller.transport.retries import WAIT_JITTER
from tests.unit.transport.scripted import AUTHORITY, STRANGER, Call, ok, relay, tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GET = HttpRequest("GET", "/api")
POST = HttpRequest("POST", "/api", b'{"kind":"Widget"}', content_type="application/json")


def answers(*steps: Callable[[Call], None]) -> Callable[[Call], None]:
    """Take one step per request; the last one for all that follow."""
    return lambda call: steps[min(call.request.number, len(steps) - 1)](call)


def status(code: int, **headers: str) -> Callable[[Call], None]:
    return lambda call: call.reply(code, headers={name.replace("_", "-"): value for name, value in headers.items()})


def then_close(call: Call) -> None:
    ok(call)
    call.close()


def cut(call: Call) -> None:
    call.close()


# One request.


def test_a_get_brings_status_headers_and_body(serve: Any, connect: Any) -> None:
    server = serve(lambda call: call.reply(404, b'{"kind":"Status"}', {"X-Kubernetes-Pf-Flowschema-Uid": "u"}))
    response = connect(server).send(HttpRequest("GET", "/api/v1/pods?limit=1"))

    assert (response.status, response.body) == (404, b'{"kind":"Status"}')
    assert response.headers["x-kubernetes-pf-flowschema-uid"] == "u"
    assert server.seen[0].target == "/api/v1/pods?limit=1"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_carries_its_body_and_type(serve: Any, connect: Any, method: str) -> None:
    server = serve()
    connect(server).send(replace(POST, method=method))

    seen = server.seen[0]
    assert (seen.method, seen.body, seen.headers["content-type"]) == (method, POST.body, "application/json")


def test_a_write_without_a_body_says_so(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server)
    requester.send(HttpRequest("POST", "/api"))
    requester.send(HttpRequest("DELETE", "/api"))

    assert [seen.headers.get("content-length") for seen in server.seen] == ["0", None]


def test_nothing_of_a_request_sticks_to_the_next(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server)
    requester.send(POST)
    requester.send(GET)

    seen = server.seen[1]
    assert (seen.method, seen.body, "content-type" in seen.headers) == ("GET", b"", False)


def test_a_large_body_does_not_wait_for_the_server_to_ask(serve: Any, connect: Any) -> None:
    server = serve()
    connect(server).send(replace(POST, body=b"x" * 1_500_000))

    assert (len(server.seen[0].body), "expect" in server.seen[0].headers) == (1_500_000, False)


def test_gzip_is_asked_for_and_unpacked_only_when_wanted(serve: Any, connect: Any) -> None:
    def script(call: Call) -> None:
        packed = "gzip" in call.request.headers.get("accept-encoding", "")
        call.reply(
            body=gzip.compress(b"list") if packed else b"plain", headers={"Content-Encoding": "gzip"} if packed else {}
        )

    requester = connect(serve(script))

    assert requester.send(replace(GET, compressed=True)).body == b"list"
    assert requester.send(GET).body == b"plain"


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_head_whose_lines_end_with_a_line_feed_alone_is_a_head(
    serve: Any, connect: Any, request_: HttpRequest
) -> None:
    server = serve(lambda call: call.send(b"HTTP/1.1 201 Created\nA: 1\nContent-Length: 2\n\n{}"))
    response = connect(server).send(request_)

    assert (response.status, response.headers["a"], response.body) == (201, "1", b"{}")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="lowers the limit of open files")
def test_a_request_without_a_descriptor_was_not_sent_and_names_the_remedy(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server)
    with no_descriptor(), pytest.raises(ConnectFailed, match=r"too many open files: raise the limit \(ulimit -n\)"):
        requester.send(POST)

    assert requester.send(POST).status == 200
    assert len(server.seen) == 1


@contextlib.contextmanager
def no_descriptor() -> Iterator[None]:
    """Leave nothing below the limit of open files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_head_waits_for_no_body(serve: Any, connect: Any) -> None:
    server = serve(lambda call: call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))

    assert connect(server).send(HttpRequest("HEAD", "/api"), timeout=5).body == b""


def test_a_redirect_is_not_followed(serve: Any, connect: Any) -> None:
    server = serve(status(302, Location="/other"))

    assert connect(server).send(GET).status == 302
    assert len(server.seen) == 1


def test_an_interim_answer_is_passed_over(serve: Any, connect: Any) -> None:
    server = serve(
        lambda call: call.send(b"HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    )

    assert connect(server).send(GET).headers == {"content-length": "0"}


def test_an_unknown_method_is_refused(serve: Any, connect: Any) -> None:
    with pytest.raises(ValueError, match="not an HTTP method"):
        connect(serve()).send(HttpRequest("GET\r\nX: 1", "/api"))


# Connections.


def test_connections_are_kept_between_requests(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server)
    for _ in range(3):
        requester.send(POST)

    assert server.connections == 1


def test_a_connection_idle_for_ninety_seconds_is_closed(serve: Any, connect: Any) -> None:
    clock = VirtualClock()
    server = serve()
    requester = connect(server, clock=clock)
    requester.send(GET)
    clock.advance(89)
    requester.send(GET)
    assert server.connections == 1
    clock.advance(90)
    requester.send(GET)

    assert server.connections == 2


def test_many_threads_send_at_once(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server)

    def send(number: int) -> bytes:
        return bytes(requester.send(HttpRequest("PATCH", f"/{number}", b"{}", content_type="a/b")).body)

    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(send, range(200)))

    assert [f'"/{number}"'.encode() in body for number, body in enumerate(bodies)] == [True] * 200
    assert server.connections <= 8


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_connection_the_server_closed_while_idle_is_replaced_unseen(
    serve: Any, connect: Any, request_: HttpRequest
) -> None:
    server = serve(answers(then_close, ok))
    requester = connect(server)
    requester.send(GET)
    server.wait_for(lambda: not server._open)

    assert requester.send(request_).status == 200
    assert len(server.seen) == 2


def test_a_write_on_a_connection_that_ends_is_sent_once_and_its_outcome_unknown(serve: Any, connect: Any) -> None:
    server = serve(answers(ok, cut, ok))
    requester = connect(server)
    requester.send(GET)

    with pytest.raises(OutcomeUnknown, match="POST was sent: it may or may not have happened"):
        requester.send(POST)
    assert [seen.method for seen in server.seen] == ["GET", "POST"]


def test_a_write_that_was_sent_is_unknown_also_if_nobody_listens_any_more(serve: Any, connect: Any) -> None:
    def die(call: Call) -> None:
        server.refuse()
        call.close()

    server = serve(answers(ok, die))
    requester = connect(server)
    requester.send(GET)

    # libcurl connects again in silence and reports "connection refused".
    with pytest.raises(OutcomeUnknown):
        requester.send(POST)
    assert server.seen[-1].method == "POST"


def test_the_next_write_after_an_unknown_outcome_is_as_good_as_any(serve: Any, connect: Any) -> None:
    server = serve(answers(ok, cut, ok))
    requester = connect(server)
    requester.send(GET)
    with pytest.raises(OutcomeUnknown):
        requester.send(POST)

    assert requester.send(POST).status == 200


def test_a_get_on_a_connection_that_ends_is_sent_again(serve: Any, connect: Any) -> None:
    server = serve(answers(ok, cut, ok))
    requester = connect(server)
    requester.send(GET)

    assert requester.send(GET).status == 200
    assert len(server.seen) == 3


def test_a_write_on_a_new_connection_that_ends_is_unknown_too(serve: Any, connect: Any) -> None:
    server = serve(cut)

    with pytest.raises(OutcomeUnknown):
        connect(server).send(POST)
    assert len(server.seen) == 1


@pytest.mark.parametrize("size", range(1, 40))
def test_a_write_whose_answer_ends_in_its_head_is_unknown(serve: Any, connect: Any, size: int) -> None:
    def begin_a_head(call: Call) -> None:
        call.send(b"HTTP/1.1 201 Created\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"[:size])
        call.close()

    with pytest.raises(OutcomeUnknown):
        connect(serve(begin_a_head)).send(POST)


def test_a_write_whose_answer_is_cut_short_is_unknown(serve: Any, connect: Any) -> None:
    def script(call: Call) -> None:
        call.send(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        call.close()

    with pytest.raises(OutcomeUnknown):
        connect(serve(script)).send(POST)


# No connection.


def test_a_refused_connection_says_so_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    requester = Requester(Config(f"https://127.0.0.1:{port}", ANONYMOUS))

    with pytest.raises(ConnectFailed) as caught:
        requester.send(POST)
    requester.close()
    assert str(caught.value) == f"cannot connect to https://127.0.0.1:{port}: connection refused"


def test_a_host_without_address_names_the_source() -> None:
    requester = Requester(Config("https://nowhere.invalid", ANONYMOUS, source="/the/kubeconfig"))

    with pytest.raises(ConnectFailed, match="no address is known for its host; check the server of /the/kubeconfig"):
        requester.send(GET)
    requester.close()


def test_a_certificate_of_another_ca_is_refused(serve: Any, connect: Any) -> None:
    server = serve()
    config = {"tls": TLSConfig(ca=STRANGER.cert_pem.bytes()), "source": 'context "dev" of /x'}

    with pytest.raises(TLSFailed) as caught:
        connect(server, config=config).send(POST)
    assert str(caught.value) == (
        f'the certificate of {server.url} is not signed by the CA of context "dev" of /x: '
        "check certificate-authority-data"
    )
    assert server.seen == []


def test_a_certificate_of_another_name_is_refused(serve: Any, connect: Any) -> None:
    server = serve(context=tls(names=("other.example",)))

    with pytest.raises(TLSFailed, match=r'is not valid for "127.0.0.1": set tls-server-name in context "test"'):
        connect(server).send(GET)


def test_a_server_name_decides_what_the_certificate_must_carry(serve: Any, connect: Any) -> None:
    server = serve(context=tls(names=("other.example",)))
    config = {"tls": TLSConfig(ca=AUTHORITY.cert_pem.bytes(), server_name="other.example")}

    assert connect(server, config=config).send(GET).status == 200
    assert server.seen[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_a_name_that_leads_elsewhere_is_still_the_name_that_the_certificate_must_carry(
    serve: Any, connect: Any
) -> None:
    server, stranger = serve(context=tls(names=("other.example",))), serve()
    config = {"server": "https://other.example:6443/base", "resolve": f"127.0.0.1:{server.port}"}

    assert connect(server, config=config).send(GET).status == 200
    assert server.seen[0].headers["host"] == "other.example:6443"
    with pytest.raises(TLSFailed, match=r'is not valid for "other.example"'):
        connect(stranger, config={**config, "resolve": f"127.0.0.1:{stranger.port}"}).send(GET)
    assert stranger.seen == []


def test_without_verification_any_certificate_will_do(serve: Any, connect: Any) -> None:
    config = {"tls": TLSConfig(verify=False)}

    assert connect(serve(context=tls(authority=STRANGER)), config=config).send(GET).status == 200


def test_tls_before_1_2_is_refused(serve: Any, connect: Any) -> None:
    context = tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1

    with pytest.raises(TLSFailed):
        connect(serve(context=context)).send(GET)


def test_a_client_certificate_proves_who_we_are(serve: Any, connect: Any) -> None:
    context = tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # With 1.3 the refusal races with the reset that follows it.
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    issued = AUTHORITY.issue_cert("me@example.com")
    pair = ClientCertificate(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
    server = serve(context=context)

    assert connect(server, config={"credentials": StaticCredentials(certificate=pair)}).send(GET).status == 200
    with pytest.raises(TLSFailed, match="check the server and the certificates of context"):
        connect(server).send(POST)


def test_a_client_certificate_that_is_none_is_named(serve: Any, connect: Any) -> None:
    credentials = StaticCredentials(certificate=ClientCertificate(b"canary-cert", b"canary-key"))

    with pytest.raises(TLSFailed, match="check client-certificate-data") as caught:
        connect(serve(), config={"credentials": credentials}).send(GET)
    assert "canary" not in str(caught.value)


def test_a_server_without_tls_is_told_apart(serve: Any, connect: Any, configure: Any) -> None:
    server = serve(context=None)
    requester = Requester(dataclasses.replace(configure(server), server=server.url.replace("http:", "https:")))

    with pytest.raises(TLSFailed, match="does not speak TLS"):
        requester.send(GET)
    requester.close()


def through_proxy(server: Any, script: Callable[[Call], None], serve: Any) -> tuple[Any, Requester]:
    proxy = serve(script, context=None)
    user_info = proxy.url.replace("//", "//jane:canary@")
    return proxy, Requester(Config(server.url, ANONYMOUS, TLSConfig(ca=AUTHORITY.cert_pem.bytes()), proxy=user_info))


def test_a_proxy_that_refuses_is_named_without_its_password(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # What to spare the proxy was decided with the configuration.
    proxy, requester = through_proxy(serve(), status(403), serve)

    with pytest.raises(ConnectFailed, match="through its proxy") as caught:
        requester.send(POST)
    requester.close()
    assert [seen.method for seen in proxy.seen] == ["CONNECT"]
    assert "canary" not in str(caught.value)


def test_the_answer_of_a_proxy_is_not_taken_for_the_servers(serve: Any) -> None:
    server = serve()

    def tunnel(call: Call) -> None:
        call.send(b"HTTP/1.1 200 Connected\r\nX-Proxy: 1\r\n\r\n")
        relay(call.sock, ("127.0.0.1", server.port))
        call.close()

    _, requester = through_proxy(server, tunnel, serve)
    response = requester.send(POST)
    requester.close()

    assert (response.status, "x-proxy" in response.headers) == (200, False)


# Time and stop.


def test_an_answer_that_does_not_come_in_time_is_a_timeout_that_was_sent(serve: Any, connect: Any) -> None:
    with pytest.raises(RequestTimeout) as caught:
        connect(serve(Call.hold)).send(POST, timeout=0.05)
    assert caught.value.sent


def test_a_handshake_that_does_not_come_in_time_is_a_timeout_that_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        requester = Requester(Config(f"https://127.0.0.1:{black_hole.getsockname()[1]}", ANONYMOUS))
        with pytest.raises(RequestTimeout) as caught:
            requester.send(POST, timeout=0.05)
        requester.close()
    assert not caught.value.sent


def test_after_a_timeout_the_next_request_takes_a_new_connection(serve: Any, connect: Any) -> None:
    server = serve(answers(Call.hold, ok))
    requester = connect(server)
    with pytest.raises(RequestTimeout):
        requester.send(GET, timeout=0.05)

    assert requester.send(GET).status == 200
    assert server.connections == 2


@contextlib.contextmanager
def soon(seconds: float, function: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, function)
    timer.start()
    started = time.monotonic()
    yield
    timer.join()
    assert time.monotonic() - started < seconds + 0.5


def test_a_stop_ends_a_silent_request_at_once(serve: Any, connect: Any) -> None:
    requester, stop = connect(serve(Call.hold)), StopToken()

    with soon(0.1, lambda: stop.stop("lease lost")), pytest.raises(Stopped, match="lease lost"):
        requester.send(POST, stop=stop)


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_stop_ends_an_answer_that_does_not_go_on_within_100_ms(
    serve: Any, connect: Any, request_: HttpRequest
) -> None:
    begun = threading.Semaphore(0)

    def begin(call: Call) -> None:
        call.begin()
        call.chunk(b'{"kind"')
        begun.release()
        call.hold()

    def stopped_after() -> float:
        stop, at = StopToken(), []

        def stop_when_begun() -> None:
            begun.acquire(timeout=10)
            at.append(time.monotonic())
            stop.stop("lease lost")

        thread = threading.Thread(target=stop_when_begun)
        thread.start()
        with pytest.raises(Stopped, match="lease lost"):
            requester.send(request_, stop=stop)
        ended = time.monotonic()
        thread.join(10)
        return ended - at[0]

    requester = connect(serve(begin))

    assert min(stopped_after() for _ in range(3)) < 0.1  # The best of three: the machine may be busy.


def test_a_stop_ends_a_handshake_with_a_black_hole_at_once() -> None:
    stop = StopToken()
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        requester = Requester(Config(f"https://127.0.0.1:{black_hole.getsockname()[1]}", ANONYMOUS))
        with soon(0.1, stop.stop), pytest.raises(Stopped):
            requester.send(POST, stop=stop)
        requester.close()


def test_a_stopped_token_sends_nothing(serve: Any, connect: Any) -> None:
    server, stop = serve(), StopToken()
    stop.stop()

    with pytest.raises(Stopped):
        connect(server).send(GET, stop=stop)
    assert server.connections == 0


def test_a_stopped_request_leaves_the_requester_fit(serve: Any, connect: Any) -> None:
    requester, stop = connect(serve(answers(Call.hold, ok))), StopToken()
    with soon(0.05, stop.stop), pytest.raises(Stopped):
        requester.send(GET, stop=stop)

    assert requester.send(GET).status == 200


def test_close_ends_what_runs(serve: Any, connect: Any) -> None:
    requester = connect(serve(Call.hold))

    with soon(0.1, requester.close), pytest.raises(Stopped):
        requester.send(GET)


def test_close_refuses_what_comes(serve: Any, connect: Any) -> None:
    requester = connect(serve())
    requester.close()

    with pytest.raises(Stopped):
        requester.send(GET)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors through /proc")
def test_nothing_is_open_after_close(serve: Any, configure: Any) -> None:
    server = serve()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    requester = Requester(configure(server))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: requester.send(GET), range(20)))
    requester.close()
    server.wait_for(lambda: not server._open)

    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


# Credentials.


class Rotating:
    """Gives the next token after each `invalidate`."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.invalidated = 0

    def authorization(self) -> str:
        return f"Bearer {self.tokens[min(self.invalidated, len(self.tokens) - 1)]}"

    def client_certificate(self) -> None:
        return None

    def invalidate(self) -> None:
        self.invalidated += 1


def only(token: str) -> Callable[[Call], None]:
    return lambda call: call.reply(200 if call.request.headers["authorization"] == f"Bearer {token}" else 401)


def test_a_refused_token_is_renewed_once(serve: Any, connect: Any) -> None:
    server = serve(only("new"))

    assert connect(server, config={"credentials": Rotating("old", "new")}).send(POST).status == 200
    assert len(server.seen) == 2


@pytest.mark.parametrize("error", [OSError("canary"), KeyError("canary")])
def test_credentials_that_raise_anything_are_no_connection(serve: Any, connect: Any, error: Exception) -> None:
    """A user's credentials may; whoever asks, such as the elector, has rules for a request that could not be sent."""

    class Failing(Rotating):
        def authorization(self) -> str:
            raise error

    server = serve()
    with pytest.raises(ConnectFailed, match=f"credentials: {type(error).__name__}$") as raised:
        connect(server, config={"credentials": Failing("x")}).send(POST)
    assert raised.value.__cause__ is error
    assert server.seen == []


def test_a_second_refusal_is_the_answer(serve: Any, connect: Any) -> None:
    server = serve(only("newest"))
    credentials = Rotating("old", "new", "newest")

    assert connect(server, config={"credentials": credentials}).send(GET).status == 401
    assert len(server.seen) == 2


def test_a_token_that_stays_the_same_is_not_tried_again(serve: Any, connect: Any) -> None:
    server = serve(only("new"))
    credentials = Rotating("old")

    assert connect(server, config={"credentials": credentials}).send(GET).status == 401
    assert (len(server.seen), credentials.invalidated) == (1, 1)


@pytest.mark.parametrize("script", [cut, Call.hold, status(401)])
def test_no_error_shows_the_token(serve: Any, connect: Any, script: Any) -> None:
    requester = connect(serve(script), config={"credentials": StaticCredentials("Bearer canary")})

    try:
        outcome: object = requester.send(POST, timeout=0.05)
    except TransportError as error:
        outcome = error
    assert "canary" not in f"{outcome!r} {getattr(outcome, '__cause__', '')!r}"


# A guard.


class Lease:
    """A guard that refuses from some call on."""

    def __init__(self, good_for: int = 0) -> None:
        self.good_for = good_for
        self.asked = 0

    def guard(self) -> None:
        self.asked += 1
        if self.asked > self.good_for:
            msg = "the lease may have passed on"
            raise NotLeader(msg)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_that_its_guard_refuses_does_not_leave(serve: Any, connect: Any, method: str) -> None:
    server = serve()
    requester = connect(server)
    with pytest.raises(NotLeader):
        requester.send(replace(POST, method=method), guard=Lease().guard)
    assert requester.send(GET).status == 200
    assert [seen.method for seen in server.seen] == ["GET"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_needs_no_leave(serve: Any, connect: Any, method: str) -> None:
    lease = Lease()
    assert connect(serve()).send(HttpRequest(method, "/api"), guard=lease.guard).status == 200
    assert lease.asked == 0


def test_a_guard_is_asked_before_each_sending_of_a_write(serve: Any, connect: Any) -> None:
    """Between the two the lease was lost; the server's leave to send again changes nothing."""
    server = serve(answers(status(429, Retry_After="0"), ok))
    lease = Lease(good_for=2)
    with pytest.raises(NotLeader):
        connect(server).send(POST, guard=lease.guard)
    assert (lease.asked, len(server.seen)) == (3, 1)


def test_a_guard_is_asked_again_after_new_credentials(serve: Any, connect: Any) -> None:
    server = serve(answers(status(401), ok))
    lease = Lease(good_for=2)
    with pytest.raises(NotLeader):
        connect(server, config={"credentials": Rotating("old", "new")}).send(POST, guard=lease.guard)
    assert (lease.asked, len(server.seen)) == (3, 1)


def test_a_write_does_not_leave_when_the_lease_passed_while_its_connection_was_made(serve: Any, connect: Any) -> None:
    """A name server, a full backlog or a slow handshake may take ten seconds; the margin of a lease is five."""
    lost = threading.Event()
    context = tls()
    context.sni_callback = lambda *_: lost.set()  # In the middle of the handshake.
    server = serve(context=context)
    trust = TLSConfig(ca=AUTHORITY.cert_pem.bytes(), server_name="localhost")
    metrics = Metrics()
    requester = connect(server, config={"tls": trust}, metrics=metrics)

    def guard() -> None:
        if lost.is_set():
            msg = "the lease may have passed on"
            raise NotLeader(msg)

    with pytest.raises(NotLeader):
        requester.send(POST, guard=guard)
    assert requester.send(GET).status == 200
    assert [seen.method for seen in server.seen] == ["GET"]
    assert "<error>" not in metrics.render().decode(), "a refused write is no failure of the server"


def test_what_a_guard_raises_goes_to_the_caller_as_it_is(serve: Any, connect: Any) -> None:
    """Also out of libcurl's callback, which could not raise."""
    asked = []

    def guard() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt

    server = serve()
    with pytest.raises(KeyboardInterrupt):
        connect(server).send(POST, guard=guard)
    assert server.seen == []


# Again.


@pytest.mark.parametrize("script", [status(429, Retry_After="0"), status(503, Retry_After="0")])
def test_a_requester_that_repeats_nothing_gives_the_first_answer(serve: Any, connect: Any, script: Any) -> None:
    server = serve(script)
    assert connect(server, repeats=False).send(POST).status in {429, 503}
    assert len(server.seen) == 1


def test_a_requester_that_repeats_nothing_gives_up_a_lost_get(serve: Any, connect: Any) -> None:
    server = serve(cut)
    with pytest.raises(TransportError):
        connect(server, repeats=False).send(GET)
    assert len(server.seen) == 1


def test_a_429_with_retry_after_is_obeyed_for_any_verb(serve: Any, connect: Any) -> None:
    clock = VirtualClock()
    server = serve(answers(status(429, Retry_After="7"), status(429, Retry_After="2"), ok))
    requester = connect(server, clock=clock)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(requester.send, POST)
        for sent, seconds in ((1, 7), (2, 2)):
            server.wait_for(lambda sent=sent: len(server.seen) == sent)
            clock.wait_for_waiters(1)
            clock.advance(seconds - 0.5)
            assert not running.done()
            clock.advance(0.5 + WAIT_JITTER * seconds)
        assert running.result(10).status == 200
    assert len(server.seen) == 3


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_write_that_a_5xx_answers_may_have_happened_and_is_not_repeated(serve: Any, connect: Any, code: int) -> None:
    server = serve(answers(status(code, Retry_After="0"), ok))

    assert connect(server).send(POST).status == code
    assert connect(server).send(GET).status == 200
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_a_read_that_a_503_answers_is_repeated(serve: Any, connect: Any) -> None:
    server = serve(answers(status(503, Retry_After="0"), ok))

    assert connect(server).send(GET).status == 200
    assert len(server.seen) == 2


@pytest.mark.parametrize("value", ["Sat, 21 Nov 2026 12:00:00 GMT", "-1", "1.5", "", "²"])
def test_retry_after_in_another_form_is_no_reason_to_wait(value: str) -> None:
    assert HttpResponse(429, {"retry-after": value}, b"").retry_after is None


@pytest.mark.parametrize("code", [429, 500, 503, 409])
def test_without_retry_after_the_answer_stands(serve: Any, connect: Any, code: int) -> None:
    server = serve(status(code))

    assert connect(server).send(GET).status == code
    assert len(server.seen) == 1


def test_a_wait_beyond_a_minute_is_not_begun(serve: Any, connect: Any) -> None:
    server = serve(status(429, Retry_After="61"))

    assert connect(server).send(GET, timeout=90).retry_after == 61
    assert len(server.seen) == 1


def test_a_wait_beyond_the_time_of_a_request_is_not_begun(serve: Any, connect: Any) -> None:
    server = serve(status(429, Retry_After="4"))

    assert connect(server).send(POST, timeout=3).retry_after == 4
    assert len(server.seen) == 1


def test_ten_retries_are_enough(serve: Any, connect: Any) -> None:
    metrics = Metrics()
    server = serve(status(429, Retry_After="0"))

    assert connect(server, metrics=metrics).send(replace(POST, verb="create")).status == 429
    assert len(server.seen) == 11
    assert b'request_retries_total{code="429",host="127.0.0.1:%d",verb="create"} 10.0' % server.port in metrics.render()


def test_a_stop_ends_the_wait_for_a_retry(serve: Any, connect: Any) -> None:
    clock = VirtualClock()
    server = serve(status(429, Retry_After="20"))
    requester, stop = connect(server, clock=clock), StopToken(clock=clock)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(requester.send, GET, stop=stop)
        clock.wait_for_waiters(1)
        stop.stop()
        with pytest.raises(Stopped):
            running.result(10)


def test_close_ends_the_wait_for_a_retry(serve: Any, connect: Any) -> None:
    clock = VirtualClock()
    requester = connect(serve(status(429, Retry_After="20")), clock=clock)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(requester.send, GET)
        clock.wait_for_waiters(1)
        requester.close()
        with pytest.raises(Stopped):
            running.result(10)


def test_a_lost_get_is_sent_again_three_times(serve: Any, connect: Any) -> None:
    clock = VirtualClock()
    server = serve(cut)
    requester = connect(server, clock=clock)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(requester.send, GET)
        for sent in (1, 2, 3):
            server.wait_for(lambda sent=sent: len(server.seen) == sent)
            clock.wait_for_waiters(1)
            clock.advance(1.5)
        with pytest.raises(TransportError, match="lost before GET was answered"):
            running.result(10)
    assert len(server.seen) == 4


def test_a_lost_get_is_sent_again_within_its_timeout_only(serve: Any, connect: Any) -> None:
    server = serve(cut)

    with pytest.raises(TransportError):
        connect(server).send(GET, timeout=0.2)
    assert len(server.seen) == 1


# Metrics.


def test_requests_are_counted_as_client_go_counts_them(serve: Any, connect: Any) -> None:
    metrics = Metrics()
    server = serve(answers(ok, status(404), cut))
    requester = connect(server, metrics=metrics)
    requester.send(replace(GET, verb="list"))
    requester.send(GET)
    with pytest.raises(OutcomeUnknown):
        requester.send(POST)

    text = metrics.render().decode()
    host = f'host="127.0.0.1:{server.port}"'
    for line in (
        f'rest_client_requests_total{{code="200",{host},method="GET"}} 1.0',
        f'rest_client_requests_total{{code="404",{host},method="GET"}} 1.0',
        f'rest_client_requests_total{{code="<error>",{host},method="POST"}} 1.0',
        f'rest_client_request_duration_seconds_count{{{host},verb="list"}} 1.0',
        f'rest_client_request_duration_seconds_count{{{host},verb="POST"}} 1.0',
    ):
        assert line in text


# The client's own rate limit.


def test_a_rate_limit_lets_a_burst_pass_and_then_one_by_one(serve: Any, connect: Any) -> None:
    clock, metrics = VirtualClock(), Metrics()
    server = serve()
    requester = connect(server, config={"qps": 2.0, "burst": 3}, clock=clock, metrics=metrics)
    for _ in range(3):
        requester.send(GET)
    started = clock.monotonic()
    with ThreadPoolExecutor(1) as workers:
        fourth = workers.submit(requester.send, replace(GET, verb="list"))
        clock.wait_for_waiters(1)
        assert len(server.seen) == 3
        clock.advance(0.5)
        fourth.result(10)

    assert clock.monotonic() - started == 0.5
    wait = f'rest_client_rate_limiter_duration_seconds_sum{{host="127.0.0.1:{server.port}",verb="list"}} 0.5'
    assert wait in metrics.render().decode()


def test_a_turn_that_does_not_come_in_time_is_a_timeout_that_was_not_sent(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server, config={"qps": 0.1, "burst": 1}, clock=VirtualClock())
    requester.send(GET)

    with pytest.raises(RequestTimeout, match="rate limit") as caught:
        requester.send(POST, timeout=9.0)
    assert (caught.value.sent, len(server.seen)) == (False, 1)


def test_a_stop_ends_the_wait_for_a_turn(serve: Any, connect: Any) -> None:
    stop = StopToken()
    requester = connect(serve(), config={"qps": 0.1, "burst": 1})
    requester.send(GET)

    with soon(0.05, stop.stop), pytest.raises(Stopped):
        requester.send(GET, stop=stop)


def test_a_turn_that_is_no_longer_waited_for_is_given_to_the_next(serve: Any, connect: Any) -> None:
    server, clock, stop = serve(), VirtualClock(), StopToken()
    requester = connect(server, config={"qps": 1.0, "burst": 1}, clock=clock)
    requester.send(GET)
    with ThreadPoolExecutor(1) as workers:
        stopped = workers.submit(requester.send, GET, stop=stop)
        clock.wait_for_waiters(1)
        stop.stop()
        assert isinstance(stopped.exception(10), Stopped)
    clock.advance(1.0)

    requester.send(GET, timeout=0.5)
    assert len(server.seen) == 2


def test_a_request_that_is_sent_again_after_a_401_takes_a_turn_of_its_own(serve: Any, connect: Any) -> None:
    server, clock = serve(only("new")), VirtualClock()
    requester = connect(server, config={"qps": 1.0, "burst": 1, "credentials": Rotating("old", "new")}, clock=clock)
    with ThreadPoolExecutor(1) as workers:
        answer = workers.submit(requester.send, GET)
        clock.wait_for_waiters(1)
        assert len(server.seen) == 1
        clock.advance(1.0)

        assert answer.result(10).status == 200


def test_without_a_rate_nobody_waits(serve: Any, connect: Any) -> None:
    server, metrics = serve(), Metrics()
    requester = connect(server, clock=VirtualClock(), metrics=metrics)
    for _ in range(30):
        requester.send(GET)

    assert len(server.seen) == 30
    assert "rate_limiter_duration_seconds_count" not in metrics.render().decode()


# A server that has too much to do.


def test_nobody_asks_a_server_before_the_time_that_it_gave_to_one(serve: Any, connect: Any) -> None:
    server, clock, metrics = serve(answers(status(429, Retry_After="2"), ok)), VirtualClock(), Metrics()
    requester = connect(server, clock=clock, metrics=metrics)
    waits: list[str] = []

    def read() -> HttpResponse:
        on_wait(lambda: waits.append("told"))
        return requester.send(GET)

    with ThreadPoolExecutor(5) as workers:
        first = workers.submit(requester.send, POST)
        clock.wait_for_waiters(1)
        others = [workers.submit(read) for _ in range(4)]
        clock.wait_for_waiters(5)
        assert len(waits) == 4  # A relay lets another worker go on.
        clock.advance(1.99)
        assert len(server.seen) == 1
        clock.advance(0.01 + 2.0 * WAIT_JITTER)
        assert [each.result(10).status for each in (first, *others)] == [200] * 5

    assert len(server.seen) == 6
    assert "rate_limiter_duration_seconds_count" in metrics.render().decode()
    assert requester.send(GET).status == 200


def test_a_server_is_asked_again_after_the_time_out_of_the_one_that_it_sent_away(serve: Any, connect: Any) -> None:
    clock = VirtualClock()
    requester = connect(serve(answers(status(429, Retry_After="86400"), ok)), clock=clock)
    assert requester.send(GET, timeout=5.0).status == 429
    with pytest.raises(RequestTimeout, match="answered 429 and wants no requests for 5 s") as caught:
        requester.send(POST, timeout=4.0)
    assert (caught.value.sent, caught.value.ours) == (False, True)
    clock.advance(5.0)
    assert requester.send(POST, timeout=4.0).status == 200


@pytest.mark.parametrize(
    ("target", "changes"),
    [("/api/v1/namespaces/n/pods/a/eviction", {}), ("/api/v1/pods", {"repeats": False})],
    ids=["an eviction that a budget forbids", "one that wants each outcome as it is"],
)
def test_not_every_429_holds_up_the_others(serve: Any, connect: Any, target: str, changes: Any) -> None:
    server = serve(answers(status(429, Retry_After="10"), ok))
    requester = connect(server, clock=VirtualClock(), **changes)
    assert requester.send(replace(POST, target=target), timeout=9.0).status == 429
    assert requester.send(GET).status == 200
