"""Row 13 of the feature table: control planes at hosts of their own, with names, trust and credentials of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.multicluster import State
from kcontroller.multicluster.providers.milo import Internal, MiloProvider, control_plane_path
from kcontroller.testing import HostFront, Milo
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import TLSConfig
from kcontroller.transport.credentials import StaticCredentials, bearer
from tests.integration.projects import Projects, Watching, host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller import Manager
    from kcontroller.testing import EmbeddedServer, Managers

TWO = ("p1", "p2")
USERS = dict.fromkeys(("admin", "robot", "r1", "r2"), ("system:masters",))

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.embedded(milo=Milo(projects=(*TWO, "a.b"), cold_storage=False), users=USERS),
]


@pytest.fixture
def front(api_server: EmbeddedServer) -> Iterator[HostFront]:
    with HostFront(api_server, {host(name): control_plane_path(name) for name in (*TWO, "a.b")}) as made:
        yield made


Watch = "Callable[..., Manager]"


@pytest.fixture
def watch(api_server: EmbeddedServer, front: HostFront, manager: Managers, projects: Projects) -> Watch:
    """Start a manager on the control planes behind the front; keywords change the mode."""

    def start(reconciler: Watching | None = None, **changes: Any) -> Manager:
        given: dict[str, Any] = {
            "credentials": StaticCredentials(bearer(api_server.user_token("robot"), what="token")),
            "tls": TLSConfig(ca=front.ca_pem.encode()),
            "resolve": f"127.0.0.1:{front.port}",
            **changes,
        }
        provider = MiloProvider(Internal(**given))
        return projects.watch(manager, reconciler or Watching(), provider=provider, ready=False)

    return start


def test_row_13_a_control_plane_that_becomes_ready_is_reached_at_its_templated_host(
    api_server: EmbeddedServer, front: HostFront, watch: Callable[..., Manager], projects: Projects
) -> None:
    projects.put("p1", "there")
    watching = Watching()
    running = watch(watching)
    eventually(lambda: running.wait_ready(0.1))
    assert running.clusters.states() == ()  # Their Projects are ready, and that is not what counts here.

    mark = api_server.requests.mark()
    projects.plane_ready("p1")
    watching.wait_for("p1:default/there")
    eventually(lambda: projects.is_engaged("p1"))
    assert running.cluster("p1").config.server == f"https://{host('p1')}:6443"
    assert {each.user for each in api_server.requests.where(plane="p1", since=mark)} == {"robot"}
    assert front.asked(host("p1"))
    assert front.asked(host("p2")) == []

    projects.plane_ready("p1", "False")
    eventually(lambda: projects.is_away("p1"))


def test_row_13_each_control_plane_may_be_shown_a_token_and_prove_a_name_of_its_own(
    api_server: EmbeddedServer, watch: Callable[..., Manager], projects: Projects, tmp_path: Path
) -> None:
    paths = {f"{name}.example.test": control_plane_path(name) for name in TWO}
    with HostFront(api_server, paths, certified=[host(name) for name in TWO]) as front:
        for name, user in (("p1", "r1"), ("p2", "r2")):
            (tmp_path / f"{name}.token").write_text(api_server.user_token(user))
        (tmp_path / "ca.crt").write_text(front.ca_pem)
        mark = api_server.requests.mark()
        running = watch(
            credentials=None,
            token_file=f"{tmp_path}/{{name}}.token",
            tls=None,
            ca_file=f"{tmp_path}/ca.crt",
            endpoint="https://{name}.example.test",
            server_name="milo-apiserver.project-{name}.svc.cluster.local",
            resolve=f"127.0.0.1:{front.port}",
        )
        for name in TWO:
            projects.plane_ready(name)
        eventually(lambda: all(map(projects.is_engaged, TWO)))
        for name, user in (("p1", "r1"), ("p2", "r2")):
            assert {each.user for each in api_server.requests.where(plane=name, since=mark)} == {user}
        running.stop()


def test_row_13_a_host_that_cannot_prove_its_name_is_told_nothing(
    api_server: EmbeddedServer, watch: Callable[..., Manager], projects: Projects
) -> None:
    paths = {host(name): control_plane_path(name) for name in TWO}
    with HostFront(api_server, paths, certified=[host("p1")]) as half:
        running = watch(tls=TLSConfig(ca=half.ca_pem.encode()), resolve=f"127.0.0.1:{half.port}")
        for name in TWO:
            projects.plane_ready(name)
        eventually(lambda: projects.is_engaged("p1"))
        eventually(lambda: running.cluster("p2").troubles())

        (trouble,) = running.cluster("p2").troubles().values()
        assert f'is not valid for "{host("p2")}"' in trouble
        assert half.asked(host("p2")) == []
        assert not projects.is_engaged("p2")
        running.stop()


def test_row_13_a_name_that_would_be_another_host_is_left_out(
    front: HostFront, watch: Callable[..., Manager], projects: Projects, caplog: pytest.LogCaptureFixture
) -> None:
    running = watch()
    for name in ("a.b", "p1"):
        projects.plane_ready(name)
    eventually(lambda: projects.is_engaged("p1"))

    assert {each.name: each.state for each in running.clusters.states()} == {"a.b": State.REFUSED, "p1": State.ENGAGED}
    assert front.asked(host("a.b")) == []
    assert "a ProjectControlPlane is left out: its name cannot stand in a host: 'a.b'" in caplog.text


def test_row_13_a_token_that_is_not_there_yet_is_waited_for(
    api_server: EmbeddedServer, watch: Callable[..., Manager], projects: Projects, tmp_path: Path
) -> None:
    running = watch(credentials=None, token_file=f"{tmp_path}/{{name}}.token")
    (tmp_path / "p1.token").write_text(api_server.user_token("r1"))
    for name in TWO:
        projects.plane_ready(name)
    eventually(lambda: projects.is_engaged("p1"))
    eventually(lambda: running.cluster("p2").troubles())
    assert f"provider milo: token-file: cannot read {tmp_path}/p2.token" in str(running.cluster("p2").troubles())

    (tmp_path / "p2.token").write_text(api_server.user_token("r2"))
    eventually(lambda: projects.is_engaged("p2"), within=15.0)
