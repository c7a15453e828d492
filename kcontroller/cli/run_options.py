"""The options of ``kcontroller run``, in the order of ``--help``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli import cluster_options, concurrency, configuration, namespaces, rails
from kcontroller.cli.durations import any_duration, duration
from kcontroller.cli.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES: Final = "What to run"
_CLUSTERS: Final = "Clusters"
_WORK: Final = "Work"
_ELECTION: Final = "Leader election"
_SERVERS: Final = "Servers"
_INSIDE: Final = "Looking inside"
_LOGS: Final = "Logs"

READY_WHEN: Final = ("first-list", "any", "quorum", "all", "none")
"""As in `kcontroller.multicluster.first_list`, which --help does without."""


def _option(*names: str, group: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, group=group, show_default=True, **settings)


_duration: Final = partial(_option, metavar="DURATION", type=duration)


def _rate(rate: str, burst: str, *, help: str) -> tuple[Callable[[Any], Any], ...]:  # noqa: A002 - as click calls it
    number = partial(_option, group=_CLUSTERS, metavar="N")
    return (
        number(rate, type=click.FloatRange(min=0), default=0.0, help=help),
        number(burst, type=click.IntRange(min=0), default=0, help="How many of them may go at once; 0 for 10."),
    )


_ALL: Final = (
    _option(
        "-m", "--module", group=_SOURCES, metavar="MODULE[:CLASS]", multiple=True, help="Run a module. Repeatable."
    ),
    _option("--plugin", group=_SOURCES, metavar="NAME", multiple=True, help="Run an installed plugin. Repeatable."),
    _option("--all-plugins", group=_SOURCES, is_flag=True, help="Run every installed plugin."),
    _option(
        "--config",
        group=_SOURCES,
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=configuration.load,
        help="Take options from a file of kind Configuration; the command line and variables go before it.",
    ),
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
        help="Work on every cluster that this provider finds, such as file or milo; by default on that one.",
    ),
    _option(
        "--provider-option",
        group=_CLUSTERS,
        metavar="KEY=VALUE",
        type=cluster_options.pair,
        multiple=True,
        help="An option of the provider; kcontroller providers lists them. Repeatable.",
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
        "--ready-when",
        group=_CLUSTERS,
        type=click.Choice(READY_WHEN),
        default=READY_WHEN[0],
        help="How many of the clusters that a provider finds at the start readiness waits for: each, until it is "
        "engaged or known to be in trouble (first-list), any one, more than half (quorum), all, however long it takes, "
        "or none.",
    ),
    _option(
        "--canary",
        group=_CLUSTERS,
        metavar="SELECTOR",
        default="",
        help="Begin with the clusters of a provider that have these labels; the others wait until nothing has failed "
        "there for --canary-minutes.",
    ),
    _option(
        "--canary-minutes",
        group=_CLUSTERS,
        metavar="N",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        help="How long they wait; each failure lets the time begin anew.",
    ),
    *_rate(
        "--cluster-qps",
        "--cluster-burst",
        help="Requests a second to each cluster of a provider that has no rate of its own; 0 for no limit.",
    ),
    *_rate(
        "--qps",
        "--burst",
        help="Requests a second to all clusters together; 0 for no limit. Lists and watches count for neither.",
    ),
    _option(
        "--max-concurrent-reconciles",
        group=_WORK,
        type=click.IntRange(min=1),
        help="Workers of each controller that does not say how many it wants; by default 1, and 4 with a provider.",
    ),
    _option(
        "--concurrency",
        group=_WORK,
        metavar="KIND.GROUP=N",
        type=concurrency.workers_of_kind,
        multiple=True,
        callback=concurrency.by_kind,
        help="Workers of the controllers of a kind, such as Deployment.apps=8 or ConfigMap=2. Repeatable.",
    ),
    _duration(
        "--reconcile-timeout",
        group=_WORK,
        default="5m",
        help="Longest time for one reconcile; 0 for no limit.",
    ),
    _option(
        "--delete-budget",
        group=_WORK,
        metavar="COUNT/TIME",
        type=rails.budget,
        default=rails.DELETE_BUDGET,
        help="How much a controller may delete in each cluster before it is paused there until somebody resumes it; 0 "
        "for no limit.",
    ),
    _option(
        "--write-budget",
        group=_WORK,
        metavar="COUNT/TIME",
        type=rails.budget,
        default=rails.NO_BUDGET,
        help="The same for all other writes.",
    ),
    _option(
        "--paused",
        group=_WORK,
        metavar="CONTROLLER[@CLUSTER]",
        type=rails.target,
        multiple=True,
        help="Start with this controller paused, '*' for each, until somebody resumes it. Repeatable.",
    ),
    _option(
        "--detect-loops/--no-detect-loops",
        group=_WORK,
        default=True,
        help="Warn of objects that a controller keeps busy with itself, and of fields that it fights over.",
    ),
    _option(
        "--once",
        group=_WORK,
        is_flag=True,
        help="Reconcile what there is to do now and end, as a CronJob does; 1 if a reconcile failed or was not done.",
    ),
    _duration(
        "--once-timeout",
        group=_WORK,
        default="5m",
        help="How long --once may take; 0 for no limit.",
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
    _duration(
        "--leader-election-lease-duration",
        group=_ELECTION,
        default="15s",
        help="How long the others wait for a leader that does not renew.",
    ),
    _duration(
        "--leader-election-renew-deadline",
        group=_ELECTION,
        default="10s",
        help="When a leader that cannot renew gives up; shorter than the lease.",
    ),
    _duration(
        "--leader-election-retry-period",
        group=_ELECTION,
        default="2s",
        help="Time between two tries.",
    ),
    _duration(
        "--leader-election-sync-patience",
        group=_ELECTION,
        default="15s",
        help="How long a replica whose caches are not synced leaves a free lease to the others.",
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
        "--metrics-secure/--no-metrics-secure",
        group=_SERVERS,
        default=False,
        help="Serve metrics by HTTPS, and only to users that the API server lets get the path.",
    ),
    _option(
        "--metrics-cert-dir",
        group=_SERVERS,
        metavar="FOLDER",
        help="Holds tls.crt and tls.key for that; by default a certificate is made at the start.",
    ),
    _option(
        "--metrics-kubeconfig",
        group=_SERVERS,
        metavar="FILE",
        help="The cluster that knows who reads metrics, or 'in-cluster'; by default that of --kubeconfig.",
    ),
    _option(
        "--health-probe-bind-address",
        group=_SERVERS,
        metavar="ADDRESS",
        default=":8081",
        help="Serves /healthz and /readyz; 0 for none.",
    ),
    _option(
        "--control-socket",
        group=_INSIDE,
        metavar="PATH",
        default="auto",
        help="Unix socket for kcontroller explain, clusters, pause and resume; auto for one that only this user "
        "reaches, 0 for none.",
    ),
    _option(
        "--trace-keys",
        group=_INSIDE,
        metavar="NUMBER",
        type=click.IntRange(min=0),
        default=1024,
        help="Requests of each controller of which it is remembered what happened to them; 0 for none.",
    ),
    _option(
        "--debug-bind-address",
        group=_INSIDE,
        metavar="ADDRESS",
        default="0",
        help="Serves /debug (threads, queues, cached objects) on loopback, such as 127.0.0.1:6060; 0 for none.",
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
