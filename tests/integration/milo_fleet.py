"""Milo's projects on real kube-apiservers behind a `MiloRouter`, and a controller that notes what it sees of them."""

from __future__ import annotations

import base64
import os
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import yaml

import kcontroller
from kcontroller import Manager, ManagerOptions, Reconciler, load_config
from kcontroller.controller import predicates
from kcontroller.errors import Stopped
from kcontroller.multicluster.providers.milo import MiloProvider
from tests.integration.conftest import OPTIONS, config_map
from tests.integration.projects import CONFIG_MAP, SECOND, is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Request, Result
    from kcontroller.testing import ControlPlane, MiloRouter
    from kcontroller.testing.control_plane import ApiServer
    from kcontroller.transport.config import Config

PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEFINITIONS = Path(kcontroller.__file__).with_name("embedded") / "data" / "milo.yaml"
STREAMS = "sendInitialEvents=true"
"""What informers ask for where a server can send a first list in a watch."""


def start_all(plane: ControlPlane) -> None:
    """Start the servers that a test before has left dead."""
    for number in range(len(plane.servers)):
        if not plane.process(number).running:
            plane.start(number)


class Change(NamedTuple):
    """When a change was asked for, and when the server had answered."""

    began: float
    answered: float


class Follower(Reconciler):
    """Notes what it is asked about and when; a value of ``write`` makes it write, and note how that ended."""

    name: ClassVar[str] = "follower"

    def __init__(self, label: str) -> None:
        self._label = label
        self._changed = threading.Condition()
        self._seen: list[tuple[float, str, str, str]] = []
        self.writes: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP, predicates=[predicates.selector({"test": self._label})])
        builder.options(max_concurrent_reconciles=4)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        value = "" if found is None else found["data"]["n"]
        with self._changed:
            self._seen.append((time.monotonic(), request.cluster, request.name, value))
            self._changed.notify_all()
        if found is not None and value == "write" and request.name == request.cluster:
            self._write(ctx, found)
        return None

    def _write(self, ctx: Context, found: Any) -> None:
        self.writes.append("begun")
        found["data"]["written"] = "yes"
        try:
            ctx.client.patch(found)
        except Stopped:
            self.writes.append("stopped")
            raise
        self.writes.append("done")

    def first(self, project: str, *, since: float, value: str | None = None, within: float = 20.0) -> float:
        """Wait for a reconcile of a project's own ConfigMap; returns when it was."""

        def found() -> float | None:
            return next((seen[0] for seen in self._seen if self._is(seen, project, since, value)), None)

        with self._changed:
            at = self._changed.wait_for(found, within)
            assert at is not None, f"no reconcile of {project} within {within:g} s"
            return at

    def count(self, project: str, *, since: float) -> int:
        with self._changed:
            return sum(seen[0] >= since and seen[1] == project for seen in self._seen)

    @staticmethod
    def _is(seen: tuple[float, str, str, str], project: str, since: float, value: str | None) -> bool:
        at, cluster, name, what = seen
        return cluster == name == project and at >= since and value in {None, what}


class Fleet:
    """Projects on the servers, each with a ConfigMap of its own name in ``default``."""

    def __init__(self, plane: ControlPlane, router: MiloRouter) -> None:
        self.plane = plane
        self.router = router
        self.label = uuid.uuid4().hex[:8]
        self._servers: dict[str, ApiServer] = {}

    @property
    def config(self) -> Any:
        return self.router.config(load_config(kubeconfig=str(self.plane.kubeconfig)))

    def make(self, name: str, server: int = 1, *, ready: bool = True, organization: str = "example") -> str:
        """Make a project and its ConfigMap; returns its name, which is no other test's."""
        project = f"{name}-{self.label}"
        self._servers[project] = self.plane.servers[server]
        self.router.assign(project, self.plane.servers[server])
        body = config_map("default", project, n="0")
        body["metadata"]["labels"] = {"test": self.label}
        assert self._servers[project].request("POST", CONFIG_MAPS, body)[0] == 201
        self.create(project, organization=organization)
        if ready:
            self.set_ready(project, "True")
        return project

    def create(self, project: str, *, organization: str = "example") -> None:
        labels = {"test": self.label, "resourcemanager.miloapis.com/organization-name": organization}
        body = {
            "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
            "kind": "Project",
            "metadata": {"name": project, "labels": labels},
            "spec": {"ownerRef": {"kind": "Organization", "name": organization}},
        }
        assert self._root("POST", PROJECTS, body)["metadata"]["uid"]

    def set_ready(self, project: str, status: str) -> Change:
        document = self._root("GET", f"{PROJECTS}/{project}")
        moment = "2026-01-01T00:00:00Z"
        condition = {"type": "Ready", "status": status, "reason": "Test", "message": "", "lastTransitionTime": moment}
        document["status"] = {"conditions": [condition]}
        return self._timed("PUT", f"{PROJECTS}/{project}/status", document)

    def edit(self, project: str, **metadata: Any) -> Change:
        """Change labels or finalizers of a Project."""
        document = self._root("GET", f"{PROJECTS}/{project}")
        document["metadata"].update(metadata)
        return self._timed("PUT", f"{PROJECTS}/{project}", document)

    def delete(self, project: str) -> Change:
        return self._timed("DELETE", f"{PROJECTS}/{project}")

    def change(self, project: str, value: str) -> Change:
        """Change the project's ConfigMap, on its server, past the router."""
        server = self._servers[project]
        body = config_map("default", project, n=value)
        body["metadata"]["labels"] = {"test": self.label}
        began = time.monotonic()
        assert server.request("PUT", f"{CONFIG_MAPS}/{project}", body)[0] == 200
        return Change(began, time.monotonic())

    def remove_projects(self) -> None:
        for project in self._servers:
            self.plane.servers[0].request("DELETE", f"{PROJECTS}/{project}")

    def _timed(self, method: str, path: str, body: object = None) -> Change:
        began = time.monotonic()
        self._root(method, path, body)
        return Change(began, time.monotonic())

    def _root(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.plane.servers[0].request(method, path, body)
        assert status in {200, 201}, answer
        return answer


def kubeconfig(fleet: Fleet, path: Path) -> Path:
    """How the process reaches the router, with the one token of all servers."""
    authority = base64.b64encode(fleet.router.ca_pem.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "milo", "cluster": {"server": fleet.router.url, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "admin", "user": {"token": fleet.plane.servers[0].token}}],
        "contexts": [{"name": "milo", "context": {"cluster": "milo", "user": "admin"}}],
        "current-context": "milo",
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump(document, file)
    return path


class Times:
    """What took how long, to be shown and to be held to a bound."""

    def __init__(self, follower: Follower, manager: Manager, eventually: Callable[..., Any]) -> None:
        self._follower = follower
        self._manager = manager
        self._eventually = eventually

    def reconciled(self, what: str, project: str, change: Change, *, value: str | None = None) -> None:
        """It was reconciled within a second of the answer."""
        at = self._follower.first(project, since=change.began, value=value)
        self._note(what, at - change.answered)

    def disengaged(self, what: str, project: str, change: Change) -> None:
        """It was gone within a second of the answer."""
        self._eventually(lambda: is_gone(self._manager, project))
        self._note(what, time.monotonic() - change.answered)

    @staticmethod
    def _note(what: str, seconds: float) -> None:
        print(f"\n{what}: {max(seconds, 0.0) * 1000:.0f} ms", end="")  # noqa: T201 - the figures are wanted
        assert seconds < SECOND, what


def make_change_and_delete(fleet: Fleet, times: Times, name: str, server: int) -> None:
    """The life of a project, each step within a second."""
    project = fleet.make(name, server, ready=False)
    times.reconciled(f"{name} engaged", project, fleet.set_ready(project, "True"))
    times.reconciled(f"{name} changed", project, fleet.change(project, "1"), value="1")
    times.disengaged(f"{name} not ready", project, fleet.set_ready(project, "False"))
    times.reconciled(f"{name} ready", project, fleet.set_ready(project, "True"))
    times.disengaged(f"{name} deleted", project, fleet.delete(project))


def state_of(manager: Manager, project: str) -> str:
    return next((each.state.value for each in manager.clusters.states() if each.name == project), "gone")


def ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("kc-")}


@contextmanager
def running(
    fleet: Fleet, *reconcilers: Reconciler, seconds: float = 2.0, hub: Config | None = None, **options: Any
) -> Iterator[Manager]:
    """A manager on the fleet's projects, which ends in time and leaves no thread, whatever hangs."""
    before = ours()
    provider = MiloProvider(selector=f"test={fleet.label}", **options)
    manager = Manager(hub or fleet.config, provider=provider, options=ManagerOptions(**OPTIONS))
    manager.add(*reconcilers)
    manager.start()
    try:
        yield manager
    finally:
        began = time.monotonic()
        manager.stop(grace=1.0)
        took = time.monotonic() - began
        left = ours() - before
    print(f"\nstop: {took * 1000:.0f} ms")  # noqa: T201
    assert took < seconds
    assert not left
