"""Which clusters a run works on: the configured one, or those that a provider finds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.multicluster import Provider
    from kcontroller.transport.config import Config

_IN_CLUSTER: Final = "in-cluster"


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


def config_of(where: str | None, *, option: str) -> Config | None:
    """Load the configuration of one more cluster: of a kubeconfig file, or "in-cluster" for the pod's; "" is none.

    Raises:
        ConfigError: there is no such kubeconfig, or this is no pod; the text names `option`.
    """
    if not where:
        return None
    from kcontroller.transport.loading import load_config  # noqa: PLC0415 - see the test about help

    try:
        return _pod_config() if where == _IN_CLUSTER else load_config(kubeconfig=where)
    except ConfigError as error:
        msg = f"{option}: {error}"
        raise ConfigError(msg) from error


def _pod_config() -> Config:
    from kcontroller.transport import incluster, loading  # noqa: PLC0415 - see the test about help

    if not incluster.in_cluster(os.environ):
        msg = "this is not a pod; name a kubeconfig file, or leave the option out"
        raise ConfigError(msg)
    return incluster.load(loading.SERVICE_ACCOUNT_DIR, environ=os.environ)
