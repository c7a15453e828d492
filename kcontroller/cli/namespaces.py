"""Which namespaces a run watches: ``-n``, ``-A``, or ``WATCH_NAMESPACE`` as operator-sdk reads it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "WATCH_NAMESPACE"

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def namespace(text: str) -> str:
    """Check the name of a namespace, a DNS label; the type of a click option."""
    if not _LABEL.fullmatch(text):
        msg = f"'{text}' is not a namespace; write at most 63 of a-z, 0-9 and '-'"
        raise click.BadParameter(msg)
    return text


def chosen(ctx: click.Context, *, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Namespaces to watch, () for all, from the options ``namespace`` and ``all_namespaces``.

    The command line wins over KCONTROLLER_* variables, and those over ``WATCH_NAMESPACE`` (a comma list; empty is all).

    Raises:
        click.UsageError: both options come from the same place, or ``WATCH_NAMESPACE`` holds what is no namespace.
    """
    named: tuple[str, ...] = ctx.params["namespace"]
    everywhere: bool = ctx.params["all_namespaces"]
    if named and everywhere:
        sources = [ctx.get_parameter_source(name) for name in ("namespace", "all_namespaces")]
        if sources[0] is sources[1]:
            msg = "-n/--namespace and -A/--all-namespaces exclude each other; use one"
            raise click.UsageError(msg, ctx)
        everywhere = sources[1] is ParameterSource.COMMANDLINE
    if everywhere:
        return ()
    return _unique(named or _watched(ctx, environ))


def _watched(ctx: click.Context, environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in environ.get(VARIABLE, "").split(",") if name.strip())
    for name in names:
        if not _LABEL.fullmatch(name):
            msg = f"{VARIABLE}: '{name}' is not a namespace; write a comma list such as 'default,staging'"
            raise click.UsageError(msg, ctx)
    return names


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
