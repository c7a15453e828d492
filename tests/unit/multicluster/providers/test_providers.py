from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers import provider
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

if TYPE_CHECKING:
    from pathlib import Path

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: one, user: u}}
- {name: two, context: {cluster: two, user: u}}
clusters:
- {name: one, cluster: {server: "https://one.test"}}
- {name: two, cluster: {server: "https://two.test"}}
users:
- {name: u, user: {token: t}}
"""


def test_a_provider_is_named_by_words() -> None:
    made = provider("milo", {"selector": "tier=gold"})

    assert isinstance(made, MiloProvider)
    assert str(made._selector) == "tier=gold"
    assert made._projects is None


@pytest.mark.parametrize(("context", "server"), [({}, "one"), ({"project-context": "two"}, "two")])
def test_the_projects_may_have_a_kubeconfig_of_their_own(tmp_path: Path, context: Any, server: str) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    made = provider("milo", {"project-kubeconfig": str(file), **context})

    assert isinstance(made, MiloProvider)
    assert made._projects is not None
    assert made._projects.server == f"https://{server}.test"


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("karmada", {}, "there is no provider 'karmada'; the known ones are: milo"),
        (
            "milo",
            {"selektor": "a=b"},
            "provider milo has no option 'selektor'; the known ones are: selector, project-kubeconfig, project-context",
        ),
        ("milo", {"selector": "a b"}, "provider milo: label selector 'a b' is malformed at position 2"),
        (
            "milo",
            {"project-kubeconfig": "/nowhere"},
            "provider milo: project-kubeconfig: kubeconfig /nowhere does not exist; correct the path",
        ),
    ],
)
def test_what_cannot_be_used_is_named(name: str, options: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        provider(name, options)

    assert text in str(raised.value)


def test_fixed_clusters_are_told_at_once_and_waited_for() -> None:
    told: list[Any] = []

    class Sink:
        def present(self, spec: Any) -> None:
            told.append((spec.name, spec.config))

        def absent(self, name: str, why: str) -> None:
            raise AssertionError((name, why))

        def listed(self) -> None:
            told.append("listed")

    configs = {name: Config(f"https://{name}.test", StaticCredentials()) for name in ("eu", "us")}
    made = StaticProvider(configs)
    made.start(Sink(), hub=None)
    made.stop()

    assert told == [("eu", configs["eu"]), ("us", configs["us"]), "listed"]
    assert made.patience is None
    with pytest.raises(ConfigError, match="there is no cluster to work on"):
        StaticProvider({})
