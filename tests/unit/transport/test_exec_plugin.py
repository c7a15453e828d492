from __future__ import annotations

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError, ConnectFailed
from kcontroller.process.repeats import NAMED
from kcontroller.testing import eventually
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.credentials import ANONYMOUS, Joined
from kcontroller.transport.exec_plugin import ExecCredentials, ExecEntry, ExecPolicy, ExecVariable, plugins_of
from kcontroller.transport.refresh import Abandoned, NotReady, waking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

V1 = "client.authentication.k8s.io/v1"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
WHERE = 'user "me" in /k'


def answer(**status: object) -> str:
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


class Plugin:
    """A shell script that counts its runs and prints what the test put into `answer`."""

    def __init__(self, folder: Path, clock: VirtualClock) -> None:
        self.folder = folder
        self.clock = clock
        self.path = folder / "plugin"
        self.script('cat "$(dirname "$0")/answer"')
        self.environ = {"PATH": os.environ["PATH"]}

    def script(self, text: str) -> None:
        self.path.write_text(f'#!/bin/sh\necho run >> "$(dirname "$0")/runs"\n{text}\n')
        self.path.chmod(0o755)

    def answer(self, **status: object) -> None:
        (self.folder / "answer").write_text(answer(**status))

    @property
    def runs(self) -> int:
        path = self.folder / "runs"
        return path.read_text().count("run") if path.exists() else 0

    def credentials(
        self,
        *,
        allow: list[str] | None = None,
        timeout: float = 10.0,
        cluster: dict[str, Any] | None = None,
        **entry: Any,
    ) -> ExecCredentials:
        return ExecCredentials(
            ExecEntry(**{"command": "./plugin", "api_version": V1, **entry}),
            where=WHERE,
            folder=self.folder,
            cluster=cluster or {},
            policy=ExecPolicy(allow, timeout, self.environ, self.clock),
        )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def plugin(tmp_path: Path, clock: VirtualClock) -> Plugin:
    return Plugin(tmp_path, clock)


def at(clock: VirtualClock, seconds: float) -> str:
    return (clock.now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_token_without_expiry_is_asked_for_once(plugin: Plugin, clock: VirtualClock) -> None:
    plugin.answer(token="one")
    credentials = plugin.credentials()
    assert plugin.runs == 0
    clock.advance(1e6)
    assert [credentials.authorization() for _ in range(3)] == ["Bearer one"] * 3
    assert credentials.client_certificate() is None
    assert plugin.runs == 1


def test_a_certificate_may_come_instead_of_a_token(plugin: Plugin) -> None:
    plugin.answer(clientCertificateData=CERTIFICATE, clientKeyData=KEY)
    credentials = plugin.credentials()
    pair = credentials.client_certificate()
    assert pair is not None
    assert (pair.certificate, pair.key) == (CERTIFICATE.encode(), KEY.encode())
    assert credentials.authorization() is None


def test_the_plugin_runs_again_thirty_seconds_before_the_expiry(plugin: Plugin, clock: VirtualClock) -> None:
    plugin.answer(token="one", expirationTimestamp=at(clock, 100))
    credentials = plugin.credentials()
    credentials.authorization()
    plugin.answer(token="two", expirationTimestamp=at(clock, 900))
    clock.advance(69)
    assert credentials.authorization() == "Bearer one"
    clock.advance(1)
    assert credentials.authorization() == "Bearer one"  # Nobody waits as long as that is good.
    eventually(lambda: credentials.authorization() == "Bearer two")


def test_a_plugin_that_fails_before_the_expiry_leaves_the_old_token_in_use(plugin: Plugin, clock: VirtualClock) -> None:
    plugin.answer(token="one", expirationTimestamp=at(clock, 100))
    credentials = plugin.credentials()
    credentials.authorization()
    plugin.script("exit 1")
    clock.advance(80)
    assert credentials.authorization() == "Bearer one"
    clock.advance(20)
    with pytest.raises(ConnectFailed, match="exited with status 1"):
        credentials.authorization()


def test_credentials_that_have_expired_already_do_not_start_a_fork_storm(plugin: Plugin, clock: VirtualClock) -> None:
    plugin.answer(token="one", expirationTimestamp=at(clock, -100))
    credentials = plugin.credentials()
    assert [credentials.authorization() for _ in range(5)] == ["Bearer one"] * 5
    assert plugin.runs == 1
    clock.advance(5)
    credentials.authorization()
    assert plugin.runs == 2


def test_after_a_401_the_plugin_runs_again_once_for_all_threads(plugin: Plugin, clock: VirtualClock) -> None:
    plugin.answer(token="one")
    credentials = plugin.credentials()
    credentials.authorization()
    plugin.answer(token="two")
    clock.advance(5)
    together = threading.Barrier(8)

    def refused() -> str | None:
        credentials.invalidate()
        together.wait(10)
        return credentials.authorization()

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(refused) for _ in range(8)]
        assert {answer.result(10) for answer in answers} == {"Bearer two"}
    assert plugin.runs == 2


def test_the_plugin_learns_what_it_is_asked_for(plugin: Plugin) -> None:
    plugin.script('printf "%s" "$KUBERNETES_EXEC_INFO|$REGION|$1|$HOST_VARIABLE" > "$(dirname "$0")/told"; exit 1')
    plugin.environ["HOST_VARIABLE"] = "host"
    credentials = plugin.credentials(
        args=("login",),
        env=(ExecVariable("REGION", "eu"),),
        provide_cluster_info=True,
        cluster={"server": "https://h", "config": {"a": 1}},
    )
    with pytest.raises(ConnectFailed):
        credentials.authorization()
    info, *rest = (plugin.folder / "told").read_text().split("|")
    assert json.loads(info) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "https://h", "config": {"a": 1}}},
    }
    assert rest == ["eu", "login", "host"]


def test_arguments_reach_the_plugin_without_a_shell(plugin: Plugin) -> None:
    plugin.script('printf "%s" "$1" > "$(dirname "$0")/told"; exit 1')
    with pytest.raises(ConnectFailed):
        plugin.credentials(args=("$(id); `id`",)).authorization()
    assert (plugin.folder / "told").read_text() == "$(id); `id`"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo hunter2; echo hunter2 >&2; exit 3", "exited with status 3; run it by hand"),
        ("echo hunter2", "did not print JSON"),
        ("printf '\\377hunter2'", "did not print JSON"),
        ('echo \'{"kind": "hunter2"}\'', "printed something else than an ExecCredential"),
        (f"echo '{answer(token=['hunter2'])}'", r"Expected `str`, got `array` - at `\$\.status\.token`"),
        (f"echo '{answer(token='hunter2', expirationTimestamp='hunter2')}'", "Invalid RFC3339"),
        (f"echo '{answer(token='hunter2 x')}'", "answered, but its token contains spaces"),
        (f"echo '{answer()}'", "gave neither a token nor a client certificate"),
        (f"echo '{answer(clientCertificateData='hunter2')}'", "clientCertificateData is not a PEM certificate"),
        (f"echo '{answer(token='hunter2').replace('/v1', '/v1beta1')}'", f"an ExecCredential of {V1}"),
        ("exec yes hunter2", "printed more than 1024 KiB"),
    ],
)
def test_a_bad_answer_is_one_line_with_the_command_and_no_secret(plugin: Plugin, script: str, complaint: str) -> None:
    plugin.script(script)
    with pytest.raises(ConnectFailed, match=complaint) as failed:
        plugin.credentials().authorization()
    text = str(failed.value)
    assert text.startswith(f"exec plugin {plugin.path} ")
    assert "hunter2" not in text
    assert "\n" not in text


def test_of_many_users_whose_credentials_are_not_renewed_a_few_are_named(
    plugin: Plugin, clock: VirtualClock, caplog: pytest.LogCaptureFixture, eventually: Callable[..., None]
) -> None:
    plugin.answer(token="one", expirationTimestamp=at(clock, 100))
    users = [plugin.credentials(args=(f"user-{number}",)) for number in range(NAMED + 3)]
    assert {user.authorization() for user in users} == {"Bearer one"}
    plugin.script("exit 3")
    clock.advance(80)

    assert {user.authorization() for user in users} == {"Bearer one"}
    eventually(lambda: plugin.runs == 2 * len(users))
    eventually(lambda: not any(thread.name == "kc-load-credentials" for thread in threading.enumerate()))
    assert len(caplog.records) == NAMED + 1
    assert sum("further users" in message for message in caplog.messages) == 1
    assert caplog.records[0].kc_fields["user"] == WHERE  # type: ignore[attr-defined]


def test_a_plugin_that_hangs_is_told_with_its_limit(plugin: Plugin) -> None:
    plugin.script("exec sleep 60")
    with pytest.raises(ConnectFailed, match=r"did not end in time within 0\.2 s"):
        plugin.credentials(timeout=0.2).authorization()


def test_a_plugin_that_hangs_is_ended_by_the_last_cluster_that_leaves(
    plugin: Plugin, caplog: pytest.LogCaptureFixture, eventually: Callable[..., None]
) -> None:
    plugin.script("exec sleep 60")
    credentials = plugin.credentials()
    woken = threading.Event()
    leave = credentials.join()
    with waking(woken.set), pytest.raises(NotReady):
        credentials.authorization()
    eventually(lambda: plugin.runs == 1)
    leave()

    assert woken.wait(10)
    with pytest.raises(Abandoned, match=f"^exec plugin {plugin.path} was ended: nobody waits"):
        credentials.authorization()
    assert caplog.messages == []


def test_plugins_are_found_among_other_credentials(plugin: Plugin) -> None:
    credentials = plugin.credentials()

    assert plugins_of(credentials) == plugins_of(Joined((ANONYMOUS, credentials))) == (credentials,)
    assert plugins_of(ANONYMOUS) == ()


def test_a_failing_plugin_is_not_run_again_within_five_seconds(plugin: Plugin, clock: VirtualClock) -> None:
    plugin.script("exit 1")
    credentials = plugin.credentials()
    for _ in range(3):
        with pytest.raises(ConnectFailed):
            credentials.authorization()
    assert plugin.runs == 1
    plugin.answer(token="one")
    plugin.script('cat "$(dirname "$0")/answer"')
    clock.advance(5)
    assert credentials.authorization() == "Bearer one"


def test_stderr_reaches_the_debug_log_without_the_entrys_values(
    plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plugin.script('echo "login of $PASSWORD and $1 failed: no network" >&2; exit 1')
    with pytest.raises(ConnectFailed):
        plugin.credentials(env=(ExecVariable("PASSWORD", "hunter2"),), args=("hunter3",)).authorization()
    assert "login of [redacted] and [redacted] failed: no network" in caplog.text


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"interactive_mode": "Always"}, "a controller has no terminal"),
        ({"interactive_mode": "Maybe"}, "interactiveMode 'Maybe'; write Never or IfAvailable"),
        ({"api_version": "client.authentication.k8s.io/v1alpha1"}, f"update the plugin and write {V1}"),
        ({"api_version": ""}, f"write {V1}"),
        ({"command": ""}, "has no command"),
        ({"env": (ExecVariable("A=B", ""),)}, "has an env name"),
        (
            {"command": "kc-no-such-plugin", "install_hint": "brew install it\nnow"},
            r"on PATH; install it: brew install it\\nnow",
        ),
        ({"command": "./missing"}, "exec plugin ./missing was not found; install it"),
    ],
)
def test_an_entry_that_can_never_run_is_refused_when_it_is_read(
    plugin: Plugin, entry: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as failed:
        plugin.credentials(**entry)
    assert str(failed.value).startswith(f"{WHERE}: exec ")


def test_the_beta_version_is_spoken_too(plugin: Plugin) -> None:
    beta = "client.authentication.k8s.io/v1beta1"
    (plugin.folder / "answer").write_text(answer(token="one").replace(V1, beta))
    assert plugin.credentials(api_version=beta).authorization() == "Bearer one"


def test_only_allowed_commands_run(plugin: Plugin) -> None:
    plugin.answer(token="one")
    for allow in ([], ["/bin/sh"], ["plugin"]):
        with pytest.raises(ConfigError, match="is not among the allowed commands"):
            plugin.credentials(allow=allow)
    assert plugin.credentials(allow=[str(plugin.path)]).authorization() == "Bearer one"


def test_a_path_that_only_looks_like_an_allowed_one_is_refused(plugin: Plugin) -> None:
    (plugin.folder / "sub").mkdir()
    with pytest.raises(ConfigError, match="is not among the allowed commands"):
        plugin.credentials(command="./plugin", allow=[str(plugin.folder / "sub" / "plugin")])


def test_a_name_is_allowed_as_path_finds_it(plugin: Plugin) -> None:
    plugin.environ["PATH"] = f"{plugin.folder}:{plugin.environ['PATH']}"
    plugin.answer(token="one")
    assert plugin.credentials(command="plugin", allow=["plugin"]).authorization() == "Bearer one"


def test_in_a_pod_nothing_runs_that_was_not_allowed(plugin: Plugin) -> None:
    plugin.environ |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    plugin.answer(token="one")
    with pytest.raises(ConfigError, match="is not run in a pod"):
        plugin.credentials()
    assert plugin.runs == 0
    assert plugin.credentials(allow=[str(plugin.path)]).authorization() == "Bearer one"


def test_plugins_are_equal_if_they_run_alike(plugin: Plugin) -> None:
    assert plugin.credentials() == plugin.credentials()
    assert plugin.credentials() != plugin.credentials(args=("x",))
    assert "hunter2" not in repr(plugin.credentials(args=("hunter2",)))
