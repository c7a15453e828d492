"""What ``kcontroller demo`` shows: a table that lives on a terminal, now and then a line elsewhere, and a picture."""

from __future__ import annotations

import io
import sys
import time
from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kcontroller.api import conditions
from kcontroller.api.objects import Object
from kcontroller.cli.demo_visitor import NAMESPACE, WIDGET
from kcontroller.errors import CacheError, ClusterNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from rich.console import RenderableType

    from kcontroller.manager import Manager

_LINE_SECONDS: Final = 5.0
_DEEDS: Final = 4
_PICTURE_WIDTH: Final = 84
_AWAY: Final = Text("left", "yellow")
_RESULTS: Final = ("success", "error")


@dataclass(frozen=True, slots=True)
class Row:
    """One cluster at one moment, or several; what is not about Widgets comes from the manager's metrics.

    Attributes:
        clusters: how many of them are engaged.
    """

    name: str
    clusters: int = 0
    widgets: int = 0
    ready: int = 0
    reconciles: int = 0
    queue: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All clusters at one moment."""

    rows: tuple[Row, ...]

    @property
    def total(self) -> Row:
        """The sum of all clusters."""
        sums = {
            each.name: sum(getattr(row, each.name) for row in self.rows) for each in fields(Row) if each.name != "name"
        }
        count = sums["clusters"]
        return Row(f"{count} cluster" if count == 1 else f"{count} clusters", **sums)

    def __str__(self) -> str:
        """Say it in one line."""
        all_ = self.total
        return (
            f"{all_.ready} of {all_.widgets} widgets ready in {all_.name}, {all_.reconciles} reconciles, "
            f"queue {all_.queue}, {all_.errors} errors"
        )


def is_ready(widget: Object) -> bool:
    """Whether the status says that the spec as it is now has come true."""
    return (
        conditions.is_true(widget, "Ready")
        and widget.get("status.observedGeneration") == widget.metadata.generation
        and widget.get("status.readyReplicas", 0) == widget.get("spec.replicas")
    )


class Looks:
    """Looks at a manager's caches and metrics, and remembers what the metrics forget about a cluster that leaves.

    Args:
        manager: it runs, or has run.
        names: of the clusters, whether they are engaged or not.
    """

    def __init__(self, manager: Manager, names: Sequence[str]) -> None:
        self._manager = manager
        self._names = names
        self._counted: dict[tuple[str, str], tuple[int, int]] = {}

    def __call__(self) -> Snapshot:
        """Look."""
        self._manager.observe()
        return Snapshot(tuple(map(self._row, self._names)))

    def _row(self, name: str) -> Row:
        engaged, widgets = True, list[Object]()
        try:
            widgets = self._manager.cluster(name).client.list(WIDGET, namespace=NAMESPACE)
        except CacheError:  # Its first list is not in yet.
            pass
        except ClusterNotFound:
            engaged = False
        counts = {result: self._count(name, result) for result in _RESULTS}
        sample = self._manager.metrics.registry.get_sample_value
        return Row(
            name,
            clusters=int(engaged),
            widgets=len(widgets),
            ready=sum(map(is_ready, widgets)),
            reconciles=sum(counts.values()),
            queue=int(sample("kcontroller_cluster_queue_depth", {"cluster": name}) or 0),
            errors=counts["error"],
        )

    def _count(self, name: str, result: str) -> int:
        """Read a counter, and go on where it stood when it began anew."""
        sample = self._manager.metrics.registry.get_sample_value
        now = int(sample("kcontroller_cluster_reconciles_total", {"cluster": name, "result": result}) or 0)
        before, forgotten = self._counted.get((name, result), (0, 0))
        if now < before:
            forgotten += before
        self._counted[name, result] = now, forgotten
        return forgotten + now


class Screen:
    """Shows a run while its ``with`` block lasts; nothing that is logged meanwhile destroys the table.

    Args:
        console: where to.
        configure_logs: sends the logs to `sys.stderr`, which the table takes over while it lives on a terminal.
    """

    def __init__(self, console: Console, configure_logs: Callable[[], None]) -> None:
        self._console = console
        self._configure_logs = configure_logs
        self._live: Live | None = None
        self._said: list[str] = []
        self._said_before = 0
        self._deeds: deque[str] = deque(maxlen=_DEEDS)
        self._frame: RenderableType = ""
        self._caption = ""
        self._next_line = time.monotonic()

    def __enter__(self) -> Self:
        """Begin; the table appears with the first `show`."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )
            self._live.start()
        self._configure_logs()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last table on the terminal."""
        self._said_before = len(self._said)
        if self._live is not None:
            self._live.stop()
            self._configure_logs()

    def say(self, text: str) -> None:
        """Write a line, above the table."""
        self._said.append(text)
        self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

    def done(self, deed: str) -> None:
        """Note a deed for the next `show`."""
        self._deeds.append(deed)

    def show(self, snapshot: Snapshot, caption: str) -> None:
        """Show how things are: at once on a terminal, every five seconds elsewhere."""
        self._caption = caption
        self._frame = _frame(snapshot, caption, self._deeds)
        if self._live is not None:
            self._live.update(self._frame, refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_SECONDS
            self._console.print(Text(f"{caption}: {snapshot}"), soft_wrap=True)

    def correct(self, snapshot: Snapshot) -> None:
        """Bring the last table up to date: a reconcile may have ended after it."""
        self._frame = _frame(snapshot, self._caption, self._deeds)
        if self._live is not None:
            self._live.update(self._frame, refresh=True)

    def picture(self, command: str) -> str:
        """Draw the terminal as SVG: the command, what was said, and the last table where it stood."""
        paper = Console(record=True, file=io.StringIO(), width=_PICTURE_WIDTH, force_terminal=True)
        paper.print(Text.assemble(("$ ", "green"), (command, "bold")))
        before, after = self._said[: self._said_before], self._said[self._said_before :]
        paper.print(*map(Text, before), self._frame, *map(Text, after), sep="\n")
        return paper.export_svg(title="kcontroller", unique_id="demo")


def _frame(snapshot: Snapshot, caption: str, deeds: deque[str]) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, show_footer=True)
    total = snapshot.total
    table.add_column("Cluster", footer=total.name, min_width=12)
    for heading, name in (("Widgets", "widgets"), ("Ready", "ready"), ("Reconciles", "reconciles"), ("Queue", "queue")):
        table.add_column(heading, footer=str(getattr(total, name)), justify="right", min_width=8)
    table.add_column("Errors", footer=str(total.errors), justify="right", min_width=8)
    for row in snapshot.rows:
        table.add_row(
            Text(row.name, "" if row.clusters else "dim"),
            str(row.widgets) if row.clusters else "",
            Text(str(row.ready), "green" if row.ready == row.widgets else "yellow") if row.clusters else _AWAY,
            str(row.reconciles),
            str(row.queue),
            Text(str(row.errors), "red" if row.errors else ""),
        )
    # Always as many lines, so that the table does not jump.
    lines = [*deeds, *[""] * (_DEEDS - len(deeds))]
    return Group(table, *(Text(f"  {line}", "dim") for line in lines), Text(f"  {caption}"))
