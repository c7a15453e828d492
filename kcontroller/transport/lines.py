"""Cut a stream of bytes into lines without ever copying a byte twice."""

from __future__ import annotations

from typing import Final

from kcontroller.errors import TransportError

LIMIT: Final = 16 * 1024 * 1024
"""Longest line in bytes. etcd takes objects of 1.5 MiB, so that only a broken stream comes near."""


class LineSplitter:
    """Collects chunks and hands out complete lines.

    The unfinished line is kept as a list of pieces and joined once: ``tail + chunk`` would copy a long line again for
    each of its chunks.

    Args:
        limit: longest line in bytes, without its line feed; a longer one raises.
    """

    __slots__ = ("_limit", "_parts", "_size")

    def __init__(self, *, limit: int = LIMIT) -> None:
        """Start with an empty line."""
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; returns the lines they complete, without their line feeds. A keep-alive is an empty one.

        Raises:
            TransportError: a line is longer than the limit; what was collected is dropped.
        """
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._parts:
            self._keep(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts, self._size = [], 0
        if len(chunk) > self._limit:
            self._check(max(map(len, lines), default=0))
        self._keep(rest)
        return lines

    @property
    def rest(self) -> bytes:
        """The unfinished last line; at the end of a stream anything but b"" means that it was cut."""
        return b"".join(self._parts)

    def _keep(self, piece: bytes) -> None:
        self._check(self._size + len(piece))
        if piece:
            self._parts.append(piece)
            self._size += len(piece)

    def _check(self, size: int) -> None:
        if size > self._limit:
            self._parts, self._size = [], 0
            msg = f"a line of the stream is longer than {self._limit:,} bytes: this is not a Kubernetes watch"
            raise TransportError(msg)
