"""What every test may use, and what is held against every test."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from kcontroller.testing import binaries
from kcontroller.testing.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDS_REAL = "they need the real kube-apiserver and etcd; `bin/envtest build` adds them"
RUNS_LONG = "they run for minutes; `bin/test --all` adds them"

# A deadline per example measures the machine's neighbours.
settings.register_profile("kcontroller", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None)
settings.load_profile("kcontroller")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked long")


@pytest.hookimpl(tryfirst=True)  # Before -m selects by the marker.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if {"control_plane", "fresh_control_plane"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("real")
        if item.get_closest_marker("long") and not config.getoption("--all"):
            item.add_marker(pytest.mark.skip(reason=RUNS_LONG))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"left out: {count} {'test' if count == 1 else 'tests'}: {reason}")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves one of our threads behind; two seconds are theirs to end."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2.0
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("kc-") and thread not in before]
    for thread in ours:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in ours if thread.is_alive()]
    assert not left, f"threads left behind: {', '.join(left)}"


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition holds, ten seconds at most: for what other processes do."""

    def wait(condition: Callable[[], bool]) -> None:
        pause = threading.Event()
        deadline = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 10 s"
            pause.wait(0.01)

    return wait


def _require_real_servers() -> None:
    if binaries.find() is None:
        pytest.skip(NEEDS_REAL)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Two real API servers for the whole run; a test cleans up after itself and leaves them running."""
    _require_real_servers()
    with ControlPlane(2) as plane:
        yield plane


@pytest.fixture
def fresh_control_plane() -> Iterator[ControlPlane]:
    """One real API server for a test that kills, pauses or restarts it; costs three seconds."""
    _require_real_servers()
    with ControlPlane() as plane:
        yield plane
