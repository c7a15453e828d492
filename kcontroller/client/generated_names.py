"""Names made of ``generateName`` by the client, so that a create whose answer was lost can be looked for.

The rule is the API server's own (k8s.io/apiserver, storage/names): the prefix, cut to 58 characters, and five more of
an alphabet without vowels and without digits that look like letters. A name that is taken is followed by another one,
eight in all.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, TypeVar

from kcontroller.api.objects import KubeObject
from kcontroller.errors import AlreadyExists, OutcomeUnknown, RequestTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K", bound=KubeObject)

TRIES: Final = 8
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX: Final = 5
_LONGEST: Final = 63


def name_for(prefix: str) -> str:
    """Make a name that is most likely not taken."""
    return prefix[: _LONGEST - _SUFFIX] + "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX))


def create_named(obj: K, create: Callable[[K], K]) -> K:
    """Create an object that has a ``generateName`` and no name.

    If it stays unknown whether it was created, the object keeps its name: creating it again makes no second one.
    """
    for tries_left in reversed(range(TRIES)):
        obj.metadata.name = name_for(obj.metadata.generate_name)
        try:
            return create(obj)
        except AlreadyExists:
            obj.metadata.name = ""
            if not tries_left:
                raise
        except (OutcomeUnknown, RequestTimeout):
            raise
        except BaseException:
            obj.metadata.name = ""
            raise
    raise AssertionError
