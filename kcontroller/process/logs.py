"""Log records with fields, one line each, without secrets.

`fields` puts values on every record of the current context (cluster, object, reconcileID), so that plain ``logging``
calls in user code carry them too. `Log` is a thin logger that takes fields as keywords. `configure` installs one
handler: text for a terminal, JSON otherwise, with the keys of controller-runtime's zap encoder (``level ts logger
msg``).
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from typing import TextIO

LogFormat = Literal["text", "json"]

_context: ContextVar[dict[str, Any]] = ContextVar("kcontroller_log_fields", default={})  # noqa: B039 - never mutated

_REDACTED: Final = "[redacted]"
_SENSITIVE: Final = r"(?:[\w-]*(?:token|password|passwd|client[_-]?secret)|client-key-data)"
_IS_SENSITIVE: Final = re.compile(_SENSITIVE, re.IGNORECASE)
_SECRETS: Final = (
    re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    re.compile(r"(?i)(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    re.compile(
        rf"(?i)(?<![\w/.-]){_SENSITIVE}[\"']?\s*[=:]\s*(?:\"(?:[^\"\\]|\\.)*\"?|'[^']*'?|[^\s\"',}}&]+)", re.DOTALL
    ),
)
_JSON_ONLY: Final = frozenset(("controllerGroup", "controllerKind"))  # The controller's name says it to people.
# Also what turns the direction of writing, and surrogates, which no stream can encode.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_DEEPEST: Final = 8
_TEXT_LIMIT: Final = 1000


def redact(text: str) -> str:
    """Replace what looks like a credential: bearer values, JWTs, URL user-info, private keys, ``token=...``."""
    for pattern in _SECRETS:
        text = pattern.sub(_REDACTED, text)
    return text


def one_line(text: str) -> str:
    """Escape control characters, so that a hostile name can neither forge a record nor colour a terminal."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class fields:  # noqa: N801 - used as a function
    """Put values on every record logged by this thread (context) inside the block."""

    __slots__ = ("_token", "_values")

    def __init__(self, **values: object) -> None:
        self._values = values

    def __enter__(self) -> None:
        """Begin."""
        self._token = _context.set({**_context.get(), **self._values})

    def __exit__(self, *_: object) -> None:
        """End."""
        _context.reset(self._token)


set_fields: Final = _context.set
"""Puts these values, and no others, on every record until `reset_fields` is called with what this returns.

For who does so ten thousand times a second; `fields` adds to what is there.
"""

reset_fields: Final = _context.reset


def text_of(value: object) -> str:
    """Give the text of what may be a user's: bounded, and without trust in ``__str__``."""
    try:
        text = str(value)
    except BaseException as failure:  # noqa: BLE001 - user code may raise anything
        return f"(its text cannot be had: {type(failure).__name__})"
    return f"{text[:_TEXT_LIMIT]}... ({len(text):,} characters)" if len(text) > _TEXT_LIMIT else text


def described(error: BaseException) -> str:
    """Give the class and the text of an exception, as `text_of` does."""
    return f"{type(error).__name__}: {text_of(error)}"


class Log:
    """A logger whose methods take fields as keywords: ``log.info("saw deployment", replicas=3)``."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        """Wrap the standard logger of that name."""
        self._logger = logging.getLogger(name)

    def debug(self, message: str, /, *args: object, **values: object) -> None:
        """Log at DEBUG."""
        self._emit(logging.DEBUG, message, args, values)

    def info(self, message: str, /, *args: object, **values: object) -> None:
        """Log at INFO."""
        self._emit(logging.INFO, message, args, values)

    def warning(self, message: str, /, *args: object, **values: object) -> None:
        """Log at WARNING."""
        self._emit(logging.WARNING, message, args, values)

    def error(self, message: str, /, *args: object, **values: object) -> None:
        """Log at ERROR."""
        self._emit(logging.ERROR, message, args, values)

    def exception(self, message: str, /, *args: object, **values: object) -> None:
        """Log at ERROR with the exception being handled."""
        self._emit(logging.ERROR, message, args, values, exc_info=True)

    def exception_of(self, error: BaseException, message: str, /, *args: object, **values: object) -> None:
        """Log at ERROR with an exception that is no longer being handled."""
        self._emit(logging.ERROR, message, args, values, exc_info=error)

    def _emit(
        self,
        level: int,
        message: str,
        args: tuple[object, ...],
        values: Mapping[str, object],
        *,
        exc_info: bool | BaseException = False,
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, *args, extra={"kc_fields": values}, exc_info=exc_info, stacklevel=3)


def _values_of(record: logging.LogRecord) -> dict[str, object]:
    """What the line is about first, then where it comes from."""
    own: dict[str, object] = getattr(record, "kc_fields", {})
    values = {**own, **{name: value for name, value in _context.get().items() if name not in own}}
    return {name: _safe(value, name) for name, value in values.items() if value is not None and value != ""}


def _safe(value: object, name: str = "", depth: int = 0) -> object:
    """JSON values without what looks like a secret, whatever a user may log."""
    if isinstance(value, bool | None):
        return value
    if _IS_SENSITIVE.fullmatch(name):
        return _REDACTED
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {_shown(key): _safe(each, _shown(key), depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_safe(each, "", depth + 1) for each in value]
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return redact(_shown(value))


def without_secrets(value: object) -> object:
    """Make JSON values of anything, without what looks like a secret by its name or by itself."""
    return _safe(value)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a broken __str__ must not cost the line
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - logging would print a traceback instead of the line
        return f"{_shown(record.msg)} (its arguments do not fit: {type(error).__name__})"


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """``12:04:05.123 INFO  controller: message  key=value`` for people."""

    def __init__(self, *, verbose: bool = False) -> None:
        """Print tracebacks only when `verbose`."""
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        """Make one line; a traceback, where wanted, follows it."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        logger = record.name.removeprefix("kcontroller.")
        values = "".join(f" {key}={_text(value)}" for key, value in _values_of(record).items() if key not in _JSON_ONLY)
        line = one_line(f"{time} {record.levelname:<7} {logger}: {_message(record)} {values}".rstrip())
        if record.exc_info and record.exc_info[0] is not None and self._verbose:
            # Indented, so that no message in it can pass for a record.
            trace = redact(self.formatException(record.exc_info)).split("\n")
            return "\n    ".join((redact(line), *map(one_line, trace)))
        return redact(line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line with ``level ts logger msg`` first."""

    def __init__(self, *, verbose: bool = False) -> None:
        """Include tracebacks only when `verbose`."""
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        """Make one line."""
        document: dict[str, object] = {
            "level": record.levelname.lower(),
            "ts": _timestamp(record),
            "logger": record.name,
            "msg": redact(_message(record)),
        }
        document |= {key: value for key, value in _values_of(record).items() if key not in document}
        if record.exc_info and record.exc_info[0] is not None and self._verbose:
            document["stacktrace"] = redact(self.formatException(record.exc_info))
        text = json.dumps(document, ensure_ascii=False)
        return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and re.search(r"[\s\"=]", text) else text


def configure(
    stream: TextIO, *, log_format: LogFormat | None = None, level: str = "info", verbose: bool = False
) -> None:
    """Send the process's logs to `stream`; the format follows the stream (terminal or not) unless it is given."""
    chosen = log_format or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(verbose=verbose) if chosen == "text" else JsonFormatter(verbose=verbose))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())  # Plugins log by loggers of their own.
