"""Compression of cached JSON: the objects of one kind say mostly the same, and share a zstd dictionary that says it.

A kind is watched until `ENTRIES` objects or `BYTES` of their JSON went by, each counted once however often it changes;
then its dictionary is made of some of them. What came before stays as it is until the next list, or the end of the one
under way. A text is packed once and unpacked for
each read; ADR 0013 has the figures.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

ENTRIES: Final = 1000
BYTES: Final = 4 * 1024 * 1024
"""A kind that stays below both is not worth a dictionary."""

WORTHWHILE: Final = 2048
"""Mean bytes of JSON from which on a kind is packed unless it is said otherwise.

Unpacking takes ten microseconds however small the object is, as long as decoding a small one; a large one takes
several times that to decode.
"""

_SAMPLES: Final = 40
_FEWEST_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 8 * 1024
_DICTIONARY_BYTES: Final = 16 * 1024
_IDLE: Final = 4  # Compressors kept; each holds some 0.3 MB, and one is in use for a few microseconds at a time.

_log: Final = Log("kcontroller.cache")


class Codec:
    """Packs and unpacks the texts of one kind; any thread, and no thread holds another one up.

    Args:
        zstd: the module.
        dictionary: what the texts have in common.
    """

    def __init__(self, zstd: Any, dictionary: Any) -> None:
        self._dictionary = dictionary
        self._compressor = zstd.ZstdCompressor
        self._decompressor = zstd.ZstdDecompressor
        self._mode = zstd.ZstdCompressor.FLUSH_FRAME
        option = zstd.CompressionParameter
        self._options = {option.compression_level: 1, option.checksum_flag: 0, option.dict_id_flag: 0}
        self._idle: deque[Any] = deque(maxlen=_IDLE)

    def pack(self, text: bytes) -> bytes:
        """Make it smaller; it need not succeed."""
        try:
            compressor = self._idle.pop()
        except IndexError:
            compressor = self._compressor(options=self._options, zstd_dict=self._dictionary)
        packed: bytes = compressor.compress(text, self._mode)
        self._idle.append(compressor)
        return packed

    def unpack(self, packed: bytes) -> bytes:
        """Give back what was packed."""
        text: bytes = self._decompressor(self._dictionary).decompress(packed)
        return text


class Plain:
    """Stands for a text that does not get smaller, so that nobody tries again."""

    def unpack(self, text: bytes) -> bytes:
        """Give it back."""
        return text


PLAIN: Final = Plain()


class Packing:
    """What the process knows of the texts of one kind.

    Args:
        worthwhile: mean size in bytes from which on they are packed.
    """

    def __init__(self, worthwhile: int = WORTHWHILE) -> None:
        self.codec: Codec | None = None
        self._worthwhile = worthwhile
        self._learning = threading.Lock()
        self._learnt = False
        self._seen: set[int] = set()
        self._bytes = 0
        self._samples: list[bytes] = []

    def pack(self, text: bytes, identity: str) -> tuple[bytes, Codec | Plain | None]:
        """Pack the text of an object, if it gets smaller; the codec unpacks it, None before the time has come."""
        codec = self.codec
        if codec is None:
            if not self._learnt:
                self._learn(text, hash(identity))
            return text, None
        packed = codec.pack(text)
        return (packed, codec) if len(packed) < len(text) else (text, PLAIN)

    def _learn(self, text: bytes, identity: int) -> None:
        with self._learning:
            if self._learnt or identity in self._seen:
                return
            self._seen.add(identity)
            self._bytes += len(text)
            # Spread over all that goes by: neighbours are of one namespace, and alike.
            progress = max(len(self._seen) / ENTRIES, self._bytes / BYTES)
            if len(self._samples) < progress * _SAMPLES:
                self._samples.append(text[:_SAMPLE_BYTES])
            if progress < 1 or len(self._samples) < _FEWEST_SAMPLES:
                return
            self._learnt = True
            samples, self._samples = self._samples, []
            seen, self._seen = len(self._seen), set()
            if self._bytes >= seen * self._worthwhile:
                self.codec = make_codec(samples)


def make_codec(samples: Sequence[bytes]) -> Codec | None:
    """Make a codec for texts like these; None if they have nothing in common.

    The content of the dictionary is whole samples, the rest of them give the statistics. That takes half a millisecond
    and packs as well as a dictionary that was trained on all of them, for which the loop would stand still for twenty.
    """
    zstd = _zstd()
    content = b"".join(samples[:: max(1, len(samples) // 8)])[-_DICTIONARY_BYTES:]
    try:
        raw = zstd.ZstdDict(content, is_raw=True)
        return Codec(zstd, zstd.finalize_dict(raw, samples, _DICTIONARY_BYTES, 1))
    except (zstd.ZstdError, ValueError):
        _log.debug("a kind is kept as it is: zstd finds no dictionary in %d samples", len(samples))
        return None


def packing_of(kind: Hashable, *, compress: bool | None) -> Packing | None:
    """The packing that all informers of a kind share in this process, as long as one of them lives.

    Args:
        kind: what the texts are; those of equal ones are alike.
        compress: whatever their size, never, or (None) if they are large enough.
    """
    if compress is False:
        return None
    with _lock:
        packing = _packings.get((kind, compress))
        if packing is None:
            packing = _packings[kind, compress] = Packing(0) if compress else Packing()
        return packing


_lock: Final = threading.Lock()
_packings: Final[weakref.WeakValueDictionary[Hashable, Packing]] = weakref.WeakValueDictionary()


def _zstd() -> Any:
    # Here, as most processes hold nothing that is large.
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd
