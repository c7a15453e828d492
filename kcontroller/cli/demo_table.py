"""What ``kcontroller demo`` shows: a table that lives on a terminal, now and then a line elsewhere, and a picture."""

from __future__ import annotations

import io
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kcontroller.api import conditions
from kcontroller.cli.demo_visitor import NAMESPACE, WIDGET
from kcontroller.errors import CacheError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import RenderableType

    from kcontroller.api.objects import Object
    from kcontroller.client.client import Client
    from kcontroller.manager import Manager

_LINE_SECONDS: Final = 5.0
_DEEDS: Final = 4
_PICTURE_WIDTH: Final = 84


@dataclass(frozen=True, slots=True)
class Row:
    """One cluster at one moment; the figures of work come from the manager's metrics."""

    cluster: str
    widgets: int
    ready: int
    reconciles: int
    queue: int
    errors: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All clusters at one moment."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, manager: Manager) -> Snapshot:
        """Read the manager's caches and metrics; a cluster that is not synced shows no Widgets."""
        manager.observe()
        return cls(tuple(_row(manager, cluster.name, cluster.client) for cluster in manager.clusters))

    @property
    def total(self) -> Row:
        """The sum of all clusters."""
        sums = [sum(column) for column in zip(*((r.widgets, r.ready, r.reconciles, r.queue, r.errors) for r in self.rows))]
        return Row(f"{len(self.rows)} clusters" if len(self.rows) != 1 else "1 cluster", *sums)

    def __str__(self) -> str:
        """Say it in one line."""
        sum_ = self.total
        return (
            f"{sum_.ready} of {sum_.widgets} widgets ready in {sum_.cluster}; {sum_.reconciles} reconciles, "
            f"queue {sum_.queue}, {sum_.errors} errors"
        )
