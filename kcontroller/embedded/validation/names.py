"""The rules for names of objects, labels and the like, in apimachinery's words.

Source of the words: ``k8s.io/apimachinery/pkg/api/validate/content``, checked against a real kube-apiserver.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_LONGEST_NAME: Final = 253
_LONGEST_LABEL: Final = 63
_LONGEST_PORT: Final = 15

_is_label: Final = re.compile(_LABEL).fullmatch
_is_subdomain: Final = re.compile(_SUBDOMAIN).fullmatch
_is_label_1035: Final = re.compile(_LABEL_1035).fullmatch
_is_qualified: Final = re.compile(_QUALIFIED).fullmatch
_is_config_key: Final = re.compile(_CONFIG_KEY).fullmatch
_ALPHANUMERIC: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def _explained(words: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{words} (e.g. {shown}regex used for validation is '{pattern}')"


def _size(text: str) -> int:
    return len(text.encode())


def _longer(limit: int, unit: str = "characters") -> str:
    # The server counts bytes in all of them, and says so in its newer rules only: those for labels.
    return f"must be no more than {limit} {unit}"


def subdomain(text: str) -> list[str]:
    """Say what keeps a text from being a DNS-1123 subdomain."""
    wrong = [_longer(_LONGEST_NAME)] if _size(text) > _LONGEST_NAME else []
    if not _is_subdomain(text):
        words = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character"
        )
        wrong.append(_explained(words, _SUBDOMAIN, "example.com"))
    return wrong


def label(text: str) -> list[str]:
    """Say what keeps a text from being a DNS-1123 label."""
    wrong = [_longer(_LONGEST_LABEL)] if _size(text) > _LONGEST_LABEL else []
    if not _is_label(text):
        if _is_subdomain(text):
            return [*wrong, "must not contain dots"]
        words = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character"
        )
        wrong.append(_explained(words, _LABEL, "my-name", "123-abc"))
    return wrong


def label_1035(text: str) -> list[str]:
    """Say what keeps a text from being a DNS-1035 label, which starts with a letter."""
    wrong = [_longer(_LONGEST_LABEL)] if _size(text) > _LONGEST_LABEL else []
    if not _is_label_1035(text):
        words = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character"
        )
        wrong.append(_explained(words, _LABEL_1035, "my-name", "abc-123"))
    return wrong


def path_segment(text: str) -> list[str]:
    """Say what keeps a text from being one segment of a path."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in text]


def qualified(text: str) -> list[str]:
    """Say what keeps a text from being the key of a label: a name, or a domain, a slash and a name."""
    if text.isalpha() and text.isascii() and len(text) <= _LONGEST_LABEL:
        return []
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        words = _explained(f"a valid label key {_ALPHANUMERIC}", _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"{words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    wrong = []
    if slash:
        wrong = [f"prefix part {each}" for each in subdomain(prefix)] if prefix else ["prefix part must be non-empty"]
    if not name:
        wrong.append("name part must be non-empty")
    elif _size(name) > _LONGEST_LABEL:
        wrong.append("name part " + _longer(_LONGEST_LABEL, "bytes"))
    if not _is_qualified(name):
        wrong.append(_explained(f"name part {_ALPHANUMERIC}", _QUALIFIED, "MyName", "my.name", "123-abc"))
    return wrong


def label_value(text: str) -> list[str]:
    """Say what keeps a text from being the value of a label."""
    wrong = [_longer(_LONGEST_LABEL, "bytes")] if _size(text) > _LONGEST_LABEL else []
    if text and not _is_qualified(text):
        words = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character"
        )
        wrong.append(_explained(words, f"({_QUALIFIED})?", "MyValue", "my_value", "12345"))
    return wrong


def config_key(text: str) -> list[str]:
    """Say what keeps a text from being a key of a ConfigMap or Secret."""
    wrong = [_longer(_LONGEST_NAME)] if _size(text) > _LONGEST_NAME else []
    if not _is_config_key(text):
        words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        wrong.append(_explained(words, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if text in {".", ".."}:
        wrong.append(f"must not be '{text}'")
    elif text.startswith(".."):
        wrong.append("must not start with '..'")
    return wrong


def port_name(text: str) -> list[str]:
    """Say what keeps a text from being the name of a port."""
    wrong = [_longer(_LONGEST_PORT)] if _size(text) > _LONGEST_PORT else []
    if not re.fullmatch("[-a-z0-9]+", text):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in text:
        wrong.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong
