"""The servers that rows of the conformance list are held against: the embedded one and the real kube-apiserver."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest

from kcontroller.process import logs
from kcontroller.testing import HttpFaultProxy
from tests.conformance.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing import EmbeddedServer
    from tests.faults.watched import Server


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def real_server(request: pytest.FixtureRequest) -> Server | None:
    """The real server, or None for the embedded one, which is the test's own."""
    return None if request.param == "embedded" else request.getfixturevalue("control_plane").servers[0]


@pytest.fixture
def server(real_server: Server | None, request: pytest.FixtureRequest) -> Server:
    """Each of the two."""
    found: Server = real_server or request.getfixturevalue("api_server")
    return found


@pytest.fixture
def stage(server: Server) -> Iterator[Stage]:
    """Each of the two, with what a test of the client or of a manager needs around it."""
    with Stage(server) as made:
        yield made


@pytest.fixture
def proxy(api_server: EmbeddedServer) -> Iterator[HttpFaultProxy]:
    """A way to the embedded server, which keeps what is asked."""
    with HttpFaultProxy(api_server.url, ca_pem=api_server.ca_pem, record=True) as made:
        yield made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged, as JSON lines."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    logs.configure(stream, log_format="json")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
