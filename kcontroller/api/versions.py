"""The order of resourceVersions.

Since KEP-5504 (Kubernetes 1.35) versions of one resource on one server are decimal numbers that may be compared.
Compare them only inside one kind of one server.
"""

from __future__ import annotations

from typing import Final

_MAX_DIGITS: Final = 20  # An unsigned 64-bit number; longer ones are not etcd revisions.


def parse_version(text: str) -> int:
    """Read a resourceVersion as a number.

    Raises:
        ValueError: it is empty, "0", has a leading zero or is not decimal.
    """
    if not (text.isascii() and text.isdigit()) or text[0] == "0" or len(text) > _MAX_DIGITS:
        msg = f"not a comparable resourceVersion: {text[:40]!r}"
        raise ValueError(msg)
    return int(text)
