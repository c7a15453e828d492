from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import ANONYMOUS, StaticCredentials
from kcontroller.transport.loading import load_config

if TYPE_CHECKING:
    from pathlib import Path

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def write(path: Path, server: str, *, context: str = "c") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"current-context: {context}\n"
        f"clusters: [{{name: {context}, cluster: {{server: 'https://{server}:1'}}}}]\n"
        f"contexts: [{{name: {context}, context: {{cluster: {context}}}}}]\n"
    )
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text("t")
    (folder / "ca.crt").write_text("-----BEGIN CERTIFICATE-----")
    return folder


def test_the_four_places_are_looked_at_in_order(tmp_path: Path, home: Path, account: Path) -> None:
    write(home / ".kube" / "config", "home")
    named, variable = write(tmp_path / "named", "named"), write(tmp_path / "variable", "variable")
    environ = {"HOME": str(home), "KUBECONFIG": str(variable), **POD}

    def host(**options: Any) -> str:
        return load_config(environ=environ, service_account_dir=account, **options).host

    assert host(kubeconfig=str(named)) == "named:1"
    assert host() == "variable:1"
    del environ["KUBECONFIG"]
    assert host() == "10.96.0.1:443"
    del environ["KUBERNETES_SERVICE_HOST"]
    assert host() == "home:1"


def test_a_context_passes_over_the_service_account_because_it_has_none(home: Path, account: Path) -> None:
    write(home / ".kube" / "config", "home")
    config = load_config(context="c", environ={"HOME": str(home), **POD}, service_account_dir=account)
    assert config.source == f'context "c" of {home}/.kube/config'


def test_a_context_in_a_pod_without_kubeconfig_is_an_error(home: Path, account: Path) -> None:
    with pytest.raises(ConfigError, match=r"no kubeconfig with a context 'c' found: .* a pod, which has no contexts"):
        load_config(context="c", environ={"HOME": str(home), **POD}, service_account_dir=account)


def test_a_pod_without_token_says_so(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"in-cluster service account: cannot read .*token"):
        load_config(environ={"HOME": str(home), **POD}, service_account_dir=tmp_path)


def test_a_pod_without_token_uses_the_home_file_and_warns(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(home / ".kube" / "config", "home")
    config = load_config(environ={"HOME": str(home), **POD}, service_account_dir=tmp_path)
    assert config.host == "home:1"
    assert "no in-cluster configuration, using" in caplog.text


def test_nothing_found_tells_all_four_places_and_the_remedy(home: Path) -> None:
    with pytest.raises(ConfigError) as failed:
        load_config(environ={"HOME": str(home)})
    assert str(failed.value) == (
        "no kubeconfig found: no --kubeconfig was given, $KUBECONFIG is not set, this is not a pod, "
        f"and {home}/.kube/config does not exist; name a file with --kubeconfig"
    )


def test_a_named_file_must_exist_even_if_others_do(home: Path, tmp_path: Path) -> None:
    write(home / ".kube" / "config", "home")
    with pytest.raises(ConfigError, match=f"kubeconfig {tmp_path}/no does not exist"):
        load_config(kubeconfig=str(tmp_path / "no"), environ={"HOME": str(home)})


def test_host_and_base_path_are_those_of_the_server() -> None:
    config = Config("https://H:6443/apis/x/control-plane/", ANONYMOUS)
    assert (config.server, config.host, config.base_path) == (
        "https://h:6443/apis/x/control-plane",
        "h:6443",
        "/apis/x/control-plane",
    )


def test_another_server_takes_the_same_credentials() -> None:
    config = Config("https://h", StaticCredentials("Bearer x"), tls=TLSConfig(server_name="n"), proxy="http://p")
    other = config.with_server("https://h/projects/a/")
    assert (other.server, other.credentials, other.tls, other.proxy) == (
        "https://h/projects/a",
        config.credentials,
        config.tls,
        config.proxy,
    )


def test_credentials_never_move_from_https_to_http() -> None:
    with pytest.raises(ConfigError, match="in clear; use https"):
        Config("https://h", ANONYMOUS).with_server("http://h")


def test_where_a_name_leads_stays_with_the_name() -> None:
    config = Config("https://h/a", ANONYMOUS, resolve="LOCALHOST:0443")

    assert config.resolve == config.with_server("https://H:443/b").resolve == "localhost:443"
    assert config.with_server("https://h:6443/a").resolve == config.with_server("https://other/a").resolve == ""


@pytest.mark.parametrize(
    "address", ["h", ":443", "h:", "h:0", "h:65536", "h:4\u0664", "a b:1", "https://h:443", "a/b:1"]
)
def test_where_a_name_leads_is_an_address_with_a_port(address: str) -> None:
    with pytest.raises(ConfigError, match="is not where to connect to; write address:port, such as"):
        Config("https://h", ANONYMOUS, resolve=address)


def test_two_readings_of_one_file_are_equal(home: Path) -> None:
    write(home / ".kube" / "config", "home")
    one, other = (load_config(environ={"HOME": str(home)}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


def test_importing_the_configuration_loads_no_yaml_and_no_client() -> None:
    heavy = "{'yaml', 'kubernetes', 'cryptography', 'pycurl'}"
    code = (
        f"import sys, kcontroller.transport.config, kcontroller.transport.incluster; print({heavy} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"
