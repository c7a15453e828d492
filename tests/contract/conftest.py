"""The two servers that cases are sent to, and the count at the end of the run."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.testing.binaries import KUBERNETES_VERSION
from kcontroller.testing.control_plane import ControlPlane
from tests.contract.cases import PARTS
from tests.contract.dialogue import transcript
from tests.contract.recorded_answers import RecordedAnswers
from tests.contract.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.testing.control_plane import ApiServer
    from tests.contract.cases import Case
    from tests.contract.dialogue import Transcript

USERS = ("admin", "nobody")
AT_A_TIME = 16
WINDOW = 100


@pytest.fixture(scope="session")
def recorded() -> Iterator[RecordedAnswers]:
    answers = RecordedAnswers()
    yield answers
    if answers.rewriting:
        answers.write()


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Callable[[Case], Transcript]:
    """Hold the dialogues of this run with a real API server, some at a time; give what came of one.

    kube-apiserver keeps the first object of a new CRD waiting for two seconds.
    """
    target = _target(control_plane.servers[1])  # Other tests fill the first.
    own = Path(__file__).parent
    asking: list[Any] = [
        item for item in request.session.items if item.path.parent == own and "real" in item.fixturenames
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        held = {
            case: pool.submit(transcript, case, target) for case in (item.callspec.params["case"] for item in asking)
        }
    # All have ended here: a test that runs beside them would seem to leave their sockets behind.
    return lambda case: held[case].result()


@pytest.fixture(scope="session")
def forgetful(control_plane: ControlPlane) -> Iterator[Target]:
    """A real API server of its own that forgets old versions after some ten seconds."""
    with ControlPlane(1, arguments=("--etcd-compaction-interval=1s",)) as plane:
        yield _target(plane.servers[0])


def _target(server: ApiServer) -> Target:
    _status, version = server.request("GET", "/version")
    if version["gitVersion"] != f"v{KUBERNETES_VERSION}":
        pytest.skip(f"the answers are recorded from kube-apiserver {KUBERNETES_VERSION}, not {version['gitVersion']}")
    return Target(server.url, server.ca_pem, {user: server.user_token(user) for user in USERS})


@pytest.fixture(scope="session")
def embedded() -> Iterator[Target]:
    from kcontroller.embedded.server import EmbeddedServer  # noqa: PLC0415 - recording needs none

    with EmbeddedServer(controllers=False, anonymous=True, window=WINDOW) as server:
        yield Target(server.url, server.ca_pem, {user: server.user_token(user) for user in USERS})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "contract"
    ]
    if not counts:
        return
    cases = Counter(part for part, _open, _known in counts)
    open_ = Counter[str]()
    documented = Counter[str]()
    for part, differing, listed in counts:
        open_[part] += differing
        documented[part] += listed
    terminalreporter.section("contract")
    for part in PARTS:
        if cases[part]:
            terminalreporter.write_line(f"{part}: {_said(cases[part], open_[part], documented[part])}")
    terminalreporter.write_line(_said(cases.total(), open_.total(), documented.total()))


def _said(cases: int, differences: int, documented: int) -> str:
    more = f" ({documented} documented)" if documented else ""
    return f"{cases} cases, {differences} differences{more}"
