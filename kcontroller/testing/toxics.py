"""What a connection through `FaultProxy` may suffer: plain values, each with a direction.

The seven of toxiproxy with the same meaning, except for `BlackHole`: there what was sent is lost for the connection,
here it arrives once the black hole is gone, as TCP delivers what it had to send again after a network was mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down"]
"""``up`` is from the client to the server."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Everything arrives `seconds` later, give or take a random part of `jitter`; the order stays."""

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """No more than so many bytes pass in a second, whatever other toxics come and go."""

    bytes_per_second: float

    def __post_init__(self) -> None:
        """Refuse a standstill.

        Raises:
            ValueError: it is none.
        """
        if self.bytes_per_second <= 0:
            msg = f"{self.bytes_per_second:g} bytes in a second is no bandwidth; for none at all there is BlackHole"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Slicer:
    """Everything arrives in pieces of `size` bytes, give or take a random part of `jitter`, `pause` seconds apart."""

    size: int = 1
    jitter: int = 0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Nothing passes, not even the end of the connection; with `close_after`, both sides are closed so much later."""

    close_after: float | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """The connection ends when so many bytes have passed since the connection began; `reset` ends it by RST."""

    bytes: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection ends by RST on both sides, `after` so many seconds."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class SlowClose:
    """The end of the connection is told so many seconds later."""

    seconds: float


Toxic = Latency | Bandwidth | Slicer | BlackHole | Limit | Reset | SlowClose
