"""Options that are durations as Go writes them: ``300ms``, ``1.5s``, ``2m``, ``1h30m``, ``0``."""

from __future__ import annotations

import click

from kcontroller.process.go_durations import parse


def duration(text: str) -> float:
    """Read an option that is a duration of 0 or more, as seconds; the type of a click option."""
    seconds = any_duration(text)
    if seconds < 0:
        msg = f"'{text}' is below 0"
        raise click.BadParameter(msg)
    return seconds


def any_duration(text: str) -> float:
    """Read an option that is a duration, also one below 0, as seconds; the type of a click option."""
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
