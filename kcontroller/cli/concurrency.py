"""How many workers the controllers of a kind get: ``--concurrency Deployment.apps=8``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable


def workers_of_kind(text: str) -> tuple[str, int]:
    """Split ``KIND.GROUP=N``; the type of a click option."""
    kind, _, workers = text.partition("=")
    if not kind or not (workers.isascii() and workers.isdecimal()) or int(workers) < 1:
        msg = f"'{text}' is not KIND.GROUP=N; write for example Deployment.apps=8, or ConfigMap=2"
        raise click.BadParameter(msg)
    return kind, int(workers)


def by_kind(ctx: click.Context, parameter: click.Parameter, given: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Collect them; the callback of a click option."""
    found: dict[str, int] = {}
    for kind, workers in given:
        if kind in found:
            msg = f"'{kind}' is given twice; give it once"
            raise click.BadParameter(msg, ctx, parameter)
        found[kind] = workers
    return found
