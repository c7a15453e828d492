"""Writes that changed nothing, so that they are not sent again.

A server may write a value in a form of its own: ``1000m`` of CPU becomes ``1``, an empty map is left out, a field that
the schema does not know is pruned. Compared as JSON such an object differs from what is wanted for ever, and each
reconcile would send a write that does nothing. controller-runtime compares built-in kinds by the meaning of their Go
types; here the server says what it means: a write whose answer has the resourceVersion that it was made on changed
nothing, and the same write on the same state will do so again.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Final

import msgspec
from cachetools import TTLCache

from kcontroller.api.codec import encode

if TYPE_CHECKING:
    from kcontroller.client.ports import Write
    from kcontroller.process.clock import Clock

SECONDS: Final = 600.0
"""How long one is remembered: a new schema or another webhook changes what a write does, and no object's version."""


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_decode = msgspec.json.Decoder(_Versioned).decode


class Fixpoints:
    """The memory of one cluster, safe for all threads.

    Args:
        clock: the time.
        size: how many are remembered, in 0.25 KB each.
    """

    def __init__(self, clock: Clock, *, size: int = 65536) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._size = size
        self._known: TTLCache[bytes, None] | None = None  # Most clusters never have one.

    def has(self, write: Write, read: bytes) -> bool:
        """Whether this write changed nothing a short while ago, made on the same state."""
        known = self._known
        if known is None:  # A digest takes longer than the rest.
            return False
        mark = _mark(write, read)
        with self._lock:
            return mark in known

    def add(self, write: Write, read: bytes) -> None:
        """Note that it did not."""
        mark = _mark(write, read)
        with self._lock:
            if self._known is None:
                self._known = TTLCache(self._size, SECONDS, timer=self._clock.monotonic)
            self._known[mark] = None


def changed_nothing(read: bytes, answer: bytes) -> bool:
    """Whether an object is still in the version it was read in."""
    try:
        version = _decode(read).metadata.resource_version
        return bool(version) and version == _decode(answer).metadata.resource_version
    except msgspec.DecodeError:
        return False


def _mark(write: Write, read: bytes) -> bytes:
    # A digest, for both may be a Secret's; the key is in what was read.
    how = encode((write.verb, write.content_type, write.subresource, write.query))
    return hashlib.blake2b(b"\0".join((how, write.body, read)), digest_size=16).digest()
