"""How a provider is described, so that it can be made from words on a command line or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.multicluster.provider import Provider
    from kcontroller.process.clock import Clock


class Option(msgspec.Struct, frozen=True):
    """One option of a provider.

    Attributes:
        name: in lower case with hyphens, such as ``allow-hosts``.
        help: what it does, in one sentence without a full stop.
        parse: makes the value of a text; a ValueError (a `ConfigError` is one) says what is wrong with it.
        many: may be given several times, and each time as a comma list; the value is a tuple of what `parse` makes.
        required: must be given.
    """

    name: str
    help: str
    parse: Callable[[str], Any] = str
    many: bool = False
    required: bool = False


class ProviderContext(msgspec.Struct, frozen=True):
    """What surrounds a provider that is made from words.

    Attributes:
        kubeconfig: the file of ``--kubeconfig``; "" if none was named.
        clock: the time.
    """

    kubeconfig: str = ""
    clock: Clock = SYSTEM_CLOCK


class ProviderType(msgspec.Struct, frozen=True):
    """A provider that has a name: what an entry point of the group ``kcontroller.providers`` holds.

    Attributes:
        summary: what its clusters are, in one sentence without a full stop.
        options: what it takes.
        make: makes one of the parsed values of the options that were given; it must not wait for a network. A
            `ConfigError` is told as it is.
    """

    summary: str
    options: tuple[Option, ...]
    make: Callable[[Mapping[str, Any], ProviderContext], Provider]

    def parsed(self, name: str, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Make the values of the options that were given.

        Args:
            name: of the provider, for messages.
            given: names and texts, in the order in which they were given.

        Raises:
            ConfigError: an unknown option, one that is missing, given twice, or cannot be read.
        """
        known = {option.name: option for option in self.options}
        values: dict[str, Any] = {}
        for key, text in given:
            option = known.get(key)
            if option is None:
                there = ", ".join(known) or "none"
                msg = f"provider {name} has no option {key!r}; the known ones are: {there}"
                raise ConfigError(msg)
            if option.many:
                values[key] = (*values.get(key, ()), *_each(name, option, text))
            elif key in values:
                msg = f"provider {name}: option {key} is given twice; give it once"
                raise ConfigError(msg)
            else:
                values[key] = _value(name, option, text)
        for option in self.options:
            if option.required and not values.get(option.name):
                msg = f"provider {name} needs option {option.name}: {option.help}"
                raise ConfigError(msg)
        return values


def _each(name: str, option: Option, text: str) -> tuple[Any, ...]:
    return tuple(_value(name, option, part.strip()) for part in text.split(",") if part.strip())


def _value(name: str, option: Option, text: str) -> Any:
    try:
        return option.parse(text)
    except ValueError as error:
        msg = f"provider {name}: {option.name}: {error}"
        raise ConfigError(msg) from error
