"""What looks at each write of a reconcile, and may refuse it, right before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from kcontroller.client.ports import Reader, Write, Writer

    Hears: TypeAlias = Callable[[bytes | BaseException], None]
    """Is told the answer of a write, or how else it ended; must not raise."""


class Rail(Protocol):
    """Looks at the writes of a controller to all clusters; any thread."""

    def before(self, cluster: str, write: Write, live: Reader) -> Hears | None:
        """Look at a write; what this raises is why it is not sent.

        Args:
            cluster: where it goes.
            write: what is to be sent.
            live: reads from that server, in the time of the reconcile.

        Returns:
            What wants to hear how it ended; None if nothing does.
        """
        ...


class RailedWriter(msgspec.Struct, frozen=True):
    """A `Writer` between rails. A write counts once, however often it is sent until its outcome is known.

    Attributes:
        writer: sends the writes.
        live: reads from its server.
        rails: look at each write, in this order.
        cluster: the cluster's name.
    """

    writer: Writer
    live: Reader
    rails: Sequence[Rail]
    cluster: str

    def write(self, write: Write) -> bytes:
        """Send it, if all rails let it pass."""
        hearing: list[Hears] = []
        outcome: bytes | BaseException = b""
        try:
            for rail in self.rails:
                hears = rail.before(self.cluster, write, self.live)
                if hears is not None:
                    hearing.append(hears)
            outcome = self.writer.write(write)
        except BaseException as error:
            outcome = error
            raise
        finally:
            for hears in hearing:
                hears(outcome)
        return outcome
