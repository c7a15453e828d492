from __future__ import annotations

import base64
import copy
import json
import logging
import os
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kcontroller.errors import ConfigError, KControllerError
from kcontroller.transport.config import Config
from kcontroller.transport.exec_plugin import ExecPolicy
from kcontroller.transport.kubeconfig import load_contexts
from kcontroller.transport.loading import config_from_data, load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def document(*, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "clusters": [{"name": "kind", "cluster": {"server": "https://h:6443", **(cluster or {})}}],
        "contexts": [{"name": "dev", "context": {"cluster": "kind", "user": "admin", "namespace": "team"}}],
        "users": [{"name": "admin", "user": user or {}}],
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config"


def load(path: Path, content: object, **options: Any) -> Config:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_config(kubeconfig=str(path), environ={**ENVIRON, **options.pop("environ", {})}, **options)


def test_a_context_becomes_a_configuration(path: Path) -> None:
    config = load(path, document(user={"token": "t"}))
    assert (config.server, config.namespace) == ("https://h:6443", "team")
    assert config.source == f'context "dev" of {path}'
    assert config.credentials.authorization() == "Bearer t"
    assert (config.tls.verify, config.tls.ca_pem(), config.proxy, config.extra_headers) == (True, None, "", ())


def test_tls_settings_are_read(path: Path) -> None:
    config = load(path, document(cluster={"certificate-authority-data": b64(CERTIFICATE), "tls-server-name": "n"}))
    assert (config.tls.ca_pem(), config.tls.server_name) == (CERTIFICATE, "n")


def test_relative_paths_are_relative_to_the_kubeconfig(path: Path) -> None:
    for name, data in (("ca", CERTIFICATE), ("crt", CERTIFICATE), ("key", KEY), ("tok", b"t")):
        (path.parent / name).write_bytes(data)
    user = {"client-certificate": "crt", "client-key": "./key", "tokenFile": "tok"}
    config = load(path, document(cluster={"certificate-authority": "ca"}, user=user))
    assert config.tls.ca_pem() == CERTIFICATE
    pair = config.credentials.client_certificate()
    assert pair is not None
    assert (pair.certificate, pair.key) == (CERTIFICATE, KEY)
    assert config.credentials.authorization() == "Bearer t"


def test_data_wins_over_files_and_a_token_file_over_a_token(path: Path) -> None:
    (path.parent / "tok").write_text("file")
    cluster = {"certificate-authority": "missing", "certificate-authority-data": b64(CERTIFICATE)}
    config = load(path, document(cluster=cluster, user={"token": "inline", "tokenFile": "tok"}))
    assert config.tls.ca_pem() == CERTIFICATE
    assert config.credentials.authorization() == "Bearer file"


def test_a_certificate_may_be_half_data_and_half_file(path: Path) -> None:
    (path.parent / "key").write_bytes(KEY)
    config = load(path, document(user={"client-certificate-data": b64(CERTIFICATE), "client-key": "key"}))
    pair = config.credentials.client_certificate()
    assert pair is not None
    assert pair.key == KEY


def test_username_and_password_become_a_basic_header(path: Path) -> None:
    config = load(path, document(user={"username": "u", "password": "p"}))
    assert config.credentials.authorization() == "Basic dTpw"


def test_impersonation_becomes_headers(path: Path) -> None:
    user = {"as": "jane", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"example.com/Reason": ["x y"]}}
    assert load(path, document(user=user)).extra_headers == (
        "Impersonate-User: jane",
        "Impersonate-Uid: 7",
        "Impersonate-Group: a",
        "Impersonate-Group: b",
        "Impersonate-Extra-example.com%2Freason: x y",
    )


def test_the_proxy_of_the_cluster_wins_over_the_environment(path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://env:1"}
    assert load(path, document(), environ=environ).proxy == "http://env:1"
    assert load(path, document(), environ={**environ, "NO_PROXY": "h"}).proxy == ""
    assert load(path, document(cluster={"proxy-url": "socks5://c:2"}), environ=environ).proxy == "socks5://c:2"


def test_a_plugin_gets_the_cluster_and_gives_the_token(path: Path) -> None:
    script = path.parent / "plugin"
    script.write_text(
        '#!/bin/sh\nprintf "%s" "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/told"\n'
        'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}\'\n'
    )
    script.chmod(0o755)
    entry = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "provideClusterInfo": True}
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
    cluster = {"certificate-authority-data": b64(CERTIFICATE), "extensions": [extension]}
    config = load(path, document(cluster=cluster, user={"exec": {**entry, "args": None, "env": None}}))
    assert config.credentials.authorization() == "Bearer t"
    assert json.loads((path.parent / "told").read_text())["spec"]["cluster"] == {
        "server": "https://h:6443",
        "certificate-authority-data": b64(CERTIFICATE),
        "config": {"audience": "a"},
    }


def test_of_several_files_the_first_wins_by_name_and_for_the_current_context(tmp_path: Path) -> None:
    one, two, three = document(), document(user={"token": "two"}), document()
    one["current-context"], one["users"], one["contexts"][0]["name"] = "", None, "other"
    two["clusters"][0]["cluster"]["server"] = "https://two"
    three["current-context"] = "other"
    three["contexts"] = [{"name": "third", "context": {"cluster": "kind"}}]
    for name, content in (("1", one), ("2", two), ("3", three)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    names = os.pathsep.join(["", *(str(tmp_path / name) for name in ("1", "missing", "2", "3"))])

    config = load_config(environ={**ENVIRON, "KUBECONFIG": names})
    assert (config.server, config.source) == ("https://h:6443", f'context "dev" of {tmp_path}/2')
    assert config.credentials.authorization() == "Bearer two"
    assert load_config(context="third", environ={**ENVIRON, "KUBECONFIG": names}).source.endswith("/3")


def test_a_broken_entry_of_another_context_is_nobodys_problem(path: Path) -> None:
    content = document()
    content["users"].append({"name": "broken", "user": {"token": 1, "client-key": "missing"}})
    assert load(path, content).server == "https://h:6443"


def without(key: str) -> dict[str, Any]:
    content = document()
    del content[key]
    return content


def with_context(**context: Any) -> dict[str, Any]:
    content = document()
    content["contexts"][0]["context"] = context
    return content


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "kubeconfig: PATH is empty; write it again"),
        ("# nothing\n", "kubeconfig PATH is empty; write it again, for example with your provider's tool"),
        (
            "a: b: c\n",
            "kubeconfig PATH, line 1: not YAML: mapping values are not allowed",
        ),
        ("x:\n  - a\n b", "kubeconfig PATH, line 3: not YAML: "),
        (
            "password: !hunter2 x",
            "kubeconfig PATH, line 1: not YAML: could not determine a constructor for the tag ...;",
        ),
        ("password: *hunter2", "kubeconfig PATH, line 1: not YAML: found undefined alias"),
        ("\x01", "kubeconfig PATH: not YAML, or not UTF-8; is it the right file?"),
        ("&a [*a]", "kubeconfig PATH: not YAML, or not UTF-8; is it the right file?"),
        ("- a\n", "kubeconfig PATH: must be a mapping with clusters, contexts and users; is it the right file?"),
        (without("current-context"), "kubeconfig PATH has no current-context; choose one with --context: dev"),
        (without("contexts"), "kubeconfig PATH has no context 'dev'; it has: none"),
        ({"clusters": []}, "kubeconfig PATH has no contexts; is it the right file?"),
        (without("clusters"), "context \"dev\" of PATH names the cluster 'kind', which is not there; it has: none"),
        (without("users"), "context \"dev\" of PATH names the user 'admin', which is not there; it has: none"),
        (with_context(cluster="kin"), "the cluster 'kin', which is not there, did you mean 'kind'?; it has: kind"),
        (with_context(user="admin"), 'context "dev" of PATH names no cluster; add cluster: with one of: kind'),
        ({**document(), "current-context": 1}, "PATH: current-context must be a string; quote it"),
        ({**document(), "users": {"a": 1}}, "kubeconfig PATH: users must be a list of mappings with name and user"),
        ({**document(), "users": [{"user": {}}]}, "the name of entry 1 of users must be a string; add or quote it"),
        (document(cluster={"server": ""}), 'cluster "kind" in PATH has no server; add server: https://host:port'),
        (
            document(cluster={"server": "h:1"}),
            "cluster \"kind\" in PATH: server 'h:1' has no scheme; write https://h:1",
        ),
        (document(cluster={"certificate-authority-data": "hunter2!"}), "certificate-authority-data is not base64"),
        (document(cluster={"certificate-authority-data": b64(b"hunter2")}), "is not a PEM certificate"),
        (
            document(cluster={"certificate-authority": "no"}),
            'cluster "kind" in PATH: certificate-authority: cannot read',
        ),
        (
            document(cluster={"proxy-url": "ftp://hunter2"}),
            'cluster "kind" in PATH: proxy-url is not the URL of a proxy',
        ),
        (
            document(cluster={"certificate-authority-data": b64(CERTIFICATE), "insecure-skip-tls-verify": True}),
            "has insecure-skip-tls-verify and a certificate-authority; remove one of them",
        ),
        (document(user={"token": 12}), 'user "admin" in PATH: Expected `str`, got `int` - at `$.token`'),
        (document(user={"token": "hunter2\nx"}), 'user "admin" in PATH: token contains spaces, control'),
        (document(user={"token": "a", "username": "hunter2"}), "has a token and a username; remove one of them"),
        (document(user={"tokenFile": "no"}), 'user "admin" in PATH: tokenFile: cannot read'),
        (document(user={"client-certificate-data": b64(CERTIFICATE)}), "has a client-certificate but no client-key;"),
        (document(user={"client-key-data": b64(KEY)}), "has a client-key but no client-certificate;"),
        (
            document(user={"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(b"hunter2")}),
            "client-key-data is not a PEM private key",
        ),
        (document(user={"client-certificate": "no", "client-key": "no"}), "client-certificate: cannot read"),
        (
            document(user={"auth-provider": {"name": "oidc"}}),
            "auth-provider 'oidc' is not supported; use an exec plugin",
        ),
        (document(user={"exec": {"apiVersion": "x"}}), "missing required field `command` - at `$.exec`"),
        (document(user={"as-groups": ["a"]}), "without as; add as:"),
        (document(user={"as": "a\r\nX-Evil: hunter2"}), "may hold printable ASCII characters only"),
    ],
)
def test_each_mistake_is_one_line_with_the_place_and_the_remedy(path: Path, content: object, complaint: str) -> None:
    with pytest.raises(ConfigError) as failed:
        load(path, content)
    text = str(failed.value)
    assert complaint.replace("PATH", str(path)) in text
    assert str(path) in text
    assert "\n" not in text
    assert "hunter2" not in text


def test_an_unknown_context_is_told_with_a_suggestion(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no context 'de', did you mean 'dev'\?; it has: dev$"):
        load(path, document(), context="de")


def test_a_hostile_context_name_cannot_forge_a_line(path: Path) -> None:
    content = document()
    content["contexts"][0]["name"] = content["current-context"] = "a\nlevel=error"
    assert "\n" not in load(path, content).source


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify is set"),
        ({"server": "http://h"}, "is not https"),
    ],
)
def test_what_endangers_credentials_is_warned_about_once(
    path: Path, change: dict[str, Any], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(path, document(cluster=change))
    assert [record.getMessage().count(warning) for record in caplog.records] == [1]


def test_a_world_writable_kubeconfig_is_warned_about(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.touch()
    path.chmod(0o602)
    load(path, document())
    assert f"everybody may write {path}" in caplog.text


def test_data_from_the_network_is_read_without_files() -> None:
    data = yaml.safe_dump(document(user={"token": "t"})).encode()
    config = config_from_data(data, source="Secret team/kubeconfig")
    assert config.source == 'context "dev" of Secret team/kubeconfig'
    assert config.credentials.authorization() == "Bearer t"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (document(user={"exec": {"command": "/bin/sh", "apiVersion": "x"}}), "exec runs a program, which is refused"),
        (document(user={"auth-provider": {"name": "gcp"}}), "auth-provider 'gcp' is not supported"),
        (document(user={"exec": {"command": "/bin/sh"}, "token": "t"}), "exec runs a program, which is refused"),
        (document(user={"auth-provider": {"name": "gcp"}, "token": "t"}), "auth-provider 'gcp' is not supported"),
        (document(user={"tokenFile": "/a"}), "tokenFile names a file, which is refused here; use token instead"),
        (document(user={"client-certificate": "a", "client-key": "b"}), "client-certificate names a file"),
        (document(cluster={"certificate-authority": "a"}), "certificate-authority names a file"),
        (document(cluster={"server": "http://169.254.169.254"}), "is refused here; use https"),
        (document(cluster={"insecure-skip-tls-verify": True}), "insecure-skip-tls-verify is refused here"),
        (document(cluster={"proxy-url": "http://10.0.0.1"}), "proxy-url is refused here"),
    ],
)
def test_data_from_the_network_may_not_reach_this_machine(content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        config_from_data(yaml.safe_dump(content).encode(), source="Secret s")


def bomb(levels: int) -> str:
    """Lists of lists that share one another: a few hundred bytes, and 9 to the power of `levels` values."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "\n".join(lines)


def test_a_file_whose_entries_share_one_another_is_read_in_no_time(path: Path) -> None:
    config = load(path, bomb(30) + "\n" + yaml.safe_dump(document(user={"token": "t"})))
    assert config.server == "https://h:6443"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (bomb(2), "holds a YAML alias"),
        ("a: &a [*a]", "holds a YAML alias"),
        ("[" * 100_000, "is nested more than 32 levels deep"),
        ("#" * 300_000, "is larger than 256 KiB"),
        ("x: [" + "1," * 10_000 + "]", "holds more than 10000 values"),
        ("x: [" + "{}," * 10_000 + "]", "holds more than 10000 values"),
        ("x: 1" + ":0" * 1_000, "holds a number of more than 256 characters"),
        ("x: 1" + ":0" * 1_000 + ".5", "holds a number of more than 256 characters"),
        ("x: !!int '1" + ": 0" * 1_000 + "'", "holds a number of more than 256 characters"),
    ],
)
def test_data_from_the_network_may_not_take_our_time_or_memory(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"^kubeconfig Secret s {complaint}"):
        config_from_data(text.encode(), source="Secret s")


def test_a_number_that_is_too_large_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="not YAML, or not UTF-8"):
        load(path, "x: 1" + ":0" * 1_000 + ".5")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("#" * 5 * 2**20, "is larger than 4096 KiB"),
        ("x: [" + "1," * 100_000 + "]", "holds more than 100000 values"),
    ],
)
def test_a_file_of_many_contexts_has_a_limit_too(path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_contexts(text.encode(), path, policy=ExecPolicy(environ=ENVIRON), wanted=lambda _: True)


def test_a_thousand_contexts_whose_user_is_elsewhere_are_told_in_no_time(path: Path) -> None:
    content = document()
    content["users"] = [{"name": f"user-{number:04}", "user": {}} for number in range(1_000)]
    content["contexts"] = [
        {"name": f"c{number}", "context": {"cluster": "kind", "user": f"user-{number:04}x"}} for number in range(1_000)
    ]
    found = load_contexts(json.dumps(content).encode(), path, policy=ExecPolicy(environ=ENVIRON), wanted=lambda _: True)

    assert "names the user 'user-0007x', which is not there; it has: user-0000, " in str(found["c7"])


@pytest.mark.parametrize("name", ["a\nb", "127.0.0.1:22", "h/x", "me@h", "*.h", "[::1]", "::1%lo", "a b", "h" * 254])
def test_a_tls_server_name_that_is_no_host_is_refused(path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r'^cluster "kind" in .*: tls-server-name must be a host name or an address'):
        load(path, document(cluster={"tls-server-name": name}))


@pytest.mark.parametrize("name", ["kubernetes", "API.example.com", "10.0.0.1", "fd00::1", "_x.test"])
def test_a_tls_server_name_is_a_host_name_or_an_address(path: Path, name: str) -> None:
    assert load(path, document(cluster={"tls-server-name": name})).tls.server_name == name


def test_a_file_that_holds_itself_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="not YAML, or not UTF-8"):
        load(path, "a: &a [*a]")


def test_every_context_of_a_file_is_loaded_and_one_that_is_broken_is_its_own_problem(path: Path) -> None:
    content = document(user={"token": "t"})
    content["contexts"] += [
        {"name": "prod", "context": {"cluster": "kind", "user": "admin"}},
        {"name": "broken", "context": {"cluster": "gone", "user": "admin"}},
        {"name": "other", "context": {"cluster": "kind", "user": "admin"}},
    ]
    policy = ExecPolicy(environ=ENVIRON)
    found = load_contexts(yaml.safe_dump(content).encode(), path, policy=policy, wanted=lambda name: name != "other")

    assert sorted(found) == ["broken", "dev", "prod"]
    assert found["dev"] == load(path, content)
    assert isinstance(found["prod"], Config)
    assert str(found["broken"]).startswith(f"context \"broken\" of {path} names the cluster 'gone', which is not there")


def test_no_secret_reaches_a_repr_an_error_or_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "canary-5f3a"
    secret_key = KEY.replace(b"AAAA", canary.encode())
    plugin = path.parent / "plugin"
    plugin.write_text(f"#!/bin/sh\necho 'Bearer {canary}' >&2\necho 'token {canary}'\nexit 1\n")
    plugin.chmod(0o755)
    secrets: dict[str, Any] = {
        "client-certificate-data": b64(CERTIFICATE),
        "client-key-data": b64(secret_key),
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "args": [canary]},
    }
    secrets["exec"]["env"] = [{"name": "PASSWORD", "value": canary}]
    good = document(cluster={"proxy-url": f"http://me:{canary}@proxy:1"}, user=secrets)
    spoilers: list[Callable[[dict[str, Any], dict[str, Any]], None]] = [
        lambda cluster, user: None,
        lambda cluster, user: user.update({"exec": None, "token": canary}),
        lambda cluster, user: user.update({"exec": None, "username": "me", "password": canary}),
        lambda cluster, user: user.update({"token": f"{canary}\n{canary}"}),
        lambda cluster, user: user.update({"token": [canary]}),
        lambda cluster, user: user.update({"token": canary, "username": canary}),
        lambda cluster, user: user.update({"client-key-data": f"{canary}!"}),
        lambda cluster, user: user.update({"client-key-data": b64(canary.encode())}),
        lambda cluster, user: cluster.update({"proxy-url": f"ftp://me:{canary}@h"}),
        lambda cluster, user: cluster.update({"server": f"https://me:{canary}@h"}),
    ]
    shown = []
    for spoil in spoilers:
        content = copy.deepcopy(good)
        spoil(content["clusters"][0]["cluster"], content["users"][0]["user"])
        try:
            config = load(path, content)
            shown += [repr(config), repr(config.credentials), repr(config.tls), str(config)]
            shown.append(repr(config.credentials.client_certificate()))
            config.credentials.authorization()
        except KControllerError as error:
            shown += [str(error), repr(error), *traceback.format_exception(error)]
    assert len(shown) > 20
    assert canary not in "".join(shown) + caplog.text


def test_json_is_read_as_the_yaml_that_it_is(path: Path) -> None:
    text = json.dumps(document(user={"token": "t", "exec": None}))
    path.write_text(text)
    assert load_config(kubeconfig=str(path)).credentials.authorization() == "Bearer t"


def test_what_only_begins_like_json_is_read_as_yaml(path: Path) -> None:
    text = yaml.safe_dump(document(user={"token": "t"}), default_flow_style=True)
    assert text.startswith("{")
    path.write_text(text)
    assert load_config(kubeconfig=str(path)).credentials.authorization() == "Bearer t"
