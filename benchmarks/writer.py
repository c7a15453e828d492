"""Writes one object after the other at a steady pace; each carries the time at which it was sent.

The time of a write is taken right before its request is sent, so that what the server and its store take counts, for
all contenders alike. It is the machine's time of day (CLOCK_REALTIME), in nanoseconds.

``python -m benchmarks.writer`` takes its order as JSON on its standard input and prints the pace that it kept.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

WRITTEN: Final = "bench.example.com/written"
"""The annotation with the time."""

PACE_S: Final = 0.005

_OK: Final = 200


def write(url: str, token: str, ca_pem: str, paths: Sequence[str], *, pace_s: float) -> float:
    """Patch the objects at these paths, one every `pace_s` seconds; a slow server makes it fall behind.

    Returns:
        The pace that it kept: the mean time from one write to the next, in seconds.

    Raises:
        RuntimeError: the server refused one.
    """
    address = urlsplit(url)
    trust = ssl.create_default_context(cadata=ca_pem)
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=60, context=trust)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
    connection.connect()
    start = last = time.monotonic()
    for number, path in enumerate(paths):
        time.sleep(max(0.0, start + number * pace_s - time.monotonic()))
        last = time.monotonic()
        body = json.dumps({"metadata": {"annotations": {WRITTEN: str(time.time_ns())}}})
        connection.request("PATCH", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != _OK:
            msg = f"patching {path}: {answer.status} {text[:300].decode(errors='replace')}"
            raise RuntimeError(msg)
    connection.close()
    return (last - start) / max(1, len(paths) - 1)


if __name__ == "__main__":
    print(json.dumps({"pace_ms": write(**json.load(sys.stdin)) * 1e3}))
