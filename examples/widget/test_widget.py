"""Tests of the Widget with kcontroller's testing kit: `pytest examples/widget`, in about a second, most of it imports.

The first half calls the reconciler once, in memory; the second half runs a manager on an API server in this process, at
last on a Milo API with three projects.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from widget import Widget, WidgetReconciler, WidgetSpec, config_map

from kcontroller import Key, Object, conditions
from kcontroller.errors import Invalid, NotFound
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import Milo, Refuse, Rule, assert_settled, reconcile_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Client
    from kcontroller.testing import Outcome

HERE = Path(__file__).parent
WEB = Key("default", "web")
CONFIG_MAP = "v1 ConfigMap"


# ---- one reconcile ---------------------------------------------------------------------------------------------------


def web(replicas: int = 3) -> Widget:
    widget = Widget.named("web", namespace="default", spec=WidgetSpec(image="nginx", replicas=replicas))
    widget.metadata.uid = "4d0a"
    return widget


def reconciled(widget: Widget, *given: Object) -> Outcome:
    return reconcile_once(WidgetReconciler(), widget, given=given, crds=HERE / "crd.yaml")


def test_a_new_widget_gets_a_finalizer_a_config_map_and_a_status() -> None:
    outcome = reconciled(web())

    assert [str(write) for write in outcome.writes] == [
        "patch example.com/v1 Widget default/web",
        "create v1 ConfigMap default/web",
        "patch example.com/v1 Widget default/web/status",
    ]
    assert outcome.client.get(CONFIG_MAP, WEB)["data"] == {"image": "nginx", "replicas": "3"}
    assert conditions.is_true(outcome.obj, "Ready")
    assert outcome.obj.status.ready_replicas == 3


def test_what_is_right_already_is_not_written() -> None:
    ready = reconciled(web()).obj

    assert reconciled(ready, config_map(ready)).writes == ()


def test_a_changed_spec_changes_the_config_map_and_the_status() -> None:
    widget = reconciled(web()).obj
    child = config_map(widget)
    widget.spec.replicas = 5

    assert [write.change for write in reconciled(widget, child).writes] == [
        {"data": {"replicas": "5"}},
        {"status": {"readyReplicas": 5}},
    ]


def test_a_config_map_of_somebody_else_is_reported_and_left_alone() -> None:
    theirs = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": "web"}})
    outcome = reconciled(web(), theirs)
    ready = conditions.get(outcome.obj, "Ready")

    assert outcome.writes_of(CONFIG_MAP) == ()
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "NameTaken")
    assert outcome.obj.status.ready_replicas == 0
    assert outcome.requeue_after == 30


def test_a_widget_that_is_going_takes_its_config_map_along() -> None:
    widget = reconciled(web()).obj
    widget.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    outcome = reconciled(widget, config_map(widget))

    assert [str(write) for write in outcome.writes] == [
        "delete v1 ConfigMap default/web",
        "patch example.com/v1 Widget default/web",
    ]
    assert outcome.obj is None


# ---- on a server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def running(install_crds: Any, manager: Any) -> Any:
    """The controller at work on an API server that knows Widgets."""
    install_crds(HERE / "crd.yaml")
    return manager(WidgetReconciler())


@pytest.fixture
def ready(running: Any, client: Client, eventually: Callable[..., Any]) -> Widget:
    """A Widget of three replicas that is ready."""
    client.create(Object(yaml.safe_load((HERE / "samples" / "web.yaml").read_text())))
    return eventually(lambda: is_ready(client.get(Widget, WEB)))


def is_ready(widget: Widget) -> Widget | None:
    current = widget.status.observed_generation == widget.metadata.generation
    return widget if current and conditions.is_true(widget, "Ready") else None


def replicas_of(client: Client) -> str:
    return client.get(CONFIG_MAP, WEB)["data"]["replicas"]


def test_a_ready_widget_comes_to_rest(client: Client, running: Any, ready: Widget) -> None:
    assert_settled(running, quiet=0.05)

    assert replicas_of(client) == "3"
    assert is_ready(client.get(Widget, WEB)) == ready


def test_a_config_map_that_is_changed_or_deleted_by_hand_comes_back(
    client: Client, ready: Widget, eventually: Callable[..., Any]
) -> None:
    child = client.get(CONFIG_MAP, WEB)
    child["data"] = {"replicas": "99", "stray": "yes"}
    client.patch(child)
    eventually(lambda: client.get(CONFIG_MAP, WEB)["data"] == {"image": ready.spec.image, "replicas": "3"})
    client.delete(CONFIG_MAP, WEB)
    eventually(lambda: replicas_of(client) == "3")


def test_a_deleted_widget_leaves_nothing(client: Client, ready: Widget, eventually: Callable[..., Any]) -> None:
    client.delete(ready)
    eventually(lambda: client.get_or_none(Widget, WEB) is None)

    with pytest.raises(NotFound):
        client.get(CONFIG_MAP, WEB)


def test_a_widget_that_is_scaled_says_when_it_is_ready_again_also_if_the_server_fails_meanwhile(
    client: Client, ready: Widget, faults: Any, eventually: Callable[..., Any]
) -> None:
    with faults(Rule(Refuse(500), verbs={"patch"}, resource="configmaps", times=2)) as rule:
        ready.spec.replicas = 5
        client.patch(ready)
        eventually(lambda: is_ready(client.get(Widget, WEB)))

    assert rule.hits == 2
    assert replicas_of(client) == "5"


def test_the_schema_gives_defaults_and_refuses_what_is_wrong(client: Client, install_crds: Any) -> None:
    install_crds(HERE / "crd.yaml")
    small = client.create(Object(yaml.safe_load((HERE / "samples" / "defaults.yaml").read_text())))
    assert small.spec["replicas"] == 1

    with pytest.raises(Invalid, match=r"spec\.image: Required value"):
        client.create(Object(yaml.safe_load((HERE / "samples" / "refused.yaml").read_text())))


# ---- on a fleet ------------------------------------------------------------------------------------------------------

PROJECTS = ("project-1", "project-2", "project-3")


@pytest.mark.embedded(milo=Milo(projects=PROJECTS, cold_storage=False))
def test_each_project_has_widgets_of_its_own(
    client: Any, install_crds: Any, manager: Any, eventually: Callable[..., Any]
) -> None:
    install_crds(HERE / "crd.yaml")
    fleet = manager(WidgetReconciler(), provider=MiloProvider())
    projects = [client(cluster=name) for name in PROJECTS]
    for replicas, project in enumerate(projects, 1):
        project.create(Widget.named("web", namespace="default", spec=WidgetSpec(image="nginx", replicas=replicas)))

    widgets = [eventually(lambda at=project: is_ready(at.get(Widget, WEB))) for project in projects]
    assert [widget.status.ready_replicas for widget in widgets] == [1, 2, 3]
    assert [replicas_of(project) for project in projects] == ["1", "2", "3"]

    one, two, three = projects
    two.delete(widgets[1])
    eventually(lambda: two.get_or_none(Widget, WEB) is None)
    assert two.get_or_none(CONFIG_MAP, WEB) is None
    assert_settled(fleet, quiet=0.05)
    assert [one.get(Widget, WEB), three.get(Widget, WEB)] == [widgets[0], widgets[2]]
    assert [replicas_of(one), replicas_of(three)] == ["1", "3"]
    assert client.get_or_none(Widget, WEB) is client.get_or_none(CONFIG_MAP, WEB) is None
