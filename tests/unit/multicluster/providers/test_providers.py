from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers import ProviderContext, provider
from kcontroller.multicluster.providers.file import FileProvider
from kcontroller.multicluster.providers.kubeconfig import KubeconfigProvider
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
    assert isinstance(provider("milo", {"selector": "tier=gold"}), MiloProvider)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("karmada", {}, "there is no provider 'karmada'; the known ones are: file, kubeconfig, milo, static"),
        (
            "static",
            {"context": "a"},
            "provider static has no option 'context'; the known ones are: contexts, kubeconfig",
        ),
        ("static", {}, "provider static needs option contexts: the contexts, which become the clusters' names"),
        ("static", {"contexts": "eu", "kubeconfig": "/nowhere"}, "provider static: kubeconfig /nowhere does not exist"),
        ("file", {}, "provider file needs option path: a kubeconfig, a folder of them, or a glob"),
        ("kubeconfig", {"allow-hosts": "a/b"}, "provider kubeconfig: allow-hosts: 'a/b' is no host; write"),
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
    with pytest.raises(ConfigError, match="no cluster can be named 'e u': the name holds white space"):
        StaticProvider({"e u": configs["eu"]})


def test_contexts_of_a_kubeconfig_are_fixed_clusters_by_name(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    for made in (
        provider("static", {"contexts": "two,one"}, ProviderContext(kubeconfig=str(file))),
        provider("static", {"contexts": "two,one", "kubeconfig": str(file)}),
    ):
        assert isinstance(made, StaticProvider)
        assert [(spec.name, spec.config.server) for spec in made._specs] == [
            ("two", "https://two.test"),
            ("one", "https://one.test"),
        ]


def test_the_others_are_made_from_words_too(tmp_path: Path) -> None:
    found = provider("file", [("path", str(tmp_path)), ("path", "/a,/b"), ("contexts", "x-*")])
    assert isinstance(found, FileProvider)
    assert (found._files._paths, found._patterns) == ((str(tmp_path), "/a", "/b"), ("x-*",))

    secrets = provider("kubeconfig", {"namespace": "fleet", "allow-hosts": "*.a,10.0.0.0/8", "selector": "a=b"})
    assert isinstance(secrets, KubeconfigProvider)
    assert (secrets._namespace, str(secrets._selector), len(secrets._hosts)) == ("fleet", "a=b", 2)
