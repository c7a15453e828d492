"""The order of things in ``kcontroller demo``, and its verdict."""

from __future__ import annotations

import json
import signal
import sys
import sysconfig
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

import kcontroller
from kcontroller import plugins
from kcontroller.cli.demo_fleet import Fleet
from kcontroller.cli.demo_outage import Outage
from kcontroller.cli.demo_play import Play
from kcontroller.cli.demo_table import Looks, Screen, is_ready
from kcontroller.cli.demo_visitor import NAMESPACE, WIDGET, Visitor
from kcontroller.config import ManagerOptions
from kcontroller.errors import PluginError
from kcontroller.manager import Manager
from kcontroller.multicluster.providers import provider
from kcontroller.process import logs
from kcontroller.process.signals import ECHO_SECONDS, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType
    from typing import IO, Any, Self


_MANAGER: Final = ManagerOptions(
    metrics_bind_address="0", health_probe_bind_address="0", graceful_shutdown_timeout=5.0, max_concurrent_reconciles=4
)
_EXAMPLE: Final = Path("examples", "widget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says.

    Attributes:
        duration: seconds of adding, changing and deleting.
        projects: how many clusters.
        widgets: in each of them.
        as_json: the result goes to standard output as JSON, and all else to standard error.
        verbose: log everything.
        svg: takes the picture of the terminal, or None.
    """

    duration: float
    projects: int
    widgets: int
    as_json: bool
    verbose: bool
    svg: IO[str] | None


def run(options: Options) -> bool:
    """Run the demo from beginning to end; True if every Widget that should be there is ready.

    Raises:
        PluginError: the Widget example is not found.
        KControllerError: the server or its projects did not start.
    """
    began = time.monotonic()

    def configure_logs() -> None:
        level = "debug" if options.verbose else "warning"
        logs.configure(sys.stderr, log_format="text", level=level, verbose=options.verbose)

    configure_logs()
    wanted = options.projects * options.widgets
    example = find_example(Path(kcontroller.__file__).parents[1], _data_folders())
    screen = Screen(Console(stderr=options.as_json, highlight=False), configure_logs)
    with ExitStack() as stack:
        early = stack.enter_context(EarlyEnd())
        fleet = stack.enter_context(Fleet(early.wait))
        with screen:
            screen.say(f"API server: {fleet.root.server}, in this process")
            fleet.install(example / "crd.yaml")
            manager = Manager(fleet.root, provider=provider("milo", {}), options=_MANAGER)
            manager.add(*plugins.load((str(example / "widget.py"),)))
            with manager:
                users = fleet.projects(options.projects)
                visitor = Visitor(users, options.widgets)
                visitor.prepare()
                screen.say(f"projects, found while it runs: {_names(users)}; {options.widgets} Widgets in each")
                play = Play(
                    visitor=visitor,
                    outage=Outage(fleet, tuple(users), options.duration),
                    screen=screen,
                    look=Looks(manager, tuple(users)),
                    wait=early.wait,
                    wanted=wanted,
                )
                play.run(options.duration)
            end = play.look()
            screen.correct(end)
        # What counts is what the server says, not what the caches hold.
        widgets = [each for user in users.values() for each in user.list(WIDGET, namespace=NAMESPACE)]
    ready = sum(map(is_ready, widgets))
    seconds = time.monotonic() - began
    work = end.total
    summary = (
        f"{ready} of {len(widgets)} Widgets in {work.name} are ready: "
        f"{work.reconciles} reconciles, {work.errors} errors, {seconds:.1f} s"
    )
    screen.say(summary)
    if options.svg:
        options.svg.write(screen.picture("bin/kcontroller demo"))
    if options.as_json:
        result = {
            "clusters": work.clusters,
            "widgets": len(widgets),
            "widgets_ready": ready,
            "reconciles": work.reconciles,
            "errors": work.errors,
            "seconds": round(seconds, 1),
        }
        click.echo(json.dumps(result, separators=(",", ":")))
    return ready == len(widgets) == wanted


def _names(configs: Iterable[str]) -> str:
    first, *others = configs
    return f"{first} to {others[-1]}" if others else first


def find_example(package: Path, data: Iterable[Path]) -> Path:
    """Find the folder of the Widget example.

    Args:
        package: the folder that holds the package, of a checkout or an installation.
        data: the folders under which pip may have put data files.

    Raises:
        PluginError: it is in none of these places.
    """
    # `package / "share"` is where pip puts it with --target.
    places = [package / _EXAMPLE, *(each / "share" / "kcontroller" / _EXAMPLE for each in (*data, package))]
    for place in places:
        if (place / "widget.py").is_file() and (place / "crd.yaml").is_file():
            return place
    msg = f"the Widget example is missing; looked in {', '.join(map(str, dict.fromkeys(places)))}"
    raise PluginError(msg)


def _data_folders() -> list[Path]:
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    return [Path(sysconfig.get_path("data", scheme)) for scheme in schemes]


class EarlyEnd:
    """The first SIGINT or SIGTERM asks for an early end, a second one raises KeyboardInterrupt where the demo is.

    On the main thread only; on another one signals are left alone.

    Args:
        monotonic: the time, by which a repeated signal is an echo of the first.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._asked = threading.Event()
        self._at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, before in self._before.items():
            signal.signal(number, before)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the end is asked for; says whether it is."""
        return self._asked.wait(seconds)

    @property
    def asked(self) -> bool:
        """Whether the end is asked for."""
        return self._asked.is_set()

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        now = self._monotonic()
        if not self._asked.is_set():
            self._at = now
            self._asked.set()
        elif now - self._at > ECHO_SECONDS:
            raise KeyboardInterrupt
