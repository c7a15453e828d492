from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.process import logs
from tests.unit.controller.fakes import FakeCluster, FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def host(cluster: FakeCluster) -> Iterator[FakeHost]:
    made = FakeHost(cluster)
    yield made
    made.end()
    assert made.failures == []


@pytest.fixture
def records() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log lines of the test, as JSON."""
    root, ours = logging.getLogger(), logging.getLogger("kcontroller")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    stream = io.StringIO()
    logs.configure(stream, log_format="json", level="debug")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
