"""Every provider against one list of what a provider must do; rows of the feature table that are about providers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kcontroller import Key, Object
from kcontroller.cluster import Cluster
from kcontroller.errors import AlreadyExists
from kcontroller.multicluster import ClusterSpec
from kcontroller.multicluster.providers import catalogue
from kcontroller.multicluster.providers.file import LOOK_SECONDS, FileProvider
from kcontroller.multicluster.providers.kubeconfig import KubeconfigProvider
from kcontroller.multicluster.providers.milo import Internal, MiloProvider
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.multicluster.providers.union import MultiProvider
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing import (
    MemoryProvider,
    Milo,
    ProviderConformance,
    ProviderWorld,
    VirtualClock,
    config_of,
)
from kcontroller.testing.polling import eventually
from kcontroller.testing.providers import Told
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.integration.projects import CONTROL_PLANE, PROJECT, Projects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kcontroller import Client
    from kcontroller.multicluster import Provider
    from kcontroller.testing import EmbeddedServer, ServerClient
    from tests.conformance.stage import Stage

SECRET = ProviderWorld.secret


def config(name: str, *, port: int = 6443) -> Config:
    return Config(f"https://{name}.test:{port}", StaticCredentials(f"Bearer {SECRET}"))


def kubeconfig(name: str, *, port: int = 6443, context: str = "") -> str:
    context = context or name
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"https://{name}.test:{port}"}}],
            "users": [{"name": "u", "user": {"token": SECRET}}],
        }
    )


class StaticWorld(ProviderWorld):
    def __init__(self) -> None:
        self.configs: dict[str, Config] = {}

    def provider(self) -> Provider:
        return StaticProvider(self.configs)

    def put(self, name: str) -> None:
        self.configs[name] = config(name)


class MemoryWorld(ProviderWorld):
    def __init__(self) -> None:
        self.specs: dict[str, ClusterSpec] = {}
        self.providers: list[MemoryProvider] = []

    def provider(self) -> Provider:
        self.providers.append(MemoryProvider(*self.specs.values()))
        return self.providers[-1]

    def put(self, name: str, *, uid: str = "1", port: int = 6443) -> None:
        self.specs[name] = ClusterSpec(name, config(name, port=port), uid)
        for each in self.providers:
            each.present(self.specs[name])

    def remove(self, name: str) -> None:
        del self.specs[name]
        for each in self.providers:
            each.absent(name)

    def change(self, name: str) -> None:
        self.put(name, port=7443)

    def touch(self, name: str) -> None:
        self.put(name)

    def recreate(self, name: str) -> None:
        self.remove(name)
        self.put(name, uid="2")


class UnionWorld(MemoryWorld):
    """Two of them; what the test changes is in the first."""

    def provider(self) -> Provider:
        return MultiProvider({"first": super().provider(), "second": MemoryProvider()})

    def name_of(self, name: str) -> str:
        return f"first.{name}"


class FileWorld(ProviderWorld):
    """A folder with a file for each cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()

    def provider(self) -> Provider:
        return FileProvider([str(self.folder)], clock=self.clock)

    def put(self, name: str, *, port: int = 6443) -> None:
        new = self.folder / f".{name}"
        new.write_text(kubeconfig(name, port=port))
        new.rename(self.folder / name)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def change(self, name: str) -> None:
        self.put(name, port=7443)

    def touch(self, name: str) -> None:
        self.put(name)

    def spoil(self, name: str) -> None:
        (self.folder / name).write_text(f"{SECRET}: [")

    def elapse(self) -> None:
        self.clock.advance(LOOK_SECONDS)


class HubWorld(ProviderWorld):
    """What is on a hub."""

    def __init__(self, config: Config, client: Client) -> None:
        self.client = client
        self.failures: list[object] = []
        self._threads = ThreadGroup(on_failure=lambda name, error: self.failures.append((name, error)))
        self.hub = Cluster(config)
        self.hub.start(self._threads)

    def end(self) -> None:
        assert self.hub is not None
        self.hub.stop()
        assert self._threads.join(10) == ()
        assert self.failures == []


class KubeconfigWorld(HubWorld):
    """Secrets."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.config, stage.client)
        self.namespace = stage.namespace

    def provider(self) -> Provider:
        return KubeconfigProvider(namespace=self.namespace)

    def put(self, name: str, *, data: str = "", port: int = 6443, **metadata: Any) -> None:
        labels = {"kcontroller.dev/kubeconfig": "true"}
        text = data or kubeconfig(name, port=port)
        secret = Object(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"namespace": self.namespace, "name": name, "labels": labels, **metadata},
                "data": {"kubeconfig": base64.b64encode(text.encode()).decode()},
            }
        )
        try:
            self.client.create(secret)
        except AlreadyExists:
            self.client.apply(secret, force=True)

    def remove(self, name: str) -> None:
        self.client.delete("v1 Secret", Key(self.namespace, name))

    def change(self, name: str) -> None:
        self.put(name, port=7443)

    def touch(self, name: str) -> None:
        self.put(name, annotations={"touched": "yes"})

    def recreate(self, name: str) -> None:
        self.remove(name)
        self.put(name)

    def spoil(self, name: str) -> None:
        self.put(name, data=f"{SECRET}: [")


class MiloWorld(HubWorld):
    """Projects."""

    def __init__(self, server: EmbeddedServer, client: ServerClient) -> None:
        super().__init__(config_of(server), client)
        self.projects = Projects(client)

    def provider(self) -> Provider:
        return MiloProvider()

    def put(self, name: str) -> None:
        self.projects.make(name)
        self.projects.ready(name)

    def spoil(self, name: str) -> None:
        self.projects.make(name)

    def remove(self, name: str) -> None:
        self.projects.delete(name)

    def touch(self, name: str) -> None:
        self.projects.label(name, touched="yes")

    def recreate(self, name: str) -> None:
        self.remove(name)
        eventually(lambda: self.client.get_or_none(PROJECT, Key("", name)) is None)
        self.put(name)


class InternalMiloWorld(MiloWorld):
    """ProjectControlPlanes, whose labels say at which port their control planes are."""

    secret = SECRET

    def provider(self) -> Provider:
        credentials = StaticCredentials(f"Bearer {SECRET}")
        return MiloProvider(Internal(endpoint="https://{name}.test:{labels[port]}", credentials=credentials))

    def put(self, name: str) -> None:
        self.make(name)
        self.projects.plane_ready(name)

    def make(self, name: str, port: str = "6443") -> None:
        metadata = {"name": name, "labels": {"port": port}}
        version, kind = CONTROL_PLANE.split()
        self.client.create(Object({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {}}))

    def spoil(self, name: str) -> None:
        """It is ready, and its label is no port."""
        self.make(name, "no-port")
        self.projects.plane_ready(name)

    def change(self, name: str) -> None:
        self.label(name, port="7443")

    def touch(self, name: str) -> None:
        self.label(name, touched="yes")

    def label(self, name: str, **labels: str) -> None:
        plane = self.client.get(CONTROL_PLANE, Key("", name))
        plane.metadata.labels.update(labels)
        self.client.patch(plane)

    def remove(self, name: str) -> None:
        self.client.delete(CONTROL_PLANE, Key("", name))

    def recreate(self, name: str) -> None:
        self.remove(name)
        self.put(name)


def test_row_42_every_provider_that_we_bring_is_held_against_the_list() -> None:
    held = {name.removeprefix("Test").lower() for name, value in globals().items() if _is_suite(value)}

    ours = {point.name for point in catalogue.installed().values() if catalogue.is_ours(point)}
    assert held >= {*ours, "internalmilo", "union", "memory"}


def _is_suite(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, ProviderConformance) and value is not ProviderConformance


class TestStatic(ProviderConformance):
    """It tells a first list, and that is all."""

    test_what_comes_later_is_told = None
    test_what_goes_is_told_with_the_reason_in_one_line = None
    test_another_configuration_is_the_same_cluster = None
    test_the_same_again_is_the_same_connection = None
    test_another_uid_is_another_cluster = None
    test_a_bad_entry_harms_no_good_one = None
    test_after_its_stop_nothing_is_told = None

    @pytest.fixture
    def world(self) -> ProviderWorld:
        return StaticWorld()


class TestMemory(ProviderConformance):
    test_a_bad_entry_harms_no_good_one = None

    @pytest.fixture
    def world(self) -> ProviderWorld:
        return MemoryWorld()


class TestUnion(ProviderConformance):
    test_a_bad_entry_harms_no_good_one = None

    @pytest.fixture
    def world(self) -> ProviderWorld:
        return UnionWorld()


class TestFile(ProviderConformance):
    test_another_uid_is_another_cluster = None

    @pytest.fixture
    def world(self, tmp_path: Path) -> ProviderWorld:
        return FileWorld(tmp_path)


class TestKubeconfig(ProviderConformance):
    """On the embedded server, and on the real one."""

    @pytest.fixture
    def world(self, stage: Stage) -> Iterator[KubeconfigWorld]:
        made = KubeconfigWorld(stage)
        yield made
        made.end()

    def test_a_secret_that_loses_the_label_is_a_cluster_that_leaves(self, world: KubeconfigWorld) -> None:
        world.put("a")
        provider, told = world.provider(), Told()
        provider.start(told, hub=world.hub)
        eventually(lambda: told.is_listed)
        secret = world.client.get("v1 Secret", Key(world.namespace, "a"))
        secret.metadata.labels.clear()
        world.client.update(secret)
        eventually(lambda: told.clusters == {})
        provider.stop()

        assert told.said[-1] == "a: its Secret is gone, or does not have the labels any more"


@pytest.mark.embedded(milo=Milo(readiness="manual"))
class TestMilo(ProviderConformance):
    test_another_configuration_is_the_same_cluster = None

    @pytest.fixture
    def world(self, api_server: EmbeddedServer, client: ServerClient) -> Iterator[ProviderWorld]:
        made = MiloWorld(api_server, client)
        yield made
        made.end()


@pytest.mark.embedded(milo=Milo(readiness="manual"))
class TestInternalMilo(ProviderConformance):
    @pytest.fixture
    def world(self, api_server: EmbeddedServer, client: ServerClient) -> Iterator[ProviderWorld]:
        made = InternalMiloWorld(api_server, client)
        yield made
        made.end()
