"""Providers: those that kcontroller brings along, and those of others, made from words.

::

    provider.py (above)  what a provider is
    options.py           how one is described, so that it can be made from words
    catalogue.py         which ones are installed
    names.py             which names a cluster may have
    static.py            clusters that are given at the start and stay
    file.py              contexts of kubeconfig files, as they come and go; looked after by kubeconfig_files.py
    kubeconfig.py        Secrets that hold a kubeconfig; hosts.py says where these may lead
    milo.py              the Projects of a Milo API server
    union.py             several providers as one
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError, PluginError
from kcontroller.multicluster.providers import catalogue
from kcontroller.multicluster.providers.options import Option, ProviderContext, ProviderType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.multicluster.provider import Provider

__all__ = ["Option", "ProviderContext", "ProviderType", "provider"]

_DEFAULT: Final = ProviderContext()
_PARTS: Final = ("name", "patience", "start", "stop")


def provider(
    name: str, options: Mapping[str, str] | Iterable[tuple[str, str]] = (), context: ProviderContext = _DEFAULT
) -> Provider:
    """Make a provider from words; ``kcontroller providers`` lists the names and their options.

    Args:
        name: of an installed provider: an entry point of the group ``kcontroller.providers``.
        options: what it takes; as pairs, where one is given several times.
        context: what surrounds it.

    Raises:
        ConfigError: no provider has this name, it has no such option, or what an option says cannot be used.
        PluginError: it is installed and broken.
    """
    kind = catalogue.find(name)
    values = kind.parsed(name, options.items() if isinstance(options, Mapping) else options)
    try:
        made = kind.make(values, context)
    except (ConfigError, PluginError):
        raise
    except Exception as error:
        raise catalogue.failed(name, error) from error
    if missing := [each for each in _PARTS if not hasattr(made, each)]:
        msg = f"what provider {name} makes is no provider: it has no {', no '.join(missing)}"
        raise PluginError(msg)
    return made
