from __future__ import annotations

import socket
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.health import Checks
from kcontroller.serving.servers import NOWHERE, Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1:0"


def servers(**addresses: str) -> Servers:
    given: dict[str, Any] = {"metrics_address": NOWHERE, "health_address": NOWHERE, **addresses}
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
