"""``kcontroller run``: find the Reconcilers, start a Manager, end with its exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli import cluster_options, election, namespaces
from kcontroller.cli.failures import EPILOG, failure_of, trace_of
from kcontroller.cli.options import GroupedCommand
from kcontroller.cli.run_options import all_options
from kcontroller.process import logs

if TYPE_CHECKING:
    from collections.abc import Sequence

_MANAGER_OPTIONS: Final = (
    "metrics_bind_address",
    "metrics_secure",
    "metrics_cert_dir",
    "health_probe_bind_address",
    "graceful_shutdown_timeout",
    "ready_when",
    "canary",
    "canary_minutes",
    "cluster_qps",
    "cluster_burst",
    "qps",
    "burst",
    "max_concurrent_reconciles",
    "concurrency",
    "reconcile_timeout",
    "delete_budget",
    "write_budget",
    "paused",
    "detect_loops",
    "trace_keys",
    "control_socket",
    "debug_bind_address",
)
"""Options that a ManagerOptions takes under the same name."""

_EXAMPLE: Final = "for example: kcontroller run controller.py"


@click.command("run", cls=GroupedCommand, epilog=EPILOG)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@all_options
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
    provider_options = cluster_options.provider_options(ctx)
    logs.configure(
        sys.stderr,
        log_format=options["log_format"],
        level="debug" if options["verbose"] else options["log_level"],
        verbose=options["verbose"],
    )
    _dump_stacks_on_request()
    try:
        code = _run(sources, watched, provider_options, options)
    except Exception as error:
        if options["verbose"]:
            click.echo(trace_of(error), err=True, nl=False)
        raise failure_of(error) from error
    ctx.exit(code)


def _dump_stacks_on_request() -> None:
    """Let SIGUSR1 print the stack of every thread, also of a process whose interpreter hangs."""
    with contextlib.suppress(OSError, ValueError):  # The standard error stream has no descriptor.
        faulthandler.register(signal.SIGUSR1)


def _run(
    sources: tuple[str, ...],
    watched: tuple[str, ...],
    provider_options: Sequence[tuple[str, str]],
    options: dict[str, Any],
) -> int:
    # Imported here, because --help and usage errors should not pay for the framework.
    from kcontroller import plugins  # noqa: PLC0415

    reconcilers = plugins.load(
        sources, modules=options["module"], entry_points=options["plugin"], all_plugins=options["all_plugins"]
    )
    provider = cluster_options.provider_of(options["provider"], provider_options, kubeconfig=options["kubeconfig"])
    config = cluster_options.hub_of(options["kubeconfig"], options["context"], provider)
    leader_election, lease_holder = election.election_of(options, config)

    from kcontroller.config import ManagerOptions  # noqa: PLC0415
    from kcontroller.manager import Manager  # noqa: PLC0415

    wanted = {name: options[name] for name in _MANAGER_OPTIONS}
    manager = Manager(
        config,
        provider=provider,
        options=ManagerOptions(namespaces=watched, leader_election=leader_election, **wanted),
        leader_election_config=lease_holder,
        metrics_config=cluster_options.config_of(options["metrics_kubeconfig"], option="--metrics-kubeconfig"),
    )
    manager.add(*reconcilers)
    return manager.run_once(options["once_timeout"] or None) if options["once"] else manager.run()
