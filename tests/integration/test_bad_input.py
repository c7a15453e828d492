"""Everyday mistakes with ``kcontroller run``: one line each, that names the thing and the remedy, and work goes on.

What never gets as far as a server is in ``tests/unit/cli``; what only the real server shows in `test_run_on_server`.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kcontroller.embedded.loops.projects import definitions
from kcontroller.testing import Hang, Milo, Refuse, Rule
from tests.integration.conftest import config_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kcontroller.testing import EmbeddedServer
    from tests.integration.daemons import Daemon, Daemons

    Eventually = Callable[..., object]

PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/kcontroller"
FLEET = Milo(projects=("project-1", "project-2", "project-3"), cold_storage=False)
SEES = """
from kcontroller import Object, ObjectReconciler

class Sees(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def reconcile_object(self, ctx, obj):
        ctx.log.info("saw it")
"""


@pytest.fixture
def sees(tmp_path: Path) -> Path:
    """A plugin that says of each ConfigMap that it saw it."""
    path = tmp_path / "sees.py"
    path.write_text(SEES, encoding="utf-8")
    return path


@pytest.fixture
def kubeconfig(api_server: EmbeddedServer, tmp_path: Path) -> Path:
    return api_server.write_kubeconfig(tmp_path / "kubeconfig")


def create(server: EmbeddedServer, name: str, *, project: str = "") -> None:
    plane = f"{PROJECTS}/{project}/control-plane" if project else ""
    status, answer = server.request(
        "POST", f"{plane}/api/v1/namespaces/default/configmaps", config_map("default", name)
    )
    assert status == 201, answer


def saw(daemon: Daemon, name: str, *, project: str = "") -> bool:
    cluster = f".*cluster={project}\\b" if project else ""
    return daemon.says(rf"saw it {cluster}.*name={name}\b") or daemon.says(rf"saw it .*name={name}\b{cluster}")


# ---- one cluster -----------------------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_told_once_and_it_is_not_ready(
    run: Daemons, sees: Path, tmp_path: Path, eventually: Eventually
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # It does not listen.
        url = f"https://127.0.0.1:{nobody.getsockname()[1]}"
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(pointing_to(url)))
        kubeconfig.chmod(0o600)
        daemon = run(sees, "--kubeconfig", kubeconfig, health=True)
        eventually(lambda: daemon.says(f"cannot connect to {url}: connection refused.*; trying again"))
        assert daemon.ask("/readyz")[0] == 500
        assert daemon.stop() == 0
    assert len(daemon.troubles()) == 1


def pointing_to(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}],
        "clusters": [{"name": "dev", "cluster": {"server": url}}],
        "users": [{"name": "dev", "user": {"token": "canary-8d2f41"}}],
    }


def test_a_service_of_our_own_name_is_no_trouble(
    run: Daemons, sees: Path, kubeconfig: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes tells every pod beside a Service named kcontroller of it, in variables that look like ours."""
    for name, value in {
        "KCONTROLLER_PORT": "tcp://10.0.0.1:8080",
        "KCONTROLLER_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "KCONTROLLER_PORT_8080_TCP_ADDR": "10.0.0.1",
        "KCONTROLLER_PORT_8080_TCP_PORT": "8080",
        "KCONTROLLER_PORT_8080_TCP_PROTO": "tcp",
        "KCONTROLLER_SERVICE_HOST": "10.0.0.1",
        "KCONTROLLER_SERVICE_PORT": "8080",
    }.items():
        monkeypatch.setenv(name, value)
    daemon = run(sees, "--kubeconfig", kubeconfig)
    eventually(lambda: daemon.says("synced; reconciling"))
    assert daemon.stop() == 0
    assert not daemon.troubles()


# ---- a fleet ---------------------------------------------------------------------------------------------------------


def test_an_api_without_projects_is_told_and_found_when_it_has_some(
    run: Daemons, api_server: EmbeddedServer, sees: Path, kubeconfig: Path, eventually: Eventually
) -> None:
    daemon = run(sees, "--kubeconfig", kubeconfig, "--provider", "milo", health=True)
    eventually(
        lambda: daemon.says(
            r"the server does not serve resourcemanager\.miloapis\.com/v1alpha1 Project; "
            "it will be picked up when its CustomResourceDefinition is installed; trying again"
        )
    )
    assert daemon.ask("/readyz")[0] == 500
    for definition in definitions():
        assert api_server.request("POST", DEFINITIONS, definition)[0] == 201
    eventually(lambda: daemon.ask("/readyz")[0] == 200)
    assert daemon.stop() == 0
    assert len(daemon.troubles()) == 1


@pytest.mark.embedded(milo=FLEET)
def test_who_may_not_list_projects_is_told_which_right_is_missing(
    run: Daemons, api_server: EmbeddedServer, sees: Path, tmp_path: Path, eventually: Eventually
) -> None:
    kubeconfig = api_server.write_kubeconfig(tmp_path / "nobody", user="nobody")
    daemon = run(sees, "--kubeconfig", kubeconfig, "--provider", "milo", health=True)
    eventually(lambda: bool(daemon.troubles()))
    (line,) = daemon.troubles()
    assert "projects.resourcemanager.miloapis.com: 403 Forbidden" in line
    assert 'User "nobody" cannot' in line
    assert "grant this user the verbs get, list and watch on projects.resourcemanager.miloapis.com" in line
    assert daemon.ask("/readyz")[0] == 500
    assert daemon.stop() == 0


@pytest.mark.embedded(milo=FLEET)
@pytest.mark.parametrize("code", [403, 500])
def test_a_project_that_refuses_is_told_once_by_its_name_and_holds_up_nobody(
    code: int, run: Daemons, api_server: EmbeddedServer, sees: Path, kubeconfig: Path, eventually: Eventually
) -> None:
    for project in FLEET.projects:
        create(api_server, "first", project=project)
    with api_server.faults(Rule(Refuse(code), plane="project-2")) as rule:
        daemon = run(sees, "--kubeconfig", kubeconfig, "--provider", "milo", health=True)
        for project in ("project-1", "project-3"):
            eventually(lambda project=project: saw(daemon, "first", project=project))  # type: ignore[misc]
        eventually(lambda: rule.hits > 1)
        (line,) = daemon.troubles()
        assert re.search(rf"configmaps: {code} .*cluster=project-2", line), line
        create(api_server, "second", project="project-1")
        eventually(lambda: saw(daemon, "second", project="project-1"))
    eventually(lambda: saw(daemon, "first", project="project-2"), within=20)
    assert daemon.stop() == 0
    assert daemon.troubles() == [line]


@pytest.mark.embedded(milo=FLEET)
def test_a_project_that_hangs_holds_up_neither_the_others_nor_the_end(
    run: Daemons, api_server: EmbeddedServer, sees: Path, kubeconfig: Path, eventually: Eventually
) -> None:
    with api_server.faults(Rule(Hang(), plane="project-2")) as rule:
        daemon = run(sees, "--kubeconfig", kubeconfig, "--provider", "milo", health=True)
        eventually(lambda: rule.hits > 0)
        for project in ("project-1", "project-3"):
            create(api_server, "first", project=project)
            eventually(lambda project=project: saw(daemon, "first", project=project))  # type: ignore[misc]
        assert "project-2" in daemon.ask("/readyz?verbose")[1]
        assert daemon.stop() == 0
    assert daemon.text.rstrip().endswith("stopped")


# ---- leader election -------------------------------------------------------------------------------------------------


def test_a_lease_whose_namespace_is_missing_is_told_once_and_the_replica_stands_by(
    run: Daemons, api_server: EmbeddedServer, sees: Path, kubeconfig: Path, eventually: Eventually
) -> None:
    daemon = run(
        *(sees, "--kubeconfig", kubeconfig, "--leader-elect", "--leader-election-namespace", "leases"),
        *("--leader-election-retry-period", "200ms"),
        health=True,
    )
    eventually(lambda: bool(daemon.troubles()))
    (line,) = daemon.troubles()
    assert "create leases.coordination.k8s.io: 404 NotFound" in line
    assert "create namespace leases, or name another one" in line
    eventually(lambda: daemon.ask("/readyz")[0] == 200)  # Its caches are full: it could take over.
    assert daemon.ask("/healthz")[0] == 200
    create(api_server, "first")
    assert api_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "leases"}})[0] == 201
    eventually(lambda: saw(daemon, "first"))
    assert daemon.stop() == 0
    assert daemon.troubles() == [line]
    assert not api_server.request("GET", LEASES.format("leases"))[1]["spec"].get("holderIdentity")


def test_who_may_not_have_the_lease_is_told_which_right_is_missing(
    run: Daemons, api_server: EmbeddedServer, sees: Path, kubeconfig: Path, eventually: Eventually
) -> None:
    with api_server.faults(Rule(Refuse(403), resource="leases.coordination.k8s.io")) as rule:
        daemon = run(
            *(sees, "--kubeconfig", kubeconfig, "--leader-elect", "--leader-election-retry-period", "100ms"),
            health=True,
        )
        eventually(lambda: rule.hits > 2)
        (line,) = daemon.troubles()
        assert "get leases.coordination.k8s.io: 403 Forbidden" in line
        assert "grant get, create and update on leases.coordination.k8s.io in namespace default" in line
        eventually(lambda: daemon.ask("/readyz")[0] == 200)
        create(api_server, "first")
    eventually(lambda: saw(daemon, "first"))
    assert daemon.stop() == 0
    assert daemon.troubles() == [line]


def test_a_lost_lease_is_one_error_and_exit_code_1(
    run: Daemons, api_server: EmbeddedServer, sees: Path, kubeconfig: Path, eventually: Eventually
) -> None:
    daemon = run(
        *(sees, "--kubeconfig", kubeconfig, "--leader-elect", "--leader-election-lease-duration", "2s"),
        *("--leader-election-renew-deadline", "1s", "--leader-election-retry-period", "200ms"),
    )
    create(api_server, "first")
    eventually(lambda: saw(daemon, "first"))
    with api_server.faults(Rule(Refuse(500), resource="leases.coordination.k8s.io")):
        assert daemon.process.wait(10) == 1
    lost = [line for line in daemon.text.splitlines() if "leader election lost: " in line]
    assert len(lost) == 1
    assert " ERROR " in lost[0]


# ---- what never runs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--provider", "mylo"], r"Error: .*'mylo'.*milo"),
        (["--provider", "milo", "--provider-option", "selektor=a"], r"Error: .*'selektor'.*selector"),
        (["--provider", "milo", "--provider-option", "selector=a in b"], r"Error: .*selector.*'?a in b'?"),
        (["--provider", "milo", "--provider-option", "project-kubeconfig=/no/such"], r"Error: .*/no/such"),
        (["--leader-elect", "--leader-election-lease-duration", "5s"], "Error: --leader-election-lease-duration"),
        (
            ["--leader-elect", "--leader-election-kubeconfig", "/no/such"],
            "Error: --leader-election-kubeconfig: .*/no/such",
        ),
    ],
)
def test_what_cannot_run_is_one_line_and_2(arguments: list[str], said: str, sees: Path, kubeconfig: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "kcontroller",
            "run",
            sees,
            "--kubeconfig",
            kubeconfig,
            "--log-level",
            "error",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(f"{said}.*\n", done.stderr), done.stderr
