"""The pytest plugin: fixtures for tests of controllers; ``docs/testing.md`` shows each with an example.

pytest loads it wherever kcontroller is installed. So it imports nothing but pytest: what a fixture needs is imported
when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from kcontroller.embedded.faults import Faults
    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.testing.clock import VirtualClock
    from kcontroller.testing.control_plane import ControlPlane
    from kcontroller.testing.managers import Managers, ServerClient

_PASSED: Final = pytest.StashKey[bool]()

NO_REAL_SERVERS: Final = (
    "they need the real kube-apiserver and etcd; `bin/envtest build` (python -m kcontroller.testing.envtest build) "
    "adds them, or KUBEBUILDER_ASSETS names them"
)
"""The reason for which tests that use real servers are skipped."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line(
        "markers", "embedded(**options): options of EmbeddedServer for the fixture api_server, such as milo=Milo(...)"
    )


@pytest.fixture
def api_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """An embedded API server of the test's own, ready in 6 ms; ``@pytest.mark.embedded(...)`` gives it options.

    The test fails if something went wrong inside of the server.
    """
    _begin_leak_check(request)
    with _server_class()(**_options(request.node.get_closest_marker("embedded"))) as server:
        yield server
    assert not server.failures, f"the embedded server failed: {server.failures!r}"  # noqa: S101 - a test's


def _server_class() -> type[EmbeddedServer]:
    try:
        from kcontroller.testing import EmbeddedServer  # noqa: PLC0415 - see the module
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kcontroller"):
            raise
        missing = str(error)
    else:
        return EmbeddedServer
    pytest.fail(missing, pytrace=False)  # Outside of the except clause, whose traceback would be shown with it.


def _options(marker: pytest.Mark | None) -> dict[str, Any]:
    if marker is None:
        return {}
    if marker.args:
        pytest.fail(f"the mark embedded takes options by name, not {marker.args!r}", pytrace=False)
    return dict(marker.kwargs)


def _begin_leak_check(request: pytest.FixtureRequest) -> None:
    """Begin before anything is there to be looked for, and so look when it has been cleaned up."""
    if "no_leaks" in request.fixturenames:
        request.getfixturevalue("no_leaks")


@pytest.fixture
def client(api_server: EmbeddedServer) -> Iterator[ServerClient]:
    """A `Client` straight to the embedded server; ``client(cluster="p1")`` is that of a project."""
    from kcontroller.testing.managers import ServerClient  # noqa: PLC0415

    made = ServerClient(api_server)
    yield made
    made.close()


@pytest.fixture
def faults(api_server: EmbeddedServer) -> Faults:
    """Rules for what goes wrong on the embedded server, such as ``Rule(Refuse(409), verbs={"update"}, times=2)``."""
    return api_server.faults


@pytest.fixture
def install_crds(api_server: EmbeddedServer) -> Callable[..., tuple[str, ...]]:
    """Install CustomResourceDefinitions and wait until they are served: files, folders, documents, `Resource` classes.

    ``install_crds(source, server=control_plane.servers[0])`` installs them on another server.
    """
    from kcontroller.testing import crds  # noqa: PLC0415

    def install(*sources: Any, server: crds.Asks | None = None, within: float = 10.0) -> tuple[str, ...]:
        __tracebackhide__ = True
        return crds.install_crds(server or api_server, *sources, within=within)

    return install


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that a test moves; the fixtures ``manager`` and ``eventually`` go by it where a test uses it."""
    from kcontroller.testing.clock import VirtualClock  # noqa: PLC0415

    return VirtualClock()


@pytest.fixture
def manager(api_server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Managers]:
    """Start managers on the embedded server: ``manager(WidgetReconciler())``; they are stopped when the test is over.

    The test fails if one of their threads did, if reconciles did not end, or if a reconcile raised what is no error of
    the API or of kcontroller's own (``allow=`` lets it).
    """
    from kcontroller.process.clock import SYSTEM_CLOCK  # noqa: PLC0415
    from kcontroller.testing.managers import Managers  # noqa: PLC0415

    clock = request.getfixturevalue("clock") if "clock" in request.fixturenames else SYSTEM_CLOCK
    with Managers(api_server, clock=clock) as made:
        yield made


@pytest.fixture
def eventually(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Wait until a function returns something true, or raises no more; five seconds unless ``within`` says otherwise.

    Where the test uses ``clock`` the seconds are its, and it jumps.
    """
    from functools import partial  # noqa: PLC0415

    from kcontroller.testing.polling import eventually  # noqa: PLC0415

    if "clock" not in request.fixturenames:
        return eventually
    return partial(eventually, clock=request.getfixturevalue("clock"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test passed, for its fixtures."""
    report = yield
    item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if it leaves threads (``kc-...``) or descriptors behind: ``usefixtures("no_leaks")``.

    What a test leaves that failed anyway is not looked for: its traceback holds what it was working with.
    """
    from kcontroller.testing.leaks import LeakCheck  # noqa: PLC0415

    check = LeakCheck().__enter__()
    yield
    if request.node.stash.get(_PASSED, False):
        check.check()


def _require_real_servers() -> None:
    from kcontroller.testing import binaries  # noqa: PLC0415

    if binaries.find() is None:
        pytest.skip(NO_REAL_SERVERS)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Two real API servers for the whole run; a test cleans up after itself and leaves them running.

    Skipped with the reason where they are not on the machine.
    """
    _require_real_servers()
    from kcontroller.testing.control_plane import ControlPlane  # noqa: PLC0415

    with ControlPlane(2) as plane:
        yield plane


@pytest.fixture
def fresh_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """One real API server for a test that kills, pauses or restarts it; costs three seconds."""
    _begin_leak_check(request)
    _require_real_servers()
    from kcontroller.testing.control_plane import ControlPlane  # noqa: PLC0415

    with ControlPlane() as plane:
        yield plane
