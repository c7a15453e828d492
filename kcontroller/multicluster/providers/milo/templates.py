"""A text with the values of a project in it, such as ``https://api.{name}.example.com:6443/{uid}``.

The fields are ``{name}``, ``{uid}``, ``{namespace}`` and ``{labels[KEY]}``. Whoever may create a project chooses these
values, so that none of them can change what the text says around it: in a host it is one DNS label, as a port it is a
number, in a path it is one segment.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.names import is_label
from kcontroller.process.logs import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_HOST: Final = 253
_LAST_PORT: Final = 65_535
_SHOWN: Final = 128
_FIELD: Final = re.compile(r"\{(name|uid|namespace|labels\[([^\[\]{}]+)\])\}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_FIELDS: Final = "{name}, {uid}, {namespace} and {labels[KEY]}"


class Unfit(Exception):
    """A value of a project cannot stand where a template has it; the text says which and where."""


class Place(enum.Enum):
    """Where a field stands, in words."""

    HOST = "a host"
    PORT = "a port"
    PATH = "a path"


class Form(enum.Enum):
    """What a text is as a whole."""

    URL = "https://"
    HOST = "host"
    ADDRESS = "host:port"
    FILE = "/"


@dataclass(frozen=True, slots=True)
class Values:
    """What a template may say of a project."""

    name: str
    uid: str
    namespace: str
    labels: Mapping[str, str]

    def get(self, field: str, label: str) -> str:
        """The value of a field, "" if there is none."""
        return self.labels.get(label, "") if label else str(getattr(self, field))


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a template."""

    name: str
    label: str
    place: Place


class Template:
    """A text with fields.

    Args:
        text: what an operator wrote.
        form: what it is.
        what: names it in messages.

    Raises:
        ConfigError: it has a field that does not exist, or is not of its form.
    """

    def __init__(self, text: str, form: Form, *, what: str) -> None:
        self._text = text
        self._form = form
        if form is Form.URL and not text.startswith(form.value):
            problem = "has no scheme https" if "://" in text else f"has no scheme; write https://{one_line(text)}"
            msg = f"{what}: {one_line(text)!r} {problem}"
            raise ConfigError(msg)
        self._parts = tuple(_parts(text, form, what))

    @property
    def tells_apart(self) -> bool:
        """Whether it has what no two projects share; any of them may have the labels and the namespace of another."""
        return any(isinstance(part, _Field) and part.name in ("name", "uid") for part in self._parts)

    @property
    def sample(self) -> str:
        """The text of a project that does not exist, to see whether it is of any use."""
        return "".join(part if isinstance(part, str) else "1" for part in self._parts)

    def render(self, values: Values) -> str:
        """Put the values of a project in.

        Raises:
            Unfit: one of them would change what stands around it, or is missing.
        """
        text = "".join(part if isinstance(part, str) else _rendered(part, values) for part in self._parts)
        host = _host_of(text, self._form)
        if len(host) > _LONGEST_HOST or not all(map(is_label, host.split(".") if host else ())):
            msg = f"{one_line(host[:_SHOWN])!r} is no host: a label may have 63 characters, and all of it 253"
            raise Unfit(msg)
        return text

    def __str__(self) -> str:
        """Show it as it was written."""
        return self._text


def _parts(text: str, form: Form, what: str) -> Iterator[str | _Field]:
    place = Place.PATH if form is Form.FILE else Place.HOST
    end = 0
    for found in _FIELD.finditer(text):
        literal = text[end : found.start()]
        place = _place_after(literal.removeprefix(Form.URL.value) if end == 0 and form is Form.URL else literal, place)
        yield _checked(literal, text, what)
        yield _Field(found[1], found[2] or "", place)
        end = found.end()
    yield _checked(text[end:], text, what)


def _checked(literal: str, text: str, what: str) -> str:
    if "{" in literal or "}" in literal:
        msg = f"{what}: {one_line(text)!r} has a field that does not exist; there are {_FIELDS}"
        raise ConfigError(msg)
    return literal


def _place_after(literal: str, place: Place) -> Place:
    if place is Place.PATH or "/" in literal:
        return Place.PATH
    return Place.PORT if place is Place.PORT or ":" in literal else Place.HOST


def _rendered(field: _Field, values: Values) -> str:
    value = values.get(field.name, field.label)
    match field.place:
        case Place.HOST:
            fits = is_label(value)
        case Place.PORT:
            fits = _PORT.fullmatch(value) is not None and int(value) <= _LAST_PORT
        case Place.PATH:
            fits = _SEGMENT.fullmatch(value) is not None
    if not fits:
        msg = f"its {field.name} cannot stand in {field.place.value}: {one_line(value[:_SHOWN])!r}"
        raise Unfit(msg)
    return value


def _host_of(text: str, form: Form) -> str:
    authority = text.removeprefix(Form.URL.value)
    if form is Form.FILE or authority.startswith("["):  # No field makes an IPv6 address.
        return ""
    return re.split("[/:]", authority, maxsplit=1)[0].rstrip(".")
