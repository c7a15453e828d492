"""Which clusters a run works on: the configured one, or those that a provider finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.multicluster import Provider


def pair(text: str) -> tuple[str, str]:
    """Split ``KEY=VALUE`` at the first ``=``; the type of a click option."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        msg = f"'{text}' is not KEY=VALUE; write for example selector=team=a"
        raise click.BadParameter(msg)
    return key, value


def provider_options(ctx: click.Context) -> dict[str, str]:
    """The options of the provider, from the option ``provider_option``.

    Raises:
        click.UsageError: there is no provider to take them, or one is given twice.
    """
    options: dict[str, str] = {}
    for key, value in ctx.params["provider_option"]:
        if not ctx.params["provider"]:
            msg = f"--provider-option {key} needs a provider; name it, for example: --provider milo"
            raise click.UsageError(msg, ctx)
        if key in options:
            msg = f"--provider-option: '{key}' is given twice; give it once"
            raise click.UsageError(msg, ctx)
        options[key] = value
    return options


def provider_of(name: str | None, options: Mapping[str, str], *, kubeconfig: str | None = None) -> Provider | None:
    """Make the provider of that name; None stands for the one configured cluster.

    Args:
        name: of the provider.
        options: of the provider.
        kubeconfig: the file of ``--kubeconfig``, where an option names a context only.

    Raises:
        ConfigError: there is no such provider, or it does not take such options.
    """
    if not name:
        return None
    from kcontroller.multicluster.providers import provider  # noqa: PLC0415 - see the test about help

    if kubeconfig and "project-context" in options:
        options = {"project-kubeconfig": kubeconfig, **options}
    return provider(name, options)
