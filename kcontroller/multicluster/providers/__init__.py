"""Providers that kcontroller brings along, and how the command line names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.multicluster.provider import Provider


def provider(name: str, options: Mapping[str, str]) -> Provider:
    """Make a provider from words.

    ``milo`` takes ``selector`` (labels of the Projects), ``project-kubeconfig`` and ``project-context`` (how their
    control planes are reached, if not as the Projects themselves).

    Raises:
        ConfigError: no provider has this name, it has no such option, or what an option says cannot be used.
    """
    known = _PROVIDERS.get(name)
    if known is None:
        msg = f"there is no provider {name!r}; the known ones are: {', '.join(_PROVIDERS)}"
        raise ConfigError(msg)
    make, names = known
    unknown = sorted(set(options).difference(names))
    if unknown:
        msg = f"provider {name} has no option {unknown[0]!r}; the known ones are: {', '.join(names)}"
        raise ConfigError(msg)
    return make(options)


def _milo(options: Mapping[str, str]) -> Provider:
    # Imported here: who names no provider pays for none.
    from kcontroller.multicluster.providers.milo import MiloProvider  # noqa: PLC0415
    from kcontroller.transport.loading import load_config  # noqa: PLC0415

    kubeconfig, context = options.get("project-kubeconfig"), options.get("project-context")
    try:
        projects = load_config(kubeconfig=kubeconfig, context=context) if kubeconfig or context else None
    except ConfigError as error:
        msg = f"provider milo: {'project-kubeconfig' if kubeconfig else 'project-context'}: {error}"
        raise ConfigError(msg) from error
    return MiloProvider(selector=options.get("selector", ""), projects=projects)


_PROVIDERS: Final[Mapping[str, tuple[Callable[[Mapping[str, str]], Provider], tuple[str, ...]]]] = {
    "milo": (_milo, ("selector", "project-kubeconfig", "project-context")),
}
