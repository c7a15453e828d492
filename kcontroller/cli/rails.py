"""Options of the safety rails; what they mean is the framework's to say, and imported when one is given."""

from __future__ import annotations

from typing import Final

import click

DELETE_BUDGET: Final = "100/10m"
"""`budgets.DELETES`, which ``--help`` shows without importing it."""

NO_BUDGET: Final = "0"


def budget(text: str) -> str:
    """Check an option that is a budget; the type of a click option."""
    if text not in {DELETE_BUDGET, NO_BUDGET}:
        from kcontroller.cluster.budgets import Budget  # noqa: PLC0415

        try:
            Budget.of(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return text


def target(text: str) -> str:
    """Check an option that names what is paused; the type of a click option."""
    from kcontroller.controller.pauses import target_of  # noqa: PLC0415
    from kcontroller.errors import ConfigError  # noqa: PLC0415

    try:
        target_of(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error
    return text
