"""Names made of ``generateName`` by the client, so that a create whose answer was lost can be looked for.

The rule is the API server's own (k8s.io/apiserver, storage/names): the prefix, cut to fit, and random characters of an
alphabet without vowels and without digits that look like letters. A name that is taken is followed by another one,
eight in all. There are eight random characters, not the server's five: a lost create is known by its name, and of 7,770
objects of one prefix two pairs meet in five characters; in eight it takes a million objects.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeVar

from kcontroller.api.objects import KubeObject
from kcontroller.client.settling import is_refused
from kcontroller.errors import AlreadyExists

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K", bound=KubeObject)

TRIES: Final = 8
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX: Final = 8
_LONGEST: Final = 63


def name_for(prefix: str) -> str:
    """Make a name that is most likely not taken."""
    # Unlike, not secret, as the server's are.
    return prefix[: _LONGEST - _SUFFIX] + "".join(random.choices(_ALPHABET, k=_SUFFIX))  # noqa: S311


def create_named(obj: K, create: Callable[[K], K]) -> K:
    """Create an object that has a ``generateName`` and no name.

    A name that is taken is followed by another one only when the server says so of the first sending: `settling` never
    raises `AlreadyExists` for a create that may have happened. Where it stays open whether the object was created, also
    because the work was stopped or the lease passed, the object keeps its name: creating it again makes no second one.
    """
    for tries_left in reversed(range(TRIES)):
        obj.metadata.name = name_for(obj.metadata.generate_name)
        try:
            return create(obj)
        except BaseException as error:
            if is_refused(error):
                obj.metadata.name = ""
            if not isinstance(error, AlreadyExists) or not tries_left:
                raise
    raise AssertionError
