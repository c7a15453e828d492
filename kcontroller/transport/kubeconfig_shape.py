"""How much of a kubeconfig is read at most.

It is looked at before it is composed: what YAML composes may be of any size and take any time, and libyaml's composer
overflows the stack at some ten thousand levels.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEPTH_LIMIT: Final = 32
_NUMBER_LIMIT: Final = 256  # Characters: YAML's base 60, 1:0:0, takes time that grows with their square.
_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9_:.]*")
_NUMBER_TAGS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most, so that the time it takes is bounded: each value takes some 5 us.

    Attributes:
        size: in bytes.
        values: scalars, lists and mappings.
        aliases: whether a value may stand for another one.
    """

    size: int
    values: int
    aliases: bool


FROM_ELSEWHERE: Final = Limits(256 * 1024, 10_000, aliases=False)
MANY_CONTEXTS: Final = Limits(4096 * 1024, 100_000, aliases=True)


def check_shape(data: bytes, limits: Limits, *, file: str) -> None:
    """Raise ConfigError, which names the file, where there is too much of something; what is no YAML passes."""
    problem = ""
    if len(data) > limits.size:
        problem = f"is larger than {limits.size // 1024} KiB; leave out what its context does not need"
    else:
        with suppress(yaml.YAMLError, UnicodeError):  # Who composes it finds the words.
            problem = _shape_problem(yaml.parse(data, Loader=LOADER), limits)
    if problem:
        msg = f"kubeconfig {file} {problem}"
        raise ConfigError(msg)


def _shape_problem(events: Iterable[Any], limits: Limits) -> str:
    depth = values = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent) and not limits.aliases:
            return "holds a YAML alias, which is refused here; write the value out"
        if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
            return f"holds a number of more than {_NUMBER_LIMIT} characters; quote it, or correct it"
        if depth > _DEPTH_LIMIT:
            return f"is nested more than {_DEPTH_LIMIT} levels deep; is it the right data?"
        if values > limits.values:
            return f"holds more than {limits.values} values; leave out what its context does not need"
    return ""


def _is_long_number(scalar: Any) -> bool:
    if len(scalar.value) <= _NUMBER_LIMIT:
        return False
    return scalar.tag in _NUMBER_TAGS or (scalar.implicit[0] and _NUMBER.fullmatch(scalar.value) is not None)
