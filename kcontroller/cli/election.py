"""How a run elects its leader, from the options ``--leader-election-*``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.leaderelection import LeaderElection
    from kcontroller.transport.config import Config

IN_CLUSTER: Final = "in-cluster"


def election_of(options: Mapping[str, Any], config: Config) -> tuple[LeaderElection | None, Config]:
    """Say how the leader is elected, None for not at all, and which server holds the Lease.

    Args:
        options: of the command, by their names in Python.
        config: the server that is used for everything else.

    Raises:
        ConfigError: there is no such kubeconfig, this is no pod, or the durations do not go together.
    """
    if not options["leader_elect"]:
        return None, config
    # Imported here, because --help and usage errors should not pay for the framework.
    from kcontroller.leaderelection import LeaderElection  # noqa: PLC0415

    holder = _config_of(options["leader_election_kubeconfig"]) or config
    election = LeaderElection(
        name=options["leader_election_id"],
        namespace=options["leader_election_namespace"] or holder.namespace,
        lease_duration=options["leader_election_lease_duration"],
        renew_deadline=options["leader_election_renew_deadline"],
        retry_period=options["leader_election_retry_period"],
    )
    return election, holder


def _config_of(where: str | None) -> Config | None:
    if not where:
        return None
    from kcontroller.transport import incluster, loading  # noqa: PLC0415

    if where == IN_CLUSTER:
        return incluster.load(loading.SERVICE_ACCOUNT_DIR, environ=os.environ)
    return loading.load_config(kubeconfig=where)
