"""How a run elects its leader, from the options ``--leader-elect`` and ``--leader-election-*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.cli.cluster_options import config_of
from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.leaderelection import LeaderElection
    from kcontroller.transport.config import Config

_DURATIONS: Final = ("lease_duration", "renew_deadline", "retry_period", "sync_patience")


def election_of(options: Mapping[str, Any], config: Config | None) -> tuple[LeaderElection | None, Config | None]:
    """Say how the leader is elected, None for not at all, and which server holds the Lease.

    Args:
        options: of the command, by their names in Python.
        config: the server of everything else, if there is one.

    Raises:
        ConfigError: there is no such kubeconfig, this is no pod, or the durations do not go together.
    """
    if not options["leader_elect"]:
        return None, config
    # Imported here, because --help and usage errors should not pay for the framework.
    from kcontroller.leaderelection import LeaderElection  # noqa: PLC0415

    holder = config_of(options["leader_election_kubeconfig"], option="--leader-election-kubeconfig") or config
    if holder is None:
        msg = "--leader-elect needs a cluster for its Lease; name one with --kubeconfig or --leader-election-kubeconfig"
        raise ConfigError(msg)
    durations = {name: options[f"leader_election_{name}"] for name in _DURATIONS}
    namespace = options["leader_election_namespace"] or holder.namespace
    try:
        return LeaderElection(name=options["leader_election_id"], namespace=namespace, **durations), holder
    except ConfigError as error:
        raise ConfigError(_in_options(str(error))) from error


def _in_options(text: str) -> str:
    """Call the durations by the options that set them."""
    for name in _DURATIONS:
        text = text.replace(name, f"--leader-election-{name.replace('_', '-')}")
    return text
