"""Projects of an embedded Milo server as tests change them, and a Reconciler that notes what it sees of them."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from kcontroller import Key, Object, Reconciler
from kcontroller.errors import ClusterNotFound
from kcontroller.multicluster import State
from kcontroller.multicluster.providers.milo import MiloProvider
from tests.integration.conftest import config_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Builder, Context, Manager, Request
    from kcontroller.cluster import Cluster
    from kcontroller.multicluster import Provider
    from kcontroller.testing import Managers, ServerClient

PROJECT = "resourcemanager.miloapis.com/v1alpha1 Project"
CONTROL_PLANE = "infrastructure.miloapis.com/v1alpha1 ProjectControlPlane"
CONFIG_MAP = "v1 ConfigMap"
SECOND = 1.0


class Watching(Reconciler):
    """Notes which config maps of which projects it is asked for."""

    name = "watching"

    def __init__(self, act: Callable[[Context], None] = lambda _ctx: None) -> None:
        self._act = act
        self._changed = threading.Condition()
        self.seen: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=2)

    def reconcile(self, ctx: Context, request: Request) -> None:
        with self._changed:
            self.seen.append(str(request))
            self._changed.notify_all()
        self._act(ctx)

    def wait_for(self, *requests: str, since: int = 0, within: float = SECOND) -> None:
        """Wait until it was asked for all of these."""
        with self._changed:
            assert self._changed.wait_for(lambda: {*requests} <= {*self.seen[since:]}, within), self.seen[since:]

    @property
    def mark(self) -> int:
        return len(self.seen)


class Hooked:
    """A listener that notes what it is told, in order.

    Args:
        act: what else it does, with the name of the hook and of the cluster.

    Attributes:
        log: hook, name and uid.
        clusters: those that have been engaged and are still in memory.
    """

    def __init__(self, act: Callable[[str, str], None] = lambda _hook, _name: None) -> None:
        self._act = act
        self._lock = threading.Lock()
        self.log: list[tuple[str, str, str]] = []
        self.clusters: weakref.WeakSet[Cluster] = weakref.WeakSet()

    def _note(self, hook: str, name: str, uid: str) -> None:
        with self._lock:
            self.log.append((hook, name, uid))
        self._act(hook, name)

    def on_engaged(self, cluster: Cluster) -> None:
        self.clusters.add(cluster)
        self._note("engaged", cluster.name, cluster.uid)

    def on_draining(self, cluster: Cluster, why: str) -> None:
        assert why
        self._note("draining", cluster.name, cluster.uid)

    def on_gone(self, name: str, uid: str) -> None:
        self._note("gone", name, uid)

    def of(self, name: str) -> list[tuple[str, str]]:
        """What it was told of one cluster: hook and uid."""
        with self._lock:
            return [(hook, uid) for hook, named, uid in self.log if named == name]


class Projects:
    """Changes Projects and what is in them, and looks at what the manager makes of it."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self.manager: Manager | None = None

    def watch(
        self, managers: Managers, reconciler: Reconciler, *, provider: Provider | None = None, **options: Any
    ) -> Manager:
        """Start a manager on the projects."""
        self.manager = managers(reconciler, provider=provider or MiloProvider(), **options)
        return self.manager

    def make(self, name: str, **labels: str) -> None:
        spec = {"ownerRef": {"kind": "Organization", "name": "example"}}
        body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        self._client.create(Object({"apiVersion": PROJECT.split(maxsplit=1)[0], "kind": "Project", **body}))

    def ready(self, name: str, status: str = "True", reason: str = "Told", *, condition: str = "Ready") -> None:
        project = self._client.get(PROJECT, Key("", name))
        told = {"type": condition, "status": status, "reason": reason, "message": ""}
        project["status"] = {"conditions": [{**told, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        self._client.status.patch(project)

    def is_ready(self, name: str) -> bool:
        """Whether it is said of a Project that it is ready."""
        conditions = self._client.get(PROJECT, Key("", name)).get("status.conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def label(self, name: str, **labels: str | None) -> None:
        project = self._client.get(PROJECT, Key("", name))
        for key, value in labels.items():
            if value is None:
                project.metadata.labels.pop(key)
            else:
                project.metadata.labels[key] = value
        self._client.patch(project)

    def hold(self, name: str) -> None:
        """Put a finalizer on a Project."""
        project = self._client.get(PROJECT, Key("", name))
        project.metadata.finalizers.append("example.com/hold")
        self._client.patch(project)

    def let_go(self, name: str) -> None:
        """Take it off again."""
        project = self._client.get(PROJECT, Key("", name))
        project.metadata.finalizers.remove("example.com/hold")
        self._client.patch(project)

    def plane_ready(self, name: str, status: str = "True") -> None:
        """Say of the control plane of a Project whether it is ready."""
        plane = self._client.get(CONTROL_PLANE, Key("", name))
        condition = {"type": "ControlPlaneReady", "status": status, "reason": "Told", "message": ""}
        plane["status"] = {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        self._client.status.patch(plane)

    def delete(self, name: str) -> None:
        self._client.delete(PROJECT, Key("", name))

    def uid(self, name: str) -> str:
        return str(self._client.get(PROJECT, Key("", name)).metadata.uid)

    def put(self, project: str, name: str, **data: str) -> None:
        """Make a config map in a project."""
        self._client(cluster=project).create(Object(config_map("default", name, **data)))

    def state_of(self, name: str) -> State | None:
        """Where the cluster of a Project stands; None if it is not known."""
        assert self.manager is not None
        return next((each.state for each in self.manager.clusters.states() if each.name == name), None)

    def is_engaged(self, name: str) -> bool:
        return self.state_of(name) is State.ENGAGED

    def is_away(self, name: str) -> bool:
        assert self.manager is not None
        return is_gone(self.manager, name)


def is_gone(manager: Manager, name: str) -> bool:
    """Whether there is no such cluster."""
    try:
        manager.cluster(name)
    except ClusterNotFound:
        return True
    return False


def host(name: str) -> str:
    """Where the control plane of a project is, unless the provider is told otherwise."""
    return f"milo-apiserver.project-{name}.svc.cluster.local"
