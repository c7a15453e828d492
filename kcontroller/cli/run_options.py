"""The options of ``kcontroller run``, in the order of ``--help``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli import clusters, namespaces
from kcontroller.cli.durations import any_duration, duration
from kcontroller.cli.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES: Final = "What to run"
_CLUSTERS: Final = "Clusters"
_WORK: Final = "Work"
_ELECTION: Final = "Leader election"
_SERVERS: Final = "Servers"
_LOGS: Final = "Logs"


def _option(*names: str, group: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, group=group, show_default=True, **settings)


_ALL: Final = (
    _option(
        "-m", "--module", group=_SOURCES, metavar="MODULE[:CLASS]", multiple=True, help="Run a module. Repeatable."
    ),
    _option("--plugin", group=_SOURCES, metavar="NAME", multiple=True, help="Run an installed plugin. Repeatable."),
    _option("--all-plugins", group=_SOURCES, is_flag=True, help="Run every installed plugin."),
    _option(
        "--kubeconfig", group=_CLUSTERS, metavar="FILE", help="Instead of $KUBECONFIG, the pod's token, ~/.kube/config."
    ),
    _option(
        "--context", group=_CLUSTERS, metavar="NAME", help="Context of the kubeconfig; by default its current one."
    ),
    _option(
        "--provider",
        group=_CLUSTERS,
        metavar="NAME",
        help="Work on every cluster that this provider finds from there, such as milo; by default on that cluster.",
    ),
    _option(
        "--provider-option",
        group=_CLUSTERS,
        metavar="KEY=VALUE",
        type=clusters.pair,
        multiple=True,
        help="Of milo: selector (of Projects by label), project-kubeconfig, project-context. Repeatable.",
    ),
    _option(
        "-n",
        "--namespace",
        group=_CLUSTERS,
        multiple=True,
        metavar="NAME",
        type=namespaces.namespace,
        help="Watch this namespace only, in each cluster. Repeatable. By default those in $WATCH_NAMESPACE, else all.",
    ),
    _option("-A", "--all-namespaces", group=_CLUSTERS, is_flag=True, help="Watch all namespaces."),
    _option(
        "--max-concurrent-reconciles",
        group=_WORK,
        type=click.IntRange(min=1),
        help="Workers of each controller that does not say how many it wants; by default 1, and 4 with a provider.",
    ),
    _option(
        "--reconcile-timeout",
        group=_WORK,
        type=duration,
        metavar="DURATION",
        default="0",
        help="Longest time for one reconcile; 0 for none.",
    ),
    _option(
        "--graceful-shutdown-timeout",
        group=_WORK,
        type=any_duration,
        metavar="DURATION",
        default="30s",
        help="How long running reconciles may take to end on stop; 0 does not wait, -1s waits for ever.",
    ),
    _option(
        "--leader-elect/--no-leader-elect",
        group=_ELECTION,
        default=False,
        help="Work only while this replica holds a Lease; the others stand by with full caches.",
    ),
    _option("--leader-election-id", group=_ELECTION, metavar="NAME", default="kcontroller", help="Name of the Lease."),
    _option(
        "--leader-election-namespace",
        group=_ELECTION,
        metavar="NAME",
        type=namespaces.namespace,
        help="Namespace of the Lease; by default the pod's own, or that of the context.",
    ),
    _option(
        "--leader-election-lease-duration",
        group=_ELECTION,
        type=duration,
        metavar="DURATION",
        default="15s",
        help="How long the others wait for a leader that does not renew.",
    ),
    _option(
        "--leader-election-renew-deadline",
        group=_ELECTION,
        type=duration,
        metavar="DURATION",
        default="10s",
        help="When a leader that cannot renew gives up; shorter than the lease.",
    ),
    _option(
        "--leader-election-retry-period",
        group=_ELECTION,
        type=duration,
        metavar="DURATION",
        default="2s",
        help="Time between two tries.",
    ),
    _option(
        "--leader-election-kubeconfig",
        group=_ELECTION,
        metavar="FILE",
        help="The cluster that holds the Lease, or 'in-cluster' for the pod's; by default that of --kubeconfig.",
    ),
    _option(
        "--metrics-bind-address",
        group=_SERVERS,
        metavar="ADDRESS",
        default=":8080",
        help="Serves /metrics; 0 for none.",
    ),
    _option(
        "--health-probe-bind-address",
        group=_SERVERS,
        metavar="ADDRESS",
        default=":8081",
        help="Serves /healthz and /readyz; 0 for none.",
    ),
    _option(
        "--log-format",
        group=_LOGS,
        type=click.Choice(["text", "json"]),
        help="By default text on a terminal, json otherwise.",
    ),
    _option(
        "--log-level",
        group=_LOGS,
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        help="The least level to log.",
    ),
    _option("-v", "--verbose", group=_LOGS, is_flag=True, help="Log at level debug, with tracebacks."),
)


def all_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command function all of them."""
    for add in reversed(_ALL):
        function = add(function)
    return function
