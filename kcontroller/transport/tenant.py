"""One cluster's part of a loop: where its streams lead, who hears how they begin, and what is counted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kcontroller.transport.curl import Endpoint
from kcontroller.transport.measure import NO_ANSWER, RequestMeter

if TYPE_CHECKING:
    from kcontroller.errors import TransportError
    from kcontroller.process.metrics import Metrics
    from kcontroller.transport.config import Config
    from kcontroller.transport.transfer import Stream

_SERVER_ERROR: Final = 500
_UNAUTHORIZED: Final = 401


class Observer(Protocol):
    """Hears how streams begin; on the loop's thread, and must not block."""

    def answered(self, status: int, *, waits: bool, stands: bool) -> None:
        """A stream has a status.

        Args:
            status: which.
            waits: whether an answer of 5xx says when to come again.
            stands: whether another stream is answered, and goes on; looked at after an answer of 5xx only.
        """
        ...

    def unanswered(self, error: TransportError, *, stands: bool) -> None:
        """A stream ended before it had a status; `stands` as in `answered`."""
        ...


class Landlord(Protocol):
    """What a tenant asks of its loop, on the loop's thread."""

    def hear(self) -> float:
        """Note that bytes arrived; gives the loop's time."""
        ...

    def connected(self, *, shared: bool) -> None:
        """Note that a connection stands, and whether it carries several streams at the same time."""
        ...

    def stands(self, tenant: Tenant) -> bool:
        """Whether a stream of a tenant is answered, and goes on."""
        ...

    def remove_soon(self, stream: Stream) -> None:
        """Reset a stream when libcurl has returned."""
        ...


class Tenant:
    """Owns the streams of one cluster.

    Attributes:
        endpoint: where streams that begin lead.
        observer: hears how they begin; set before the first.
        heard: when the last bytes for it came, by the loop's clock.
        stopped: whether its streams tell nobody anything any more.

    Args:
        loop: carries the streams.
        config: the server and who we are.
        metrics: where to count; a stream counts as a GET with its status.
        user_agent: the header of that name.

    Raises:
        ConfigError: libcurl or a header is unfit.
    """

    def __init__(self, loop: Landlord, config: Config, *, metrics: Metrics | None, user_agent: str) -> None:
        self.endpoint = Endpoint(config, user_agent=user_agent)
        self.observer: Observer | None = None
        self.heard = 0.0
        self.stopped = False
        self._loop = loop
        self._metrics = metrics
        self._user_agent = user_agent
        self._meter = RequestMeter(metrics, host=config.host)

    def exchange(self, config: Config) -> bool:
        """Lead streams that begin from now on elsewhere; returns whether they need another connection.

        Raises:
            ConfigError: a header is unfit; nothing has changed then.
        """
        old, self.endpoint = self.endpoint.config, Endpoint(config, user_agent=self._user_agent)
        if config.host != old.host:
            self._meter.close()
            self._meter = RequestMeter(self._metrics, host=config.host)
        return config.connection != old.connection

    def close(self) -> None:
        """Tell nobody anything any more, and count no more; any thread."""
        self.stopped = True
        self._meter.close()

    # What its streams tell.

    def hear(self) -> float:
        """Note that the server sent something; gives the time."""
        self.heard = self._loop.hear()
        return self.heard

    def answered(self, status: int, *, shared: bool, waits: bool) -> None:
        """Note that a stream has a status: the connection stands, whatever the credentials are worth."""
        self._loop.connected(shared=shared)
        if self.stopped:
            return
        self._meter.answered(code=str(status), method="GET")
        if self.observer is not None:
            stands = status >= _SERVER_ERROR and self._loop.stands(self)
            self.observer.answered(status, waits=waits, stands=stands)
        if status == _UNAUTHORIZED:
            self.endpoint.config.credentials.invalidate()

    def unanswered(self, error: TransportError | None) -> None:
        """Note that a stream ended without a status."""
        if self.stopped:
            return
        self._meter.answered(code=NO_ANSWER, method="GET")
        if self.observer is not None and error is not None:
            self.observer.unanswered(error, stands=self._loop.stands(self))

    def remove_soon(self, stream: Stream) -> None:
        """Reset a stream when libcurl has returned."""
        self._loop.remove_soon(stream)
