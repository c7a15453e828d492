from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.health import Checks
from kcontroller.serving.http import HttpServer
from kcontroller.serving.servers import NOWHERE, Servers
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.embedded.server import EmbeddedServer

LOOPBACK = "127.0.0.1:0"


def servers(**options: Any) -> Servers:
    given: dict[str, Any] = {"metrics_address": NOWHERE, "health_address": NOWHERE, **options}
    return Servers(
        **given, families=Metrics(), before_scrape=lambda: None, healthz=Checks("healthz"), readyz=Checks("readyz")
    )


@pytest.fixture
def threads() -> Iterator[ThreadGroup]:
    group = ThreadGroup(on_failure=lambda name, error: pytest.fail(f"{name}: {error}"))
    yield group
    assert group.join(5) == ()


def test_each_page_is_served_at_its_address(threads: ThreadGroup) -> None:
    both = servers(metrics_address=LOOPBACK, health_address=LOOPBACK)
    both.bind()
    both.start(threads)
    try:
        answers = {
            path: urllib.request.urlopen(f"http://127.0.0.1:{both.port(name)}/{path}", timeout=5).status
            for name, path in (("metrics", "metrics"), ("health", "healthz"), ("health", "readyz"))
        }
    finally:
        both.stop()

    assert answers == {"metrics": 200, "healthz": 200, "readyz": 200}


def test_a_page_without_an_address_is_served_nowhere(threads: ThreadGroup) -> None:
    neither = servers()
    neither.bind()
    neither.start(threads)
    neither.stop()

    assert threads.alive() == ()


def test_an_address_that_cannot_be_had_gives_the_others_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied, socket.create_server(("127.0.0.1", 0)) as free:
        taken, other = (f"127.0.0.1:{each.getsockname()[1]}" for each in (occupied, free))
        free.close()
        with pytest.raises(ConfigError, match="--health-probe-bind-address"):
            servers(metrics_address=other, health_address=taken).bind()

        with socket.create_server(("127.0.0.1", int(other.rpartition(":")[2]))):
            pass  # It could be had again.


def test_a_stop_takes_one_time_for_all_servers() -> None:
    clock = VirtualClock()
    given: list[float] = []

    class Stuck(HttpServer):
        def stop(self, *, timeout: float = 5.0) -> tuple[str, ...]:
            given.append(timeout)
            clock.advance(min(timeout, 3.0))
            return super().stop(timeout=0)

    several = servers(clock=clock)
    for number in range(3):
        several.also(Stuck(address=LOOPBACK, app=lambda _environ, _start: [], name=f"stuck-{number}"))
    several.stop(timeout=5.0)

    assert given == [5.0, 2.0, 0.0]


# ---- secure metrics --------------------------------------------------------------------------------------------------


def answer_of(port: int, page: str, token: str = "") -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"https://127.0.0.1:{port}/{page}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 - https
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_secure_metrics_are_shown_to_who_may_and_health_stays_open(
    threads: ThreadGroup, api_server: EmbeddedServer
) -> None:
    both = servers(metrics_address=LOOPBACK, health_address=LOOPBACK)
    both.secure_metrics(config_of(api_server))
    both.bind()
    both.start(threads)
    try:
        tokens = ("", "wrong", api_server.user_token("nobody"), api_server.token)
        assert [answer_of(both.port("metrics"), "metrics", token) for token in tokens] == [401, 401, 403, 200]
        with urllib.request.urlopen(f"http://127.0.0.1:{both.port('health')}/healthz", timeout=5) as answer:
            assert answer.status == 200
    finally:
        both.stop()


def test_metrics_that_are_served_nowhere_need_no_certificate(api_server: EmbeddedServer) -> None:
    one = servers(health_address=LOOPBACK)
    one.secure_metrics(config_of(api_server), certificates="/no/such/folder")
    one.bind()
    one.stop()


def test_a_certificate_that_is_not_there_keeps_every_port_free(api_server: EmbeddedServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = servers(metrics_address=LOOPBACK, health_address=address)
    both.secure_metrics(config_of(api_server), certificates="/no/such/folder")
    with pytest.raises(ConfigError, match=r"--metrics-cert-dir: cannot read /no/such/folder/tls\.crt"):
        both.bind()
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        pass
