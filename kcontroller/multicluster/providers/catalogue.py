"""The providers that are installed, by name: ours and those of others stand in the same list of entry points.

What an installed provider brings runs with all rights of the controller, so that it is imported only when somebody
names it.
"""

from __future__ import annotations

import hashlib
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError, PluginError
from kcontroller.multicluster.providers.options import ProviderType
from kcontroller.process.logs import Log, described, one_line, redact

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "kcontroller.providers"

_OURS: Final = "kcontroller"
_HASH_DIGITS: Final = 12
_TEXT_LIMIT: Final = 256

_log: Final = Log(__name__)


def installed() -> dict[str, EntryPoint]:
    """The entry points, by name.

    Raises:
        PluginError: two distributions bring a provider of the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: (point.name, origin(point))):
        other = found.setdefault(point.name, point)
        if other is not point and (other.value, origin(other)) != (point.value, origin(point)):
            msg = (
                f"two providers are named '{point.name}': one of {origin(other)} and one of {origin(point)}; "
                f"uninstall one of the two"
            )
            raise PluginError(msg)
    return found


def find(name: str) -> ProviderType:
    """Load the provider of that name.

    Raises:
        ConfigError: there is none.
        PluginError: it cannot be loaded; one line that names the distribution.
    """
    known = installed()
    point = known.get(name)
    if point is None:
        msg = f"there is no provider {name!r}; the known ones are: {', '.join(known) or 'none'}"
        raise ConfigError(msg)
    return load(point)


def load(point: EntryPoint) -> ProviderType:
    """Import what an entry point names.

    Raises:
        PluginError: it cannot be imported, or is no `ProviderType`.
    """
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(_failure(point, f"{point.value} cannot be imported", error)) from error
    if not isinstance(found, ProviderType):
        msg = f"provider {point.name} of {origin(point)}: {point.value} is not a ProviderType, which it must be"
        raise PluginError(msg)
    if not is_ours(point):
        _log.info("provider loaded", provider=point.name, version=origin(point), sha256=_digest(point.module))
    return found


def failed(name: str, error: BaseException) -> PluginError:
    """Say in one line that a provider could not be made, whatever it raised."""
    return PluginError(_failure(installed()[name], "it cannot be made", error))


def is_ours(point: EntryPoint) -> bool:
    """Whether kcontroller itself brings it."""
    return point.dist is not None and point.dist.name == _OURS


def origin(point: EntryPoint) -> str:
    """Name the distribution with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"


def _failure(point: EntryPoint, what: str, error: BaseException) -> str:
    text = one_line(redact(described(error)))[:_TEXT_LIMIT].rstrip(": ")
    return f"provider {point.name} of {origin(point)}: {what}: {text}"


def _digest(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return hashlib.sha256(Path(file or "").read_bytes()).hexdigest()[:_HASH_DIGITS]
    except OSError:
        return ""
