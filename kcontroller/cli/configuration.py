"""``--config FILE``: the options of ``kcontroller run`` in a versioned file.

::

    apiVersion: kcontroller.dev/v1alpha1
    kind: Configuration
    maxConcurrentReconciles: 8
    leaderElect: true
    concurrency: {Deployment.apps: 4}
    provider:
      name: file
      options:
        path: [/etc/clusters, /etc/more/*.yaml]

A field is the long name of an option. What the command line or a variable says goes before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from kcontroller.process.spelling import did_you_mean

API_VERSION: Final = "kcontroller.dev/v1alpha1"
KIND: Final = "Configuration"

_OF_ONE_CALL: Final = frozenset(("config", "once", "once-timeout", "help", "provider-option"))
_SIZE_LIMIT: Final = 1024 * 1024


def load(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Let the fields of a file be the defaults of the other options; the callback of an eager option.

    Raises:
        click.UsageError: the file cannot be used; one line that names the file and the field.
    """
    if value:
        try:
            ctx.default_map = {**(ctx.default_map or {}), **_defaults(_read(Path(value)), ctx)}
        except ValueError as error:
            msg = f"--config {value}: {error}"
            raise click.UsageError(msg, ctx) from error
    return value


def _read(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - who names no file pays for none

    from kcontroller.cli import strict_yaml  # noqa: PLC0415 - as above

    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
        document = strict_yaml.load(data) if len(data) <= _SIZE_LIMIT else None
    except OSError as error:
        msg = error.strerror or type(error).__name__
        raise ValueError(msg) from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        msg = f"not YAML{f', see line {mark.line + 1}' if mark else ''}"
        raise ValueError(msg) from error
    if not isinstance(document, dict):
        msg = f"must be a mapping with apiVersion: {API_VERSION} and kind: {KIND}"
        raise ValueError(msg)  # noqa: TRY004 - of the file, not of a caller
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if (found := document.pop(field, None)) != wanted:
            msg = f"{field} must be {wanted}, got {found!r}"
            raise ValueError(msg)
    return document


def _defaults(document: Mapping[Any, Any], ctx: click.Context) -> dict[str, Any]:
    known = {_field_of(option): option for option in ctx.command.params if isinstance(option, click.Option)}
    fields = {field: option for field, option in known.items() if _long_of(option) not in _OF_ONE_CALL}
    defaults: dict[str, Any] = {}
    for field, value in document.items():
        if field not in fields:
            msg = f"unknown field {field!r}{did_you_mean(str(field), fields)}"
            raise ValueError(msg)
        option = fields[field]
        if field == "provider":
            given = _provider(value)
        elif value is not None:
            given = {str(option.name): _values(field, value) if option.multiple else _value(field, value, option)}
        else:
            continue
        _check(field, given, ctx)
        defaults.update(given)
    return defaults


def _check(field: str, given: Mapping[str, Any], ctx: click.Context) -> None:
    """Convert it now, where the file and the field are known; click would do so later, and name the option."""
    for option in ctx.command.params:
        if option.name in given:
            try:
                option.type_cast_value(ctx, given[option.name])
            except click.BadParameter as error:
                msg = f"{field}: {error.message}"
                raise ValueError(msg) from error


def _provider(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        msg = "provider must be a mapping with name and options"
        raise ValueError(msg)  # noqa: TRY004 - as above
    for field in value:
        if field not in {"name", "options"}:
            msg = f"unknown field 'provider.{field}', it has name and options"
            raise ValueError(msg)
    return {"provider": value["name"], "provider_option": _values("provider.options", value.get("options") or {})}


def _values(field: str, value: object) -> list[str]:
    """The texts of an option that may be repeated: of a list, or ``KEY=VALUE`` of a mapping, also one of lists."""
    if isinstance(value, Mapping):
        return [
            f"{key}={_text(f'{field}.{key}', each)}"
            for key, values in value.items()
            for each in (values if isinstance(values, list) else [values])
        ]
    if isinstance(value, list):
        return [_text(field, each) for each in value]
    msg = f"{field} must be a list, got {_shown(value)}"
    raise ValueError(msg)


def _value(field: str, value: object, option: click.Option) -> object:
    if option.is_flag:
        if isinstance(value, bool):
            return value
        msg = f"{field} must be true or false, got {_shown(value)}"
        raise ValueError(msg)
    return _text(field, value)


def _text(field: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    msg = f"{field} must be a string or a number, got {_shown(value)}; quote it"
    raise ValueError(msg)


def _shown(value: object) -> str:
    return "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else repr(value)


def _long_of(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def _field_of(option: click.Option) -> str:
    return re.sub(r"-([a-z])", lambda found: found[1].upper(), _long_of(option))
