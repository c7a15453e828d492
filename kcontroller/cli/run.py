"""``kcontroller run``: find the Reconcilers, start a Manager, end with its exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli import namespaces
from kcontroller.cli.durations import any_duration, duration
from kcontroller.cli.failures import EPILOG, failure_of, trace_of
from kcontroller.cli.options import GroupedCommand, Option
from kcontroller.process import logs

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES: Final = "What to run"
_CLUSTER: Final = "Cluster"
_WORK: Final = "Work"
_SERVERS: Final = "Servers"
_LOGS: Final = "Logs"

_MANAGER_OPTIONS: Final = (
    "metrics_bind_address",
    "health_probe_bind_address",
    "graceful_shutdown_timeout",
    "max_concurrent_reconciles",
    "reconcile_timeout",
)
"""Options that a ManagerOptions takes under the same name."""

_EXAMPLE: Final = "for example: kcontroller run controller.py"


def _option(*names: str, group: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, group=group, show_default=True, **settings)


@click.command("run", cls=GroupedCommand, epilog=EPILOG)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@_option("-m", "--module", group=_SOURCES, metavar="MODULE[:CLASS]", multiple=True, help="Run a module. Repeatable.")
@_option("--plugin", group=_SOURCES, metavar="NAME", multiple=True, help="Run an installed plugin. Repeatable.")
@_option("--all-plugins", group=_SOURCES, is_flag=True, help="Run every installed plugin.")
@_option(
    "--kubeconfig", group=_CLUSTER, metavar="FILE", help="Instead of $KUBECONFIG, the pod's token, ~/.kube/config."
)
@_option("--context", group=_CLUSTER, metavar="NAME", help="Context of the kubeconfig; by default its current one.")
@_option(
    "-n",
    "--namespace",
    group=_CLUSTER,
    multiple=True,
    metavar="NAME",
    type=namespaces.namespace,
    help="Watch this namespace only. Repeatable. By default those in $WATCH_NAMESPACE, else all.",
)
@_option("-A", "--all-namespaces", group=_CLUSTER, is_flag=True, help="Watch all namespaces.")
@_option(
    "--max-concurrent-reconciles",
    group=_WORK,
    type=click.IntRange(min=1),
    default=1,
    help="Workers of each controller that does not say how many it wants.",
)
@_option(
    "--reconcile-timeout",
    group=_WORK,
    type=duration,
    metavar="DURATION",
    default="0",
    help="Longest time for one reconcile; 0 for none.",
)
@_option(
    "--graceful-shutdown-timeout",
    group=_WORK,
    type=any_duration,
    metavar="DURATION",
    default="30s",
    help="How long running reconciles may take to end on stop; 0 does not wait, -1s waits for ever.",
)
@_option(
    "--metrics-bind-address", group=_SERVERS, metavar="ADDRESS", default=":8080", help="Serves /metrics; 0 for none."
)
@_option(
    "--health-probe-bind-address",
    group=_SERVERS,
    metavar="ADDRESS",
    default=":8081",
    help="Serves /healthz and /readyz; 0 for none.",
)
@_option(
    "--log-format",
    group=_LOGS,
    type=click.Choice(["text", "json"]),
    help="By default text on a terminal, json otherwise.",
)
@_option(
    "--log-level",
    group=_LOGS,
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="The least level to log.",
)
@_option("-v", "--verbose", group=_LOGS, is_flag=True, help="Log at level debug, with tracebacks.")
@click.pass_context
def command(ctx: click.Context, /, sources: tuple[str, ...], **options: Any) -> None:
    """Run the Reconcilers of each SOURCE until SIGTERM or Ctrl-C.

    A SOURCE is a file or a module, with all Reconcilers defined in it, or one of them: controller.py,
    controller.py:WidgetReconciler, my.package, my.package:WidgetReconciler.
    """
    if not (sources or options["module"] or options["plugin"] or options["all_plugins"]):
        msg = f"nothing to run; name a file or a module, {_EXAMPLE}"
        raise click.UsageError(msg, ctx)
    watched = namespaces.chosen(ctx)
    logs.configure(
        sys.stderr,
        log_format=options["log_format"],
        level="debug" if options["verbose"] else options["log_level"],
        verbose=options["verbose"],
    )
    try:
        code = _run(sources, watched, options)
    except Exception as error:
        if options["verbose"]:
            click.echo(trace_of(error), err=True, nl=False)
        raise failure_of(error) from error
    ctx.exit(code)


def _run(sources: tuple[str, ...], watched: tuple[str, ...], options: dict[str, Any]) -> int:
    # Imported here, because --help and usage errors should not pay for the framework.
    from kcontroller import plugins  # noqa: PLC0415
    from kcontroller.transport.loading import load_config  # noqa: PLC0415

    reconcilers = plugins.load(
        sources, modules=options["module"], entry_points=options["plugin"], all_plugins=options["all_plugins"]
    )
    config = load_config(kubeconfig=options["kubeconfig"], context=options["context"])

    from kcontroller.manager import Manager, ManagerOptions  # noqa: PLC0415

    wanted = {name: options[name] for name in _MANAGER_OPTIONS}
    manager = Manager(config, options=ManagerOptions(namespaces=watched, **wanted))
    manager.add(*reconcilers)
    return manager.run()
