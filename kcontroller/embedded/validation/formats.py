"""The string formats that kube-apiserver checks in custom resources, in its own reading of them.

Source of the rules: ``k8s.io/kube-openapi/pkg/validation/strfmt``. A format that is not named here is not checked; of
those that the server checks these are bsonobjectid, creditcard, isbn, isbn10, isbn13 and rgbcolor.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import date
from email.utils import parseaddr
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})")
_GO_DURATION: Final = re.compile(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_SCALA_DURATION: Final = re.compile(r"[0-9]+\s*([A-Za-zµ]+)")
_UNITS: Final = ("ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk")
_UNIT_STARTS: Final = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_ZEROS: Final = re.compile(r"(?<![0-9a-fA-F])0+(?=[0-9])")
_HOST_LABELS: Final = 63
_HOST_LENGTH: Final = 255
_SHORT_NAME: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text.replace("0000", "0004", 1))  # Python has no year 0.
    except ValueError:
        return False
    return True


def _is_datetime(text: str) -> bool:
    day, _, rest = text.lower().partition("t")
    found = _TIME.fullmatch(rest.partition("t")[0])
    return found is not None and _is_date(day) and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _is_duration(text: str) -> bool:
    if _GO_DURATION.fullmatch(text):
        return True
    units = (unit.lower() for unit in _SCALA_DURATION.findall(text))
    return any(unit in _UNITS or unit.startswith(_UNIT_STARTS) for unit in units)


def _is_address(text: str, version: int) -> bool:
    # Leading zeros are decimal to the server ("Sloppy"); Python refuses them.
    try:
        address = ipaddress.ip_address(_ZEROS.sub("", text) if version == 4 else text)  # noqa: PLR2004 - IPv4
    except ValueError:
        return False
    return ("." if version == 4 else ":") in text and "%" not in str(address)  # noqa: PLR2004 - IPv4


def _is_cidr(text: str) -> bool:
    address, slash, size = text.partition("/")
    version = 6 if ":" in address else 4
    bits = {4: 32, 6: 128}[version]
    return bool(slash) and _is_address(address, version) and size.isdecimal() and int(size) <= bits


def _is_uri(text: str) -> bool:
    if not text or any(character <= " " or character == "\x7f" for character in text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return text.startswith("/") or bool(parts.scheme and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text))


def _is_email(text: str) -> bool:
    address = parseaddr(text)[1]
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and " " not in address


def _is_hostname(text: str) -> bool:
    labels = text.split(".")
    if len(text.encode()) > _HOST_LENGTH or any(len(label) > _HOST_LABELS for label in labels):
        return False
    return all(re.fullmatch(r"[^\W_]([^\W_]|-(?!$))*", label) for label in labels) and (
        len(labels) == 1 or re.fullmatch(r"[^\W\d_]{2,63}", labels[-1]) is not None
    )


def _matching(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _uuid(third: str, fourth: str) -> Callable[[str], bool]:
    hexadecimal = "[0-9a-f]"
    return _matching(
        f"(?i:{hexadecimal}{{8}}-?{hexadecimal}{{4}}-?{third}{hexadecimal}{{3}}-?{fourth}{hexadecimal}{{3}}-?"
        f"{hexadecimal}{{12}})"
    )


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "byte": _matching(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "cidr": _is_cidr,
    "date": _is_date,
    "datetime": _is_datetime,
    "duration": _is_duration,
    "email": _is_email,
    "hexcolor": _matching("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _is_hostname,
    "ipv4": lambda text: _is_address(text, 4),
    "ipv6": lambda text: _is_address(text, 6),
    "k8slongname": _matching(rf"(?=.{{1,253}}$){_SHORT_NAME}(\.{_SHORT_NAME})*"),
    "k8sshortname": _matching(f"(?=.{{1,63}}$){_SHORT_NAME}"),
    "mac": _matching(r"[0-9a-fA-F]{2}(([:-])[0-9a-fA-F]{2}(\2[0-9a-fA-F]{2}){4}((\2[0-9a-fA-F]{2}){2})?)"),
    "password": lambda _text: True,
    "ssn": _matching("[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}"),
    "uri": _is_uri,
    "uuid": _uuid("[0-9a-f]", "[0-9a-f]"),
    "uuid3": _uuid("3", "[0-9a-f]"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
}


def of(name: str) -> Callable[[str], bool] | None:
    """Find the check of a format; dashes in the name do not count. None for a format that is not checked."""
    return _FORMATS.get(name.replace("-", ""))
