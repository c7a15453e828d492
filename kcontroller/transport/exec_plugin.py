"""Credentials from a program that a kubeconfig names (client.authentication.k8s.io/v1 and v1beta1).

A kubeconfig with an ``exec`` entry is code. `ExecPolicy` decides whether it may run: in a pod nothing runs that was not
allowed by name. It runs without shell and terminal, with a time limit and a cap on its output; what it prints to
stderr goes to the debug log only, without the values of the entry's own ``env``.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - msgspec reads it from the annotation
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from kcontroller.errors import ConfigError, ConnectFailed
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, one_line, redact
from kcontroller.process.repeats import Repeats
from kcontroller.transport.config import ClientCertificate
from kcontroller.transport.credentials import Joined, bearer
from kcontroller.transport.exec_runs import Runs
from kcontroller.transport.files import check_certificate, check_key
from kcontroller.transport.incluster import in_cluster
from kcontroller.transport.refresh import Abandoned, Fresh, Refreshing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kcontroller.errors import KControllerError
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Credentials

_log: Final = Log("kcontroller.transport.exec")
_repeats: Final = Repeats(clock=SYSTEM_CLOCK, more=" (and so for further users, which are not named)")

_GROUP: Final = "client.authentication.k8s.io/"
_VERSIONS: Final = (f"{_GROUP}v1", f"{_GROUP}v1beta1")
_MARGIN: Final = 30.0  # Seconds before the expiry at which new credentials are asked for.
_HOLD: Final = 5.0  # Seconds between two runs at least: a server that refuses everybody must not start a fork storm.
_HINT_LIMIT: Final = 300


@dataclass(frozen=True, slots=True)
class ExecPolicy:
    """What a kubeconfig may run, and how.

    Attributes:
        allow: absolute paths, or names looked up on PATH; () nothing; None everything, but nothing in a pod.
        timeout: seconds a run may take.
        environ: the environment handed on, as the protocol asks; also says whether this is a pod, and has PATH.
        clock: the time by which credentials expire.
    """

    allow: Sequence[str] | None = None
    timeout: float = 60.0
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Clock = SYSTEM_CLOCK


class ExecVariable(msgspec.Struct, frozen=True):
    """One entry of ``env``."""

    name: str
    value: str = ""

    def __repr__(self) -> str:
        return f"ExecVariable({self.name!r})"


class ExecEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A user's ``exec`` as it stands in the kubeconfig."""

    command: str
    api_version: str = ""
    args: tuple[str, ...] = ()
    env: tuple[ExecVariable, ...] = ()
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""

    def __repr__(self) -> str:
        return f"ExecEntry({self.command!r})"


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: _Status


_decode_credential: Final = msgspec.json.Decoder(_ExecCredential).decode


@dataclass(frozen=True, slots=True)
class _Obtained:
    header: str | None = field(repr=False)
    certificate: ClientCertificate | None


class ExecCredentials:
    """Runs the plugin when credentials are needed, one run at a time, and keeps them until 30 s before they expire.

    Raises ConfigError when made for an entry that can never run; a run that fails raises `ConnectFailed`, and is
    not repeated within five seconds. A run ends with the last cluster that uses the plugin.

    After a 401 the plugin runs again: the thread that was refused waits for it, as in client-go, and the others go on
    with what there is. One server that refuses everybody must not have it run all the time, so the runs that 401s ask
    for come 5, 10, 20, 40 and then 60 seconds apart.

    Args:
        entry: the kubeconfig's ``exec``.
        where: the user as messages name it: ``user "admin" in /home/me/.kube/config``.
        folder: what a relative command path is relative to: the kubeconfig's folder.
        cluster: the ``spec.cluster`` that ``provideClusterInfo`` hands over.
        policy: whether and how to run.
    """

    def __init__(
        self, entry: ExecEntry, *, where: str, folder: Path, cluster: Mapping[str, Any], policy: ExecPolicy
    ) -> None:
        _check(entry, where=where)
        self._entry = entry
        self._where = where
        self._policy = policy
        self._cluster = dict(cluster) if entry.provide_cluster_info else None
        self._command = _resolve(entry, where=where, folder=folder, policy=policy)
        self._runs = Runs(f"exec plugin {self._command}", where=where, repeats=_repeats)
        patience = policy.timeout + _HOLD
        self._obtained = Refreshing(
            self._run, hold=_HOLD, patience=patience, clock=policy.clock, on_kept=self._say_kept
        )

    def __eq__(self, other: object) -> bool:
        """Equal if the same command runs in the same way for the same cluster."""
        return isinstance(other, ExecCredentials) and (self._entry, self._command, self._cluster) == (
            other._entry,
            other._command,
            other._cluster,
        )

    def __hash__(self) -> int:
        return hash((self._entry, self._command))

    def __repr__(self) -> str:
        return f"ExecCredentials({self._command!r})"

    def authorization(self) -> str | None:
        """Give the header value of the plugin's token, running it if needed."""
        return self._obtained.get().header

    def client_certificate(self) -> ClientCertificate | None:
        """Give the plugin's certificate, running it if needed."""
        return self._obtained.get().certificate

    def invalidate(self) -> None:
        """Run again at the next call, but not within the pause after the last run."""
        self._obtained.invalidate()

    @property
    def trouble(self) -> str:
        """What is wrong with a run that is under way; "" for nothing."""
        return self._runs.trouble

    def join(self) -> Callable[[], None]:
        """Use the plugin; returns how to leave. A run ends with the last who uses it."""
        return self._runs.join()

    def _run(self) -> Fresh[_Obtained]:
        _log.debug("running the exec plugin %s", self._command, user=self._where)
        command = (self._command, *self._entry.args)
        outcome = self._runs.run(command, env=self._environment(), timeout=self._policy.timeout)
        if outcome.stopped:
            raise Abandoned(self._complaint(outcome.problem), ours=True)
        if outcome.problem:
            self._log_stderr(outcome.stderr)
            limit = f" within {self._policy.timeout:g} s" if "in time" in outcome.problem else ""
            msg = f"{outcome.problem}{limit}; run it by hand, or set the log level to debug, to see why"
            raise self._failed(msg)
        try:
            return self._read(outcome.stdout)
        except ConfigError as error:
            raise self._failed(str(error)) from None

    def _failed(self, problem: str) -> ConnectFailed:
        return ConnectFailed(self._complaint(problem), ours=True)

    def _complaint(self, problem: str) -> str:
        # Without the user: of a fleet in which each cluster has its own, all that fail alike are counted together.
        return f"exec plugin {self._command} {problem}"

    def _say_kept(self, error: KControllerError) -> None:
        text = f"{error}; what was had before stays in use until it expires"
        told = _repeats.told(text)
        (_log.warning if told else _log.debug)("%s", told or text, user=self._where)

    def _environment(self) -> dict[str, str]:
        spec: dict[str, object] = {"interactive": False}
        if self._cluster is not None:
            spec["cluster"] = self._cluster
        info = {"apiVersion": self._entry.api_version, "kind": "ExecCredential", "spec": spec}
        own = {variable.name: variable.value for variable in self._entry.env}
        return {**self._policy.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}

    def _log_stderr(self, stderr: bytes) -> None:
        text = stderr.decode("utf-8", "replace")
        for value in {*(variable.value for variable in self._entry.env), *self._entry.args}:
            if len(value) > 3:  # noqa: PLR2004 - shorter ones are no secrets, and would shred the text
                text = text.replace(value, "[redacted]")
        _log.debug("%s", one_line(redact(text)).strip(), user=self._where)

    def _read(self, stdout: bytes) -> Fresh[_Obtained]:
        """Check the answer; errors are clauses that follow the plugin's name."""
        try:
            answer = _decode_credential(stdout)
        except msgspec.ValidationError as error:
            msg = f"printed something else than an ExecCredential with a status: {error}"
            raise ConfigError(msg) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            msg = "did not print JSON; it must print an ExecCredential"
            raise ConfigError(msg) from None
        if answer.kind != "ExecCredential" or answer.api_version != self._entry.api_version:
            msg = f"did not answer with an ExecCredential of {self._entry.api_version}; correct the entry's apiVersion"
            raise ConfigError(msg)
        return self._timed(_obtained(answer.status), answer.status.expiration_timestamp)

    def _timed(self, obtained: _Obtained, expires: datetime | None) -> Fresh[_Obtained]:
        if expires is None:
            return Fresh(obtained, float("inf"))
        left = (expires - self._policy.clock.now()).total_seconds()
        return Fresh(obtained, left - _MARGIN, left)


def plugins_of(credentials: Credentials) -> tuple[ExecCredentials, ...]:
    """Those among some credentials that run a program."""
    parts = credentials.parts if isinstance(credentials, Joined) else (credentials,)
    return tuple(part for part in parts if isinstance(part, ExecCredentials))


def _obtained(status: _Status) -> _Obtained:
    header = bearer(status.token, what="answered, but its token") if status.token.strip() else None
    certificate = None
    if status.client_certificate_data or status.client_key_data:
        certificate = ClientCertificate(
            check_certificate(status.client_certificate_data.encode(), what="answered, but its clientCertificateData"),
            check_key(status.client_key_data.encode(), what="answered, but its clientKeyData"),
        )
    if header is None and certificate is None:
        msg = "gave neither a token nor a client certificate"
        raise ConfigError(msg)
    return _Obtained(header, certificate)


def _check(entry: ExecEntry, *, where: str) -> None:
    """Refuse what this runner cannot do."""
    problem = ""
    if not entry.command:
        problem = "has no command; name the program to run"
    elif entry.api_version not in _VERSIONS:
        problem = f"has apiVersion {entry.api_version!r}; update the plugin and write {_VERSIONS[0]}"
    elif entry.interactive_mode == "Always":
        problem = "has interactiveMode Always, and a controller has no terminal; use a plugin that can do without"
    elif entry.interactive_mode not in {"", "Never", "IfAvailable"}:
        problem = f"has interactiveMode {entry.interactive_mode!r}; write Never or IfAvailable"
    elif any("\0" in variable.name or "=" in variable.name for variable in entry.env):
        problem = "has an env name that contains '=' or a null character; correct it"
    if problem:
        msg = f"{where}: exec {problem}"
        raise ConfigError(msg)


def _resolve(entry: ExecEntry, *, where: str, folder: Path, policy: ExecPolicy) -> str:
    """Give the absolute path of the command; raises ConfigError if it is missing or the policy does not allow it."""
    shown = one_line(entry.command)
    search = policy.environ.get("PATH", "")
    named = str(folder / entry.command) if "/" in entry.command else entry.command
    found = _absolute(shutil.which(named, path=search))
    if policy.allow is None and in_cluster(policy.environ):
        msg = f"{where}: exec plugin {shown} is not run in a pod; use the service account, or allow the command by name"
        raise ConfigError(msg)
    if policy.allow is not None and (found is None or not _allowed(found, policy.allow, search)):
        msg = f"{where}: exec plugin {shown} is not among the allowed commands; add its absolute path to them"
        raise ConfigError(msg)
    if found is None:
        place = "" if "/" in entry.command else " on PATH"
        hint = f": {one_line(entry.install_hint.strip())[:_HINT_LIMIT]}" if entry.install_hint.strip() else ""
        msg = f"{where}: exec plugin {shown} was not found{place}; install it{hint}"
        raise ConfigError(msg)
    return found


def _absolute(path: str | None) -> str | None:
    # The very string that is compared is run; links stay, because what they point to may be replaced by an update.
    return os.path.abspath(path) if path else None  # noqa: PTH100 - Path.absolute() leaves `..` in


def _allowed(found: str, allow: Sequence[str], search: str) -> bool:
    return found in {_absolute(entry if "/" in entry else shutil.which(entry, path=search)) for entry in allow}
