from __future__ import annotations

import json
import logging
import shlex
import threading
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from kcontroller import Key, Manager, ManagerOptions, Object, ObjectReconciler
from kcontroller.api.keys import GVK
from kcontroller.cli.commands import cli
from kcontroller.cli.reach import Daemon, Refused
from kcontroller.controller import HUB
from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import Milo
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS
from tests.integration.projects import Projects

if TYPE_CHECKING:
    from pathlib import Path
    from typing import ClassVar

    from click.testing import Result

    from kcontroller import Builder, Context
    from kcontroller.testing.managers import Managers, ServerClient


class Maps(ObjectReconciler[Object]):
    kind: ClassVar[str] = "v1 ConfigMap"
    name = "maps"

    def reconcile_object(self, ctx: Context, obj: Object) -> None:
        obj["data"] = {"done": "yes"}
        ctx.client.patch(obj)


def put(client: ServerClient, name: str) -> None:
    client.create(Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": name}}))


def threads_of(role: str) -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(f"kc-{role}")]


def test_by_default_nothing_is_served_and_nothing_taken_down(manager: Managers) -> None:
    made = manager(Maps())

    assert threads_of("control") == threads_of("debug") == []
    assert [each.trace for each in made.controllers] == [None]


def test_a_manager_explains_what_it_does_and_obeys(manager: Managers, client: ServerClient, tmp_path: Path) -> None:
    made = manager(Maps(), trace_keys=100, control_socket=str(tmp_path / "s"))
    daemon = Daemon(tmp_path / "s")
    put(client, "web")

    def explained() -> dict[str, object]:
        (found,) = daemon.get("/explain", cluster="", kind="ConfigMap", key="default/web")
        return found

    eventually(lambda: explained()["settled"] is True)
    (write,) = explained()["writes"]  # type: ignore[misc]
    assert write["change"] == {"data": {"done": "yes"}}
    assert daemon.get("/about")["controllers"] == ["maps"]
    (local,) = daemon.get("/clusters")["clusters"]
    assert (local["name"], local["hub"], local["state"], local["informers"]["synced"]) == ("", False, "engaged", 1)

    daemon.post("/pause", controller="maps", cluster="*", why="")
    put(client, "later")
    eventually(lambda: made.controllers[0].queue.depth("") == 1)
    assert "data" not in client.get("v1 ConfigMap", Key("default", "later"))
    daemon.post("/resume", controller="maps", cluster="*")
    eventually(lambda: "data" in client.get("v1 ConfigMap", Key("default", "later")))

    made.stop()
    assert threads_of("control") == []
    assert not (tmp_path / "s").exists()


def test_debug_is_served_where_it_was_asked_for(
    manager: Managers, client: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        made = manager(Maps(), debug_bind_address="127.0.0.1:0")
    put(client, "web")
    (port,) = [
        record.kc_fields["port"]  # type: ignore[attr-defined]
        for record in caplog.records
        if getattr(record, "kc_fields", {}).get("name") == "debug"
    ]

    def page(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}/debug/{path}", timeout=5) as answer:
            return str(answer.read().decode())

    assert "kc-worker-maps-0" in page("threads")
    assert [each["controller"] for each in json.loads(page("queue"))] == ["maps"]
    eventually(lambda: made.cluster().shown(GVK("", "v1", "ConfigMap"), Key("default", "web")) is not None)
    (found,) = json.loads(page("cache?kind=configmaps&key=default/web"))
    assert found["object"]["metadata"]["name"] == "web"


@pytest.mark.parametrize("address", [":6060", "0.0.0.0:6060"])
def test_debug_for_everybody_is_refused_before_anything_starts(address: str) -> None:
    config = Config("https://nobody.invalid", ANONYMOUS)

    with pytest.raises(ConfigError, match="can be reached from elsewhere"):
        Manager(config, options=ManagerOptions(debug_bind_address=address))


def test_a_trace_of_too_few_keys_is_refused() -> None:
    with pytest.raises(ConfigError, match="trace_keys must be at least 8, or 0 for no trace, got 3"):
        ManagerOptions(trace_keys=3)


@pytest.mark.embedded(milo=Milo(projects=("p1", "p2"), readiness="manual", cold_storage=False))
def test_in_a_fleet_the_cluster_is_named_and_one_that_is_not_there_says_so(
    manager: Managers, client: ServerClient, tmp_path: Path
) -> None:
    projects = Projects(client)
    for name in ("p1", "p2"):
        eventually(lambda name=name: projects.put(name, "web") is None)  # type: ignore[misc]
    manager(Maps(), provider=MiloProvider(), trace_keys=100, control_socket=str(tmp_path / "s"), ready=False)
    daemon = Daemon(tmp_path / "s")
    projects.ready("p1")

    def explained(cluster: str) -> Any:
        try:
            return daemon.get("/explain", cluster=cluster, kind="configmap", key="default/web")[0]
        except Refused as refusal:
            return {"settled": None, "verdict": refusal.message}

    eventually(lambda: explained("p1")["settled"] is True)
    assert explained("")["verdict"] == "name the cluster: this process works on those of a provider (p1)"
    assert explained("p2")["verdict"] == "no cluster 'p2' is here; there is p1"
    assert explained("p1")["cluster"] == "p1"


class OnTheHub(Maps):
    name = "on-the-hub"

    def setup(self, builder: Builder) -> None:
        builder.for_("v1 ConfigMap", clusters=HUB)


@pytest.mark.embedded(milo=Milo(projects=("p1",), cold_storage=False))
def test_every_name_in_the_table_of_clusters_is_one_that_the_other_commands_take(
    manager: Managers, client: ServerClient, tmp_path: Path
) -> None:
    made = manager(OnTheHub(), Maps(), provider=MiloProvider(), control_socket=str(tmp_path / "s"))
    put(client, "web")

    def say(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--socket", str(tmp_path / "s")])

    names = [line.split()[0] for line in say("clusters").stdout.splitlines()[1:-1]]
    assert names == ["(hub)", "p1"]
    for name, real in (("(hub)", ""), ("p1", "p1")):
        assert say("pause", "--cluster", name).output == f"every controller is paused in cluster {name}\n"
        assert any("command" in each.queue.holders(real) for each in made.controllers)
        assert say("pauses").output == f"every controller is paused in cluster {name}\n"
        assert "  command\n" in say("clusters", name).output
        explained = say("explain", name, "ConfigMap", "default/web").output
        assert f"ConfigMap default/web in {name}, controller " in explained
        assert f"remedy  kcontroller resume --cluster {shlex.quote(name)}\n" in explained
        resumed = say("resume", "--cluster", name)
        assert resumed.output == f"resumed: every controller is paused in cluster {name}\nnothing is paused\n"
        assert not any("command" in each.queue.holders(real) for each in made.controllers)
    without = say("explain", "ConfigMap", "default/web")
    assert without.output == "Error: name the cluster: this process works on those of a provider ((hub), p1)\n"
    refused = say("pause", "--cluster", "p*")
    assert (refused.exit_code, refused.output) == (
        1,
        "Error: 'p*' is a pattern; name one cluster, or leave it out for all\n",
    )


@pytest.mark.embedded(milo=Milo(projects=("local", "p2"), cold_storage=False))
def test_a_project_may_be_called_local(manager: Managers, client: ServerClient, tmp_path: Path) -> None:
    made = manager(Maps(), provider=MiloProvider(), trace_keys=100, control_socket=str(tmp_path / "s"))
    daemon = Daemon(tmp_path / "s")
    projects = Projects(client)
    projects.put("local", "web")

    def explained() -> dict[str, Any]:
        (found,) = daemon.get("/explain", cluster="local", kind="configmap", key="default/web")
        return found  # type: ignore[no-any-return]

    eventually(lambda: explained()["settled"] is True, ignoring=(Refused,))
    assert explained()["cluster"] == "local"
    (shown,) = daemon.get("/debug/cache", cluster="local", kind="configmap", key="default/web")
    assert shown["object"]["data"] == {"done": "yes"}
    paused = daemon.post("/pause", controller="maps", cluster="local", why="")["paused"]
    assert [each["text"] for each in paused] == ["maps is paused in cluster local"]
    assert made.controllers[0].queue.holders("local") == {"command"}
