from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import kcontroller.testing as kit
from kcontroller import Context, Key, Object, Request, Result
from kcontroller.errors import Conflict, Forbidden, NotFound
from kcontroller.testing import Hang, HttpFaultProxy, LeakCheck, Milo, Refuse, Rule, assert_settled, config_of
from tests.unit.testing.widgets import CRD, Calls, Widget, WidgetReconciler, widget

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.embedded.faults import Faults
    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.testing import Managers, ServerClient, VirtualClock

A = Key("default", "a")


# ---- the fixtures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_every_test_has_a_server_of_its_own(number: int, client: ServerClient) -> None:
    metadata = {"namespace": "default", "name": "only-once"}
    client.create(Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))


def test_a_controller_works_from_the_first_object_to_the_last(
    manager: Managers, client: ServerClient, install_crds: Any, eventually: Any
) -> None:
    install_crds(CRD)
    running = manager(WidgetReconciler())
    made = client.create(widget(size=2))
    assert eventually(lambda: client.get("v1 ConfigMap", A))["data"] == {"size": "2"}
    eventually(lambda: client.get(Widget, A).status.conditions)
    assert_settled(running)
    client.delete(made)
    eventually(lambda: client.get_or_none(Widget, A) is None)


@pytest.mark.embedded(milo=Milo(projects=("p1", "p2"), cold_storage=False))
def test_projects_have_clients_of_their_own(client: ServerClient) -> None:
    one = client(cluster="p1")
    one.create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}))

    assert client(cluster="p1") is one
    assert one.get("v1 Namespace", Key("", "mine"))
    with pytest.raises(NotFound):
        client(cluster="p2").get("v1 Namespace", Key("", "mine"))


@pytest.mark.embedded(milo=Milo(projects=("p1",), cold_storage=False))
def test_a_manager_can_work_on_a_project(manager: Managers, client: ServerClient, install_crds: Any) -> None:
    install_crds(CRD)
    calls = Calls()
    running = manager(calls, cluster="p1")
    client.create(widget("root"))
    project = client(cluster="p1")
    if project.get_or_none("v1 Namespace", Key("", "default")) is None:
        project.create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}))
    project.create(widget("in-project"))
    assert_settled(running)

    assert {request.name for request in calls.seen} == {"in-project"}


def test_other_users_have_their_rights(client: ServerClient) -> None:
    with pytest.raises(Forbidden):
        client(user="nobody").list("v1 ConfigMap")


def test_faults_can_be_added(faults: Faults, client: ServerClient) -> None:
    with faults(Rule(Refuse(409), verbs={"create"}, times=1)) as rule, pytest.raises(Conflict):
        client.create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}))

    assert rule.hits == 1


def test_hours_pass_in_no_time(
    clock: VirtualClock, manager: Managers, client: ServerClient, install_crds: Any, eventually: Any
) -> None:
    install_crds(CRD)
    calls = Calls(lambda _ctx, _request: Result(requeue_after=3600))
    manager(calls)
    client.create(widget())
    eventually(lambda: len(calls.seen) >= 4, within=4 * 3600)

    assert clock.monotonic() - 1000 == 3 * 3600


def test_a_manager_can_go_through_a_proxy(
    api_server: EmbeddedServer, manager: Managers, client: ServerClient, install_crds: Any, eventually: Any
) -> None:
    install_crds(CRD)
    with HttpFaultProxy(api_server.url, ca_pem=api_server.ca_pem) as proxy:
        calls = Calls()
        manager(calls, config=proxy.config(config_of(api_server)))
        hang = proxy.add(Hang(), watch=True)
        client.create(widget())
        eventually(lambda: client.get(Widget, A))
        assert calls.seen == []
        hang.remove()
        eventually(lambda: calls.seen)


def test_definitions_come_from_files_folders_and_classes(
    install_crds: Any, tmp_path: Path, client: ServerClient
) -> None:
    folder = tmp_path / "crds"
    folder.mkdir()
    (folder / "widgets.json").write_text(__import__("json").dumps(CRD))
    (folder / "notes.txt").write_text("not this one")

    assert install_crds(folder) == ("widgets.example.com",)
    assert install_crds(str(folder / "widgets.json")) == ("widgets.example.com",)  # Again: replaced.
    assert install_crds(Widget) == ("widgets.example.com",)
    assert client.create(widget()).spec.color == ""


def test_a_bad_definition_says_why(install_crds: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the server refuses widgets\.example\.com: 422 .*scope"):
        install_crds({**CRD, "spec": {**CRD["spec"], "scope": "Nowhere"}})
    with pytest.raises(ValueError, match="no CustomResourceDefinition in a ConfigMap"):
        install_crds({"kind": "ConfigMap"})
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        install_crds(tmp_path / "missing.yaml")
    (tmp_path / "empty.yaml").write_text("---\n")
    with pytest.raises(ValueError, match=r"no CustomResourceDefinition in .*empty\.yaml"):
        install_crds(tmp_path / "empty.yaml")


@pytest.mark.usefixtures("no_leaks")
def test_leaks_are_looked_for() -> None:
    assert LeakCheck().left() != ()  # Not entered: all that is open counts.


# ---- what fails a test -----------------------------------------------------------------------------------------------


def test_an_error_of_the_reconciler_fails_the_test_at_its_end(api_server: EmbeddedServer) -> None:
    def fail(ctx: Context, request: Request) -> None:
        raise KeyError("oops")

    kit.install_crds(api_server, CRD)
    client, calls = kit.ServerClient(api_server), Calls(fail)
    managers = kit.Managers(api_server)
    managers(calls)
    client.create(widget())
    kit.eventually(lambda: len(calls.seen) > 1)
    client.close()

    with pytest.raises(AssertionError, match=r"(?s)did not do well:.*Reconciler error: KeyError: 'oops'") as caught:
        managers.stop()
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("allow", [KeyError, (KeyError, ValueError)])
def test_an_error_that_is_allowed_does_not(allow: Any, api_server: EmbeddedServer) -> None:
    def fail(ctx: Context, request: Request) -> None:
        raise KeyError("oops")

    kit.install_crds(api_server, CRD)
    client, calls = kit.ServerClient(api_server), Calls(fail)
    with kit.Managers(api_server) as managers:
        managers(calls, allow=allow)
        client.create(widget())
        kit.eventually(lambda: calls.seen)
    client.close()


def test_conflicts_are_part_of_life(manager: Managers, client: ServerClient, faults: Faults, install_crds: Any) -> None:
    install_crds(CRD)
    faults.add(Rule(Refuse(500), verbs={"patch"}, times=2))
    running = manager(WidgetReconciler())
    client.create(widget())
    assert_settled(running)

    assert client.get(Widget, A).status.conditions


def test_a_manager_that_is_not_ready_says_why(manager: Managers) -> None:
    with pytest.raises(AssertionError, match=r"not ready after 0\.05 s: .*example\.com/v1 Widget is not synced"):
        manager(Calls(), within=0.05)
    assert manager(Calls(name="second"), ready=False).pending()


# ---- settling --------------------------------------------------------------------------------------------------------


def test_who_keeps_going_is_named(manager: Managers, client: ServerClient, install_crds: Any) -> None:
    def never_content(ctx: Context, request: Request) -> None:
        found = ctx.client.get(Widget, request)
        found.spec.size += 1
        ctx.client.patch(found)

    install_crds(CRD)
    running = manager(Calls(never_content))
    client.create(widget())
    with pytest.raises(AssertionError) as caught:
        assert_settled(running, within=0.2, quiet=0.1)

    text = str(caught.value)
    assert "the manager did not settle within 0.2 s" in text
    assert "calls: default/a was reconciled" in text
    assert "the last reasons: Widget updated" in text
    assert "x PATCH answered with 200" in text


def test_what_is_due_soon_counts_and_what_is_due_later_does_not(
    manager: Managers, client: ServerClient, install_crds: Any
) -> None:
    install_crds(CRD)
    running = manager(Calls(lambda _ctx, _request: Result(requeue_after=600)))
    client.create(widget())
    assert_settled(running, quiet=0.02)
    with pytest.raises(AssertionError, match="the next is due in"):
        assert_settled(running, within=0.05, quiet=0.02, soon=1000)


def test_what_is_in_work_is_not_settled(manager: Managers, client: ServerClient, install_crds: Any) -> None:
    install_crds(CRD)
    release = threading.Event()
    running = manager(Calls(lambda _ctx, _request: release.wait(10) and None))
    client.create(widget())
    with pytest.raises(AssertionError, match="calls: 1 in work"):
        assert_settled(running, within=0.05, quiet=0.02)
    release.set()
    assert_settled(running, quiet=0.02)


# ---- the package -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", kit.__all__)
def test_every_name_of_the_kit_is_there_and_documented(name: str) -> None:
    value = getattr(kit, name)

    assert value.__doc__
    assert not isinstance(value, type(sys))
    assert name in dir(kit)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'eventualy'"):
        _ = kit.eventualy


def test_the_plugin_loads_nothing_but_pytest() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import kcontroller.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [
        "kcontroller",
        "kcontroller.testing",
        "kcontroller.testing.plugin",
        "kcontroller.version",
    ]
