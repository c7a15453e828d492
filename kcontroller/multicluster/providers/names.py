"""Which names a cluster may have."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 253
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RESERVED: Final = frozenset(("", "(hub)", "*"))  # The hub, what people call it, and every cluster.


def name_problem(name: str) -> str:
    """Say why a cluster cannot have this name; "" if it can.

    Names stand in logs, metrics, thread names and on command lines (``kcontroller pause CONTROLLER@CLUSTER``), so that
    they are printable and have no white space. Names of kubeconfig contexts hold ``/``, ``:``, ``@`` and ``_``.
    """
    if name in _RESERVED:
        return "the name means something else"
    if len(name) > _LONGEST:
        return f"the name is longer than {_LONGEST} characters"
    if not name.isprintable() or any(map(str.isspace, name)):
        return "the name holds white space or characters that cannot be printed"
    return ""


def is_subdomain(name: str) -> bool:
    """Whether it is a DNS subdomain, as most objects have for a name: it can stand in a path and in a host."""
    return len(name) <= _LONGEST and _SUBDOMAIN.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Whether it is a DNS label: a subdomain without dots, of 63 characters at most."""
    return _LABEL.fullmatch(name) is not None
