from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ConfigError
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.incluster import in_cluster, load

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("token", "one\n"), ("ca.crt", CA), ("namespace", "team\n")):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_pod_is_known_by_the_service_in_its_environment() -> None:
    assert in_cluster(ENVIRON)
    assert not in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1"})


def test_the_service_account_becomes_a_configuration(folder: Path) -> None:
    config = load(folder, environ=ENVIRON)
    assert (config.server, config.host, config.namespace) == ("https://10.96.0.1", "10.96.0.1:443", "team")
    assert config.credentials.authorization() == "Bearer one"
    assert config.tls.ca_pem() == CA.encode()
    assert config.source == "in-cluster service account"


def test_an_ipv6_service_gets_its_brackets(folder: Path) -> None:
    config = load(folder, environ={**ENVIRON, "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"})
    assert config.server == "https://[fd00::1]:6443"


def test_a_pod_obeys_the_proxy_of_its_environment(folder: Path) -> None:
    assert load(folder, environ={**ENVIRON, "HTTPS_PROXY": "http://p:1"}).proxy == "http://p:1"


def test_token_and_ca_are_read_again(folder: Path) -> None:
    clock = VirtualClock()
    config = load(folder, environ=ENVIRON, clock=clock)
    (folder / "token").write_text("two")
    (folder / "ca.crt").write_text(CA.replace("AAAA", "BBBB"))
    clock.advance(50.0)
    assert config.credentials.authorization() == "Bearer two"
    assert b"BBBB" in (config.tls.ca_pem() or b"")


def test_without_a_namespace_file_it_is_default(folder: Path) -> None:
    (folder / "namespace").unlink()
    assert load(folder, environ=ENVIRON).namespace == "default"


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"in-cluster service account.*cannot read {folder / name}: No such file"):
        load(folder, environ=ENVIRON)
