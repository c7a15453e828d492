"""Tests of the sync on a Milo API in this process: `pytest examples/cross_cluster_sync`, in a few seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cross_cluster_sync import FINALIZER, PROJECTS, ConfigMapSync

from kcontroller import Key, Object, Request, TerminalError
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import Milo, Refuse, Rule, assert_settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Client

HERE = Path(__file__).parent
CONFIG_MAP = "v1 ConfigMap"
PROJECT = "resourcemanager.miloapis.com/v1alpha1 Project"
CA, LIMITS = Key("default", "ca"), Key("default", "limits")

pytestmark = pytest.mark.embedded(milo=Milo(projects=("p1", "p2"), cold_storage=False))


def sample(name: str) -> Object:
    return Object(yaml.safe_load((HERE / "samples" / f"{name}.yaml").read_text()))


class Fleet:
    """The hub and its projects."""

    def __init__(self, client: Any, eventually: Callable[..., Any]) -> None:
        self.hub: Client = client
        self._eventually = eventually

    def at(self, project: str) -> Client:
        return self.hub(cluster=project)  # type: ignore[operator, no-any-return]

    def copies(self, key: Key, projects: str = "p1 p2") -> dict[str, Any]:
        found = {name: self.at(name).get_or_none(CONFIG_MAP, key) for name in projects.split()}
        return {name: dict(copy["data"]) for name, copy in found.items() if copy is not None}

    def wait_for_copies(self, key: Key, data: dict[str, str], *projects: str, of: str = "p1 p2") -> None:
        self._eventually(lambda: self.copies(key, of) == dict.fromkeys(projects, data))

    def label(self, project: str, **labels: str) -> None:
        found = self.hub.get(PROJECT, Key("", project))
        found.metadata.labels.update(labels)
        self.hub.patch(found)


@pytest.fixture
def fleet(client: Client, eventually: Callable[..., Any]) -> Fleet:
    return Fleet(client, eventually)


@pytest.fixture
def running(manager: Any) -> Any:
    """The sync at work on the hub and its projects."""
    return manager(ConfigMapSync(), provider=MiloProvider())


def test_an_original_is_copied_to_every_project_and_its_changes_follow(
    fleet: Fleet, running: Any, eventually: Callable[..., Any]
) -> None:
    original = fleet.hub.create(sample("ca"))
    fleet.wait_for_copies(CA, original["data"], "p1", "p2")

    original = fleet.hub.get(CONFIG_MAP, CA)
    assert original.metadata.finalizers == [FINALIZER]
    original["data"] = {"ca.crt": "another"}
    fleet.hub.patch(original)
    fleet.wait_for_copies(CA, {"ca.crt": "another"}, "p1", "p2")

    original["data"], original["binaryData"] = None, {"ca.der": "MIIB"}
    fleet.hub.patch(original)
    eventually(lambda: fleet.at("p1").get(CONFIG_MAP, CA).get("binaryData") == {"ca.der": "MIIB"})
    assert fleet.at("p1").get(CONFIG_MAP, CA).get("data") is None


def test_what_is_not_labelled_stays_where_it_is(fleet: Fleet, running: Any) -> None:
    private = sample("ca")
    private.metadata.labels.clear()
    fleet.hub.create(private)
    fleet.hub.create(sample("limits"))  # Its turn comes later.
    assert_settled(running)

    assert fleet.copies(CA) == {}
    assert fleet.hub.get(CONFIG_MAP, CA).metadata.finalizers == []


def test_a_copy_that_is_changed_or_deleted_by_hand_comes_back(fleet: Fleet, running: Any) -> None:
    data = fleet.hub.create(sample("ca"))["data"]
    fleet.wait_for_copies(CA, data, "p1", "p2")

    copy = fleet.at("p1").get(CONFIG_MAP, CA)
    copy["data"] = {"ca.crt": "by hand", "stray": "yes"}
    fleet.at("p1").patch(copy)
    fleet.at("p2").delete(CONFIG_MAP, CA)
    fleet.wait_for_copies(CA, data, "p1", "p2")


@pytest.mark.parametrize("how", ["deleted", "unlabelled"])
def test_an_original_that_goes_takes_its_copies_along(
    fleet: Fleet, running: Any, eventually: Callable[..., Any], how: str
) -> None:
    original = fleet.hub.create(sample("ca"))
    fleet.wait_for_copies(CA, original["data"], "p1", "p2")

    if how == "deleted":
        fleet.hub.delete(CONFIG_MAP, CA)
        eventually(lambda: fleet.hub.get_or_none(CONFIG_MAP, CA) is None)
    else:
        original = fleet.hub.get(CONFIG_MAP, CA)
        original.metadata.labels.clear()
        fleet.hub.patch(original)
        eventually(lambda: fleet.hub.get(CONFIG_MAP, CA).metadata.finalizers == [])
    assert fleet.copies(CA) == {}


def test_a_project_that_joins_later_gets_what_there_is(fleet: Fleet, running: Any) -> None:
    data = fleet.hub.create(sample("ca"))["data"]
    fleet.wait_for_copies(CA, data, "p1", "p2")

    spec = {"ownerRef": {"kind": "Organization", "name": "example"}}
    fleet.hub.create(
        Object(
            {"apiVersion": PROJECT.split(maxsplit=1)[0], "kind": "Project", "metadata": {"name": "p3"}, "spec": spec}
        )
    )
    fleet.wait_for_copies(CA, data, "p1", "p2", "p3", of="p1 p2 p3")


def test_the_labels_of_a_project_say_what_it_gets(fleet: Fleet, running: Any) -> None:
    data = fleet.hub.create(sample("limits"))["data"]
    fleet.label("p2", tier="prod")
    fleet.wait_for_copies(LIMITS, data, "p2")

    fleet.label("p1", tier="prod")
    fleet.label("p2", tier="test")
    fleet.wait_for_copies(LIMITS, data, "p1")


def test_an_annotation_that_is_malformed_is_said_once_and_leaves_all_as_it_is(
    fleet: Fleet, manager: Any, eventually: Callable[..., Any]
) -> None:
    running = manager(ConfigMapSync(), provider=MiloProvider(), allow=TerminalError)
    data = fleet.hub.create(sample("ca"))["data"]
    fleet.wait_for_copies(CA, data, "p1", "p2")
    assert_settled(running)  # What its own writes still bring would fail as well.

    original = fleet.hub.get(CONFIG_MAP, CA)
    original.metadata.annotations[PROJECTS] = "tier = = prod"
    original["data"] = {"ca.crt": "another"}
    fleet.hub.patch(original)
    failed = running.metrics.registry.get_sample_value
    labels = {"controller": "configmap-sync"}
    eventually(lambda: failed("controller_runtime_terminal_reconcile_errors_total", labels) == 3)
    assert_settled(running)
    assert failed("controller_runtime_reconcile_errors_total", labels) == 3, "the original, and its copies"
    assert fleet.copies(CA) == {"p1": data, "p2": data}

    original = fleet.hub.get(CONFIG_MAP, CA)
    del original.metadata.annotations[PROJECTS]
    fleet.hub.patch(original)
    fleet.wait_for_copies(CA, {"ca.crt": "another"}, "p1", "p2")


def test_an_original_does_not_wait_for_a_project_that_leaves(
    fleet: Fleet, running: Any, eventually: Callable[..., Any], faults: Any
) -> None:
    data = fleet.hub.create(sample("ca"))["data"]
    fleet.wait_for_copies(CA, data, "p1", "p2")

    with faults(Rule(Refuse(403), verbs={"delete"}, resource="configmaps", plane="p2")):
        fleet.hub.delete(CONFIG_MAP, CA)
        fleet.wait_for_copies(CA, data, "p2")
        assert fleet.hub.get(CONFIG_MAP, CA).metadata.finalizers == [FINALIZER]

        fleet.hub.delete(PROJECT, Key("", "p2"))
        eventually(lambda: fleet.hub.get_or_none(CONFIG_MAP, CA) is None)


def test_a_config_map_of_the_project_s_own_is_left_alone(fleet: Fleet, running: Any) -> None:
    theirs = sample("ca")
    theirs.metadata.labels.clear()
    theirs["data"] = {"ca.crt": "theirs"}
    fleet.at("p1").create(theirs)
    data = fleet.hub.create(sample("ca"))["data"]
    fleet.wait_for_copies(CA, data | {}, "p2", of="p2")
    assert_settled(running)

    assert fleet.copies(CA, "p1") == {"p1": {"ca.crt": "theirs"}}
    fleet.hub.delete(CONFIG_MAP, CA)
    assert_settled(running)
    assert fleet.copies(CA, "p1 p2") == {"p1": {"ca.crt": "theirs"}}


def test_what_is_right_already_sends_nothing(fleet: Fleet, running: Any, api_server: Any) -> None:
    data = fleet.hub.create(sample("ca"))["data"]
    fleet.wait_for_copies(CA, data, "p1", "p2")
    assert_settled(running)

    (controller,) = running.controllers
    mark = api_server.requests.mark()
    for cluster in ("", "p1", "p2"):
        controller.queue.add(Request(cluster, *CA), reason="again")
    assert_settled(running)
    for verb in ("get", "list", "create", "update", "patch", "delete"):
        api_server.requests.assert_count(0, verb=verb, since=mark)
