from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo import Internal
from kcontroller.multicluster.providers.milo.templates import Unfit, Values
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, TokenFile
from kcontroller.transport.files import WatchedFile, check_certificate

OURS = StaticCredentials("Bearer ours")
HUBS = StaticCredentials("Bearer hubs")
HUB = Config("https://infra.test", HUBS, tls=TLSConfig(ca=b"hub's", server_name="hub"), extra_headers=("A: b",))
P1 = Values("p1", "u1", "", {"port": "8443"})


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def config_of(mode: Internal, values: Values = P1, hub: Config = HUB) -> Config:
    return mode.endpoints(hub).config_of(values)


def test_a_control_plane_has_the_address_of_milos_own_provider_and_nothing_of_the_hub() -> None:
    config = config_of(Internal(credentials=OURS))

    assert config == Config(
        "https://milo-apiserver.project-p1.svc.cluster.local:6443", OURS, TLSConfig(), source="provider milo"
    )


def test_domain_and_port_have_a_place_in_the_endpoint() -> None:
    mode = Internal(credentials=OURS, domain="infra.example", port=443)
    assert config_of(mode).server == "https://milo-apiserver.project-p1.svc.infra.example"

    mode = Internal(credentials=OURS, endpoint="https://gate.{domain}:{port}/{uid}", domain="a.b", port=7443)
    assert config_of(mode).server == "https://gate.a.b:7443/u1"


def test_files_name_and_address_may_be_each_ones_own() -> None:
    mode = Internal(
        token_file="/tokens/{name}",
        ca_file="/cas/{uid}.crt",
        server_name="{name}.test",
        resolve="127.0.0.1:{labels[port]}",
    )
    config = config_of(mode)

    assert config.credentials == TokenFile(Path("/tokens/p1"), what="")
    assert config.tls.ca_file == WatchedFile(Path("/cas/u1.crt"), what="", check=check_certificate)
    assert (config.tls.server_name, config.resolve) == ("p1.test", "127.0.0.1:8443")
    assert config == config_of(mode), "files count by path"


def test_a_kubeconfig_for_the_control_planes_lends_credentials_and_trust() -> None:
    access = replace(HUB, credentials=OURS, qps=5.0, burst=7)
    config = config_of(Internal.like(access))

    assert (config.credentials, config.tls, config.extra_headers) == (OURS, TLSConfig(ca=b"hub's"), ("A: b",))
    assert (config.qps, config.burst) == (5.0, 7)
    assert config.server == "https://milo-apiserver.project-p1.svc.cluster.local:6443"


def test_the_hubs_credentials_go_there_only_if_that_is_said() -> None:
    config = config_of(Internal(hub_credentials=True))
    assert (config.credentials, config.tls, config.extra_headers) == (HUBS, TLSConfig(ca=b"hub's"), ("A: b",))

    other = TLSConfig(ca=b"theirs")
    assert config_of(Internal(hub_credentials=True, tls=other)).tls == other


def test_the_hubs_credentials_do_not_go_to_whom_nobody_has_verified() -> None:
    mode, hub = Internal(hub_credentials=True), replace(HUB, tls=TLSConfig(verify=False))

    for unsafe in (mode, replace(mode, tls=TLSConfig(verify=False))):
        with pytest.raises(
            ConfigError, match="the hub's credentials do not go to hosts that nobody verifies; give a CA"
        ):
            unsafe.endpoints(hub)
    assert config_of(replace(mode, tls=TLSConfig()), hub=hub).tls.verify
    assert config_of(replace(mode, ca_file="/ca"), hub=hub).tls.verify


def test_a_ca_is_asked_also_where_the_kubeconfig_would_trust_anyone() -> None:
    access = replace(HUB, tls=TLSConfig(verify=False))

    assert not config_of(Internal.like(access)).tls.verify
    assert config_of(Internal.like(access, ca_file="/ca")).tls.verify


def test_the_environment_decides_of_the_proxy_for_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", ".cluster.local")
    through = replace(HUB, proxy="http://proxy.test:3128")

    assert config_of(Internal(credentials=OURS)).proxy == config_of(Internal.like(through)).proxy == ""
    assert config_of(Internal.like(through, domain="far.example")).proxy == "http://proxy.test:3128"
    assert config_of(Internal.like(replace(HUB, proxy="http://said.test:1"))).proxy == "http://said.test:1"


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("https://{name}.test", "infra"),
        ("https://{name}.test.:443/", "infra"),
        ("https://{name}.test//", "infra"),
        ("https://infra.test/{name}", "apis"),
        ("https://infra.test/%61pis/{name}/v1", "acme"),
        ("https://infra.test/apis//{name}/v1/control-plane", "acme"),
    ],
)
@pytest.mark.parametrize("hub", ["https://infra.test", "https://Infra.test."])
def test_no_control_plane_is_the_hub_or_leads_to_its_root(endpoint: str, name: str, hub: str) -> None:
    mode = Internal(hub_credentials=True, endpoint=endpoint)
    url = f"{hub}/apis/acme/v1/control-plane"

    with pytest.raises(Unfit, match=r"it would be reached at https://infra\.test.*, which is the hub"):
        config_of(mode, Values(name, "", "", {}), replace(HUB, server=url))


@pytest.mark.parametrize("endpoint", ["https://infra.test/{name}", "https://infra.test:6443", "https://other.test"])
def test_a_control_plane_may_be_beside_the_hub_or_below_it(endpoint: str) -> None:
    mode = Internal(credentials=OURS, endpoint=f"{endpoint}/{{name}}")

    for url in ("https://infra.test/p", "https://infra.test"):
        assert config_of(mode, hub=replace(HUB, server=url)).server.startswith(endpoint.partition("{")[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            "give a kubeconfig for them (project-kubeconfig), or a token file (token-file), or say that they get",
        ),
        ({}, "of the hub (hub-credentials), and not two of these"),
        ({"credentials": OURS, "token_file": "/t"}, "and not two of these"),
        ({"token_file": "/t", "hub_credentials": True}, "and not two of these"),
        (
            {"credentials": OURS, "endpoint": "milo.local:6443"},
            "endpoint: 'milo.local:6443' has no scheme; write https",
        ),
        (
            {"credentials": OURS, "endpoint": "https://milo.local"},
            "may be the same for several projects; write {name} or {uid}",
        ),
        (
            {"credentials": OURS, "endpoint": "https://{labels[cell]}.{namespace}.local"},
            "may be the same for several projects; write {name} or {uid}",
        ),
        ({"credentials": OURS, "endpoint": "https://{name}.a b"}, "contains a space"),
        ({"credentials": OURS, "endpoint": "https://u@{name}"}, "must not contain '@'"),
        ({"credentials": OURS, "endpoint": "https://{name}?x"}, "query or fragment"),
        ({"credentials": OURS, "server_name": "{nam}"}, "server-name: '{nam}' has a field that does not exist"),
        ({"credentials": OURS, "resolve": "{name}"}, "is not where to connect to; write address:port"),
    ],
)
def test_what_cannot_lead_to_a_project_is_refused_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Internal(**given)
    assert str(caught.value).startswith("provider milo: ") or "provider milo" in str(caught.value)
    assert message in str(caught.value)


def test_no_secret_is_shown() -> None:
    shown = repr(Internal(credentials=OURS, proxy="http://u:ours@p", extra_headers=("Authorization: ours",)))

    assert "ours" not in shown
