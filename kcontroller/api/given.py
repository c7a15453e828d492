"""What callers give where an object, a patch or a key is wanted: one line says what came instead, and the remedy.

Otherwise the first line of ours that looks at it would fail, far from theirs. No text has any content of what came: it
may be a Secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from kcontroller.api.codec import mapping_of
from kcontroller.api.keys import Key, Request
from kcontroller.api.models import Resource
from kcontroller.api.objects import Object, label_of
from kcontroller.api.patches import Patch

if TYPE_CHECKING:
    from kcontroller.api.objects import KubeObject

_FORMS = "an Object, or one of a class of Resource"


def check_object(given: object, *, to: str) -> None:
    """Let an object pass, typed or not.

    Args:
        given: what came.
        to: who wants it, such as ``apply``.

    Raises:
        TypeError: it is something else.
    """
    if not is_object(given):
        _refuse(given, to)


def check_objects(given: object, *, to: str) -> list[KubeObject]:
    """Make a list of several objects; raises as `check_object`, also where there is one only, and not in a list."""
    if is_object(given) or isinstance(given, Mapping | str | type) or not isinstance(given, Iterable):
        remedy = "[Object(...)] around it" if isinstance(given, Mapping) else "[...] around what there is, [] for none"
        msg = f"{to} takes a list of objects, not {_kind_of(given)}: write {remedy}"
        raise TypeError(msg)
    found = list(given)
    for each in found:
        check_object(each, to=to)
    return found


def check_patch(given: object) -> None:
    """Let a patch pass.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(given, Patch):
        maker = "patches.json" if isinstance(given, list) else "patches.merge"
        msg = f"a patch says of which type it is, and {_kind_of(given)} does not: write {maker}(...) around it"
        raise TypeError(msg)


def check_key(given: object) -> None:
    """Let a key or a request pass.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(given, Key | Request):
        remedy = "Key.parse(...) around it" if isinstance(given, str) else "Key(namespace, name)"
        msg = f"a key is a Key or a Request, not {_kind_of(given)}: write {remedy}"
        raise TypeError(msg)


def is_object(given: object) -> bool:
    """Whether it is an object of the API: an `Object`, or one of a class that names its kind."""
    return isinstance(given, Object) or (isinstance(given, Resource) and mapping_of(type(given)) is not None)


def _refuse(given: object, to: str) -> NoReturn:
    if isinstance(given, Resource):
        msg = (
            f"{to} takes an object of a kind, and {type(given).__name__} is none: give it group=, version= and plural="
        )
    elif isinstance(given, Mapping):
        msg = f"{to} takes an object, not {_kind_of(given)}: write Object(...) around {_label_of(given) or 'it'}"
    elif given is None:
        msg = f"{to} takes an object, not None, which get_or_none returns where there is no object"
    elif isinstance(given, list | tuple) and given and all(map(is_object, given)):
        msg = f"{to} takes one object, not {_kind_of(given)} of them: call it for each"
    elif isinstance(given, type) and issubclass(given, Resource):
        msg = f"{to} takes an object, not {_kind_of(given)}: make one of it, such as {given.__name__}.named(...)"
    else:
        msg = f"{to} takes an object, not {_kind_of(given)}: {_FORMS}"
    raise TypeError(msg)


def _kind_of(given: object) -> str:
    if given is None:
        return "None"
    if isinstance(given, type):
        return f"the class {given.__name__}"
    name = type(given).__name__
    return f"{'an' if name[0] in 'AEIOUaeio' else 'a'} {name}"


def _label_of(given: Mapping[Any, Any]) -> str:
    """Name what looks like an object; "" where any part of the name is not what it should be."""
    metadata = given.get("metadata")
    if not isinstance(metadata, Mapping):
        return ""
    parts = given.get("apiVersion"), given.get("kind"), metadata.get("namespace", ""), metadata.get("name")
    return label_of(*parts) if all(isinstance(part, str) and part.isprintable() for part in parts) else ""
