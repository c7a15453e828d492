"""Which clusters a run works on: the configured one, or those that a provider finds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def provider_options(ctx: click.Context) -> tuple[tuple[str, str], ...]:
    """The options of the provider, from the option ``provider_option``; the same one may come several times.

    Raises:
        click.UsageError: there is no provider to take them.
    """
    options: tuple[tuple[str, str], ...] = ctx.params["provider_option"]
    if _is_default(ctx, "provider_option") and not _is_default(ctx, "provider"):
        return ()  # A file's options are those of the file's provider.
    if options and not ctx.params["provider"]:
        msg = f"--provider-option {options[0][0]} needs a provider; name it, for example: --provider milo"
        raise click.UsageError(msg, ctx)
    return options


def _is_default(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) in {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP}


def provider_of(
    name: str | None, options: Sequence[tuple[str, str]], *, kubeconfig: str | None = None
) -> Provider | None:
    """Make the provider of that name; None stands for the one configured cluster.

    Args:
        name: of the provider.
        options: of the provider.
        kubeconfig: the file of ``--kubeconfig``, where an option names a context only.

    Raises:
        ConfigError: there is no such provider, or it does not take such options.
        PluginError: there is one, and it is broken.
    """
    if not name:
        return None
    from kcontroller.multicluster.providers import ProviderContext, provider  # noqa: PLC0415 - see the test about help

    return provider(name, options, ProviderContext(kubeconfig=kubeconfig or ""))


def hub_of(kubeconfig: str | None, context: str | None, provider: Provider | None) -> Config | None:
    """Load the configuration of the hub; None if nothing is named, nothing is found, and the provider goes without.

    Raises:
        ConfigError: there is none, and it is needed or was named.
    """
    from kcontroller.transport.loading import load_config  # noqa: PLC0415 - see the test about help

    try:
        return load_config(kubeconfig=kubeconfig, context=context)
    except ConfigError:
        if kubeconfig or context or provider is None or getattr(provider, "needs_hub", True):
            raise
        return None


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
