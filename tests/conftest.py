"""What every test may use, and what is held against every test."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from kcontroller.testing.leaks import LeakCheck
from tests.integration.projects import Projects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.testing import ServerClient

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
def nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves one of our threads or a descriptor behind; two seconds are theirs to end."""
    with LeakCheck():
        yield


@pytest.fixture
def eventually(eventually: Callable[..., Any]) -> Callable[..., Any]:
    """Wait ten seconds instead of five: for what other processes do on a busy machine."""
    return partial(eventually, within=10.0)


@pytest.fixture
def projects(client: ServerClient) -> Projects:
    """The projects of the embedded server, where that is Milo."""
    return Projects(client)
