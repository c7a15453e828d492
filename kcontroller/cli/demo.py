"""``kcontroller demo``: the whole way from an API server to reconciled objects in several clusters, in one command.

::

    demo.py           the command and its options
    demo_run.py       the order of things, and the verdict
    demo_fleet.py     the embedded API server, its projects and their control planes
    demo_play.py      what happens meanwhile:
    demo_visitor.py     Widgets are added, scaled, damaged and deleted
    demo_outage.py      a project is not ready for a moment
    demo_table.py     what is shown

The Widget controller is that of ``examples/widget``; the Manager and the provider that finds the projects are those of
``kcontroller run --provider milo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli.durations import duration
from kcontroller.cli.failures import EPILOG, FAILED, Unusable, failure_of, told_in_one_line
from kcontroller.cli.options import GroupedCommand, Option

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 100


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, scope="demo", **settings)


@click.command("demo", cls=GroupedCommand, epilog=EPILOG)
@_option(
    "--duration",
    type=duration,
    metavar="DURATION",
    default="20s",
    show_default=True,
    help="How long Widgets are added, changed and deleted; 0 ends as soon as all are ready.",
)
@_option(
    "--projects",
    type=click.IntRange(1, _MOST),
    default=3,
    show_default=True,
    help="How many projects, each with a control plane of its own.",
)
@_option(
    "--widgets",
    type=click.IntRange(1, _MOST),
    default=5,
    show_default=True,
    help="How many Widgets in each project.",
)
@_option("--json", "as_json", is_flag=True, help="Write the result to standard output, in one line of JSON.")
@_option("-v", "--verbose", is_flag=True, help="Log what the manager does, with tracebacks.")
@_option("--svg", type=click.File("w", encoding="utf-8", lazy=False), hidden=True)  # Draws docs/demo.svg.
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Watch a controller work on a fleet of control planes. Needs no cluster: all of it runs in this process.

    Starts the embedded API server with a few projects, and the Widget controller of examples/widget on all of them,
    while Widgets are added, changed and deleted, and a project is not ready for a moment. Ctrl-C ends it early. The
    exit code is 0 if all Widgets became ready.
    """
    with told_in_one_line(verbose=options["verbose"]):
        try:
            # Imported here, because --help should not pay for the framework, and the extra may be missing.
            from kcontroller.cli import demo_run  # noqa: PLC0415

            ready = demo_run.run(demo_run.Options(**options))
        except ModuleNotFoundError as error:
            raise _needs_extra(error) from error
    ctx.exit(0 if ready else FAILED)


def _needs_extra(error: ModuleNotFoundError) -> click.ClickException:
    missing = (error.name or "").partition(".")[0]
    if missing in {"", "kcontroller"}:
        return failure_of(error)
    return Unusable(f"the module '{missing}' is not installed; the demo needs pip install 'kcontroller[embedded]'")
