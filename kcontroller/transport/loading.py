"""Where the configuration comes from.

`load_config` looks in controller-runtime's order: the file that was named, ``$KUBECONFIG``, the pod's service account,
``~/.kube/config``. `config_from_data` reads what came over the network.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

SERVICE_ACCOUNT_DIR: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_log: Final = Log("kcontroller.transport.config")


def load_config(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
    exec_allow: Sequence[str] | None = None,
    exec_timeout: float = 60.0,
    service_account_dir: Path = SERVICE_ACCOUNT_DIR,
    clock: Clock = SYSTEM_CLOCK,
) -> Config:
    """Find the configuration in controller-runtime's order; what is named explicitly must exist.

    Args:
        kubeconfig: a file, before anything else.
        context: which context of that file; also passes over the service account, which has none.
        environ: the environment, by default the process's.
        exec_allow: commands (absolute paths or names on PATH) that a kubeconfig may run; () none; None every one on a
            workstation, none in a pod.
        exec_timeout: seconds such a command may take.
        service_account_dir: where the pod's token is mounted.
        clock: the time by which credentials are renewed.

    Raises:
        ConfigError: one line that names the file, the entry and the remedy.
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("HOME") or Path.home()) / ".kube" / "config"
    in_pod = bool(environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT"))

    def from_files(*paths: Path) -> Config:
        from kcontroller.transport import exec_plugin  # noqa: PLC0415 - a pod needs no YAML
        from kcontroller.transport import kubeconfig as reader  # noqa: PLC0415

        policy = exec_plugin.ExecPolicy(exec_allow, exec_timeout, environ, clock)
        return reader.load(paths, context=context, policy=policy)

    if kubeconfig:
        return from_files(Path(kubeconfig))
    if environ.get("KUBECONFIG"):
        return from_files(*(Path(path) for path in environ["KUBECONFIG"].split(os.pathsep) if path))
    if in_pod and not context:
        from kcontroller.transport import incluster  # noqa: PLC0415 - needs this module's types

        try:
            return incluster.load(service_account_dir, environ=environ, clock=clock)
        except ConfigError as error:
            if not home.exists():
                raise
            _log.warning("no in-cluster configuration, using %s: %s", home, error)
    if home.exists():
        return from_files(home)
    named = f" with a context {context!r}" if context else ""
    msg = (
        f"no kubeconfig{named} found: no --kubeconfig was given, $KUBECONFIG is not set, "
        f"this is {'a pod, which has no contexts' if in_pod else 'not a pod'}, "
        f"and {home} does not exist; name a file with --kubeconfig"
    )
    raise ConfigError(msg)


def config_from_data(data: bytes, *, source: str, context: str | None = None, clock: Clock = SYSTEM_CLOCK) -> Config:
    """Read a kubeconfig that came over the network, such as from a Secret, as data only.

    Refuses what would run programs or read files here (exec, auth-provider, paths) and servers without https.
    No proxy of the environment is used; `source` names it in messages.
    """
    from kcontroller.transport import kubeconfig as reader  # noqa: PLC0415 - needs this module's types

    return reader.load_data(data, source=source, context=context, clock=clock)
