"""What the hooks of Reconcilers and listeners may write: what their Reconciler may, and nothing where another leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcontroller import Object, Reconciler
from kcontroller.config import ManagerOptions
from kcontroller.errors import KControllerError
from kcontroller.leaderelection import LeaderElection
from kcontroller.manager import Manager
from kcontroller.multicluster import ClusterSpec
from kcontroller.testing.managers import config_of
from kcontroller.testing.polling import eventually
from kcontroller.testing.providers import MemoryProvider

if TYPE_CHECKING:
    from kcontroller.cluster import Cluster
    from kcontroller.testing import EmbeddedServer
    from kcontroller.testing.managers import Managers, ServerClient

CONFIG_MAP = "v1 ConfigMap"


def one(server: EmbeddedServer) -> MemoryProvider:
    """A provider that knows one cluster."""
    return MemoryProvider(ClusterSpec("p1", config_of(server), "1"))


class Writes:
    """Writes objects when a cluster is engaged, and notes what became of each."""

    def __init__(self, prefix: str, *, count: int = 1) -> None:
        self._names = [f"{prefix}-{number}" for number in range(count)]
        self.outcomes: list[str] = []

    def on_engaged(self, cluster: Cluster) -> None:
        for name in self._names:
            metadata = {"name": name, "namespace": "default"}
            try:
                cluster.client.create(Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
            except KControllerError as error:
                self.outcomes.append(type(error).__name__)
            else:
                self.outcomes.append("written")


class Hooked(Writes, Reconciler):
    name = "hooked"

    def setup(self, builder: Any) -> None:
        builder.for_(CONFIG_MAP).options(write_budget="2/1h")

    def reconcile(self, ctx: Any, request: Any) -> None:
        """Leave all as it is."""


def election() -> LeaderElection:
    return LeaderElection(name="hooks", namespace="default")


def test_hooks_of_a_standby_write_nothing(api_server: EmbeddedServer, manager: Managers, client: ServerClient) -> None:
    leading, standing_by = Hooked("leader"), Hooked("standby")
    first = manager(leading, provider=one(api_server), leader_election=election())
    eventually(lambda: first.is_leader)
    manager(standing_by, provider=one(api_server), leader_election=election())
    eventually(lambda: standing_by.outcomes)

    assert standing_by.outcomes == ["NotLeader"]
    assert not [each for each in client().list(CONFIG_MAP, namespace="default") if each.name.startswith("standby")]


def test_nor_do_listeners_that_are_no_reconcilers(api_server: EmbeddedServer, manager: Managers) -> None:
    first = manager(Hooked("leader"), provider=one(api_server), leader_election=election())
    eventually(lambda: first.is_leader)
    listener = Writes("listener")
    options = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0", leader_election=election())
    with Manager(config_of(api_server), provider=one(api_server), options=options, listeners=(listener,)):
        eventually(lambda: listener.outcomes == ["NotLeader"])


def test_hooks_keep_to_the_rails_of_their_reconciler(api_server: EmbeddedServer, manager: Managers) -> None:
    hooked = Hooked("hook", count=3)
    manager(hooked, provider=one(api_server))
    eventually(lambda: len(hooked.outcomes) == 3)

    assert hooked.outcomes == ["written", "written", "BudgetSpent"]
