from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo import External, Internal, MiloProvider
from kcontroller.multicluster.providers.milo_options import PROVIDER
from kcontroller.multicluster.providers.options import ProviderContext
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.multicluster.providers.told import kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


def made(**options: str) -> MiloProvider:
    given = [(name.replace("_", "-"), text) for name, text in options.items()]
    found = PROVIDER.make(PROVIDER.parsed("milo", given), ProviderContext())
    assert isinstance(found, MiloProvider)
    return found


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig())
    return str(path)


def test_without_options_projects_are_below_paths_of_the_hub() -> None:
    assert made()._mode == made(mode="external")._mode == External(None)


def test_every_word_of_the_provider_arrives() -> None:
    provider = made(
        selector="tier=gold",
        organization="acme",
        terminating="disengage",
        ready_condition="Up",
        unready_grace="1m30s",
        verify_parent="true",
    )

    rules: Any = provider._admission
    assert (str(rules.selector), rules.organization, rules.terminating, rules.condition) == (
        "tier=gold",
        "acme",
        "disengage",
        "Up",
    )
    assert provider._grace == 90.0
    assert provider._check is not None


def test_every_word_of_an_endpoint_arrives() -> None:
    words = {
        "endpoint": "https://{name}.{domain}:{port}",
        "domain": "test",
        "token_file": "/t/{name}",
        "ca_file": "/c/{name}",
        "server_name": "{name}.test",
        "resolve": "{name}:1",
    }
    assert made(mode="internal", port="7443", **words)._mode == Internal(port=7443, **words)
    assert made(mode="internal", hub_credentials="true")._mode == Internal(hub_credentials=True)


def test_a_kubeconfig_says_how_control_planes_are_reached_or_who_we_are_to_them(file: str) -> None:
    external, internal = made(project_kubeconfig=file), made(project_kubeconfig=file, mode="internal")

    assert isinstance(external._mode, External)
    assert external._mode.server is not None
    assert external._mode.server.server == "https://east.test"
    assert isinstance(internal._mode, Internal)
    assert internal._mode.credentials == StaticCredentials("Bearer t")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "both"}, "mode: it is external or internal, not 'both'"),
        ({"terminating": "wait"}, "terminating: it is drain or disengage, not 'wait'"),
        ({"verify_parent": "yes"}, "verify-parent: it is true or false, not 'yes'"),
        ({"unready_grace": "5"}, "unready-grace: '5' is not a duration; write"),
        ({"unready_grace": "-5s"}, "unready-grace: '-5s' is below 0"),
        ({"port": "0"}, "port: '0' is no port"),
        ({"endpoint": "https://{name}"}, "option endpoint is for mode=internal; add that, or leave it out"),
        ({"mode": "internal"}, "control planes at hosts of their own need credentials of their own"),
        ({"project_kubeconfig": "/no"}, "project-kubeconfig: kubeconfig /no does not exist"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(**options)
    assert str(caught.value).startswith(f"provider milo: {message}")
