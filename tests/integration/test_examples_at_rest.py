"""Every Reconciler that we show to others, run twice on what has not changed: it asks the server nothing.

Each runs until it rests, and then once more for every object. Reads count as well as writes; watches do not. One that
is new in the examples, the README or the documents is missed here until it has an entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kcontroller import Manager, ManagerOptions, Object, Request, plugins
from kcontroller.testing import ControlPlane, HttpFaultProxy, assert_settled, binaries, eventually, install_crds
from kcontroller.testing.plugin import NO_REAL_SERVERS
from tests.faults.watched import Namespace, config_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Reconciler
    from tests.faults.watched import Server

ROOT = Path(__file__).parents[2]
CRD = ROOT / "examples" / "widget" / "crd.yaml"
SHOWN = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.py")]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
DEFINED = re.compile(r"^class (\w+)\((?:\w+\.)*(?:Object)?Reconciler\b", re.MULTILINE)
SITES = "docs/reconcilers.md"


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "widget" / "samples" / name).read_text())
    return found


def site(**labels: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "a", "labels": labels}}


def widget(**spec: object) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "web"}, "spec": spec}


def original(**labels: str) -> dict[str, Any]:
    metadata = {"name": "motd", "labels": labels or {"example.com/sync": "original"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


def deployment() -> dict[str, Any]:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}


@dataclass(frozen=True, slots=True)
class Example:
    """One Reconciler.

    Attributes:
        file: where it is shown.
        name: its class.
        given: the objects that it works on.
        needs: definitions, files or names of classes beside it.
        makes: the kinds of which it makes at least one object for each of these.
    """

    file: str
    name: str
    given: tuple[dict[str, Any], ...]
    needs: tuple[Path | str, ...] = ()
    makes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


EXAMPLES = (
    Example("README.md", "WidgetReconciler", (widget(image="nginx"),), (CRD,), ("v1 ConfigMap",)),
    Example("docs/testing.md", "WidgetReconciler", (widget(size=3),), ("Widget",), ("v1 ConfigMap",)),
    Example(SITES, "SiteReconciler", (site(),), ("Site",), ("apps/v1 Deployment", "v1 Service")),
    Example(SITES, "Stamping", (site(),), ("Site",)),
    Example(SITES, "Hosted", (site(),), ("Site",)),
    Example(SITES, "Rolling", (site(),), ("Site",)),
    Example(SITES, "Certified", (site(),), ("Site",)),
    Example(SITES, "Deployed", (site(),), ("Site",)),
    Example(SITES, "Motd", (original(app="motd"),)),
    Example(SITES, "Tidy", (site(tier="web"),), ("Site",)),
    Example("examples/deployment_logger.py", "DeploymentLogger", (deployment(),)),
    Example("examples/cross_cluster_sync/cross_cluster_sync.py", "ConfigMapSync", (original(),)),
    Example(
        "examples/widget/widget.py",
        "WidgetReconciler",
        (sample("web.yaml"), sample("defaults.yaml")),
        (CRD,),
        ("v1 ConfigMap",),
    ),
)

RESTLESS = {(SITES, "Patient")}
"""It shows how a reconcile that always raises comes again."""


def test_every_reconciler_that_is_shown_is_run_here() -> None:
    shown = {
        (str(path.relative_to(ROOT)), name)
        for path in SHOWN
        for text in ([path.read_text()] if path.suffix == ".py" else BLOCK.findall(path.read_text()))
        for name in DEFINED.findall(text)
    }

    assert shown == {(each.file, each.name) for each in EXAMPLES} | RESTLESS


def loaded(example: Example) -> tuple[Reconciler, list[Any]]:
    """The Reconciler, and the definitions that it needs."""
    if example.file.endswith(".py"):
        (reconciler,) = plugins.load([f"{ROOT / example.file}:{example.name}"])
        return reconciler, list(example.needs)
    names: dict[str, Any] = {"__name__": "shown"}
    blocks = iter(BLOCK.findall((ROOT / example.file).read_text()))
    while example.name not in names:
        exec(compile(next(blocks), example.file, "exec", dont_inherit=True), names)  # noqa: S102 - our own document
    return names[example.name](), [names[each] if isinstance(each, str) else each for each in example.needs]


@pytest.fixture(scope="module", params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def real_server(request: pytest.FixtureRequest) -> Iterator[Server | None]:
    """A real server of these tests' own, for definitions of one name differ from those of others; None: embedded."""
    if request.param == "embedded":
        yield None
        return
    if binaries.find() is None:
        pytest.skip(NO_REAL_SERVERS)
    with ControlPlane() as plane:
        yield plane.servers[0]


@pytest.fixture
def server(real_server: Server | None, request: pytest.FixtureRequest) -> Server:
    found: Server = real_server or request.getfixturevalue("api_server")
    return found


@pytest.fixture
def proxy(server: Server) -> Iterator[HttpFaultProxy]:
    with HttpFaultProxy(server.url, ca_pem=server.ca_pem, record=True) as made:
        yield made


@pytest.fixture
def run(server: Server, proxy: HttpFaultProxy) -> Iterator[Callable[..., Manager]]:
    managers: list[Manager] = []

    def start(reconciler: Reconciler, namespace: str) -> Manager:
        options = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0", namespaces=(namespace,))
        manager = Manager(proxy.config(config_for(server)), options=options)
        managers.append(manager)
        manager.add(reconciler)
        manager.start()
        assert manager.wait_ready(15), manager.pending()
        return manager

    yield start
    for each in managers:
        assert each.stop(grace=5)


def in_namespace(document: dict[str, Any], namespace: str) -> Object:
    return Object({**document, "metadata": {**document["metadata"], "namespace": namespace}})


def reconciles(manager: Manager) -> dict[str, float]:
    """How many have ended, by their results."""
    return {
        sample.labels["result"]: sample.value
        for family in manager.metrics.registry.collect()
        if family.name == "controller_runtime_reconcile"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_that_is_called_again_asks_nothing(
    example: Example, server: Server, proxy: HttpFaultProxy, run: Callable[..., Manager]
) -> None:
    reconciler, definitions = loaded(example)
    if definitions:
        install_crds(server, *definitions)
    namespace = Namespace(server).name
    manager = run(reconciler, namespace)
    client = manager.cluster().api_reader
    made = [client.create(in_namespace(each, namespace)) for each in example.given]
    (controller,) = manager.controllers
    eventually(lambda: sum(reconciles(manager).values()) >= len(made), 10)
    assert_settled(manager, 15)
    for kind in example.makes:
        assert len(client.list(kind, namespace=namespace)) >= len(made), kind

    before, asked = reconciles(manager), len(proxy.exchanges)
    for each in made:
        controller.queue.add(Request("", namespace, each.metadata.name), reason="again")
    assert_settled(manager, 15)

    assert "error" not in before
    (result,) = {"success", "requeue_after"} & before.keys()
    assert reconciles(manager) == {**before, result: before[result] + len(made)}
    assert [str(each) for each in proxy.exchanges[asked:] if not each.is_watch] == []
