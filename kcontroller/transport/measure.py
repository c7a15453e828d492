"""Counting requests under client-go's names, with the children looked up once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

    from kcontroller.process.metrics import Metrics

NO_ANSWER: Final = "<error>"
"""client-go's code of a request that got no answer."""


class RequestMeter:
    """The request families for one host; without metrics it counts nothing. Safe for use from many threads.

    It counts until `close`; a host's series are there as long as one of its meters is open.
    """

    def __init__(self, metrics: Metrics | None, *, host: str) -> None:
        """Look nothing up yet."""
        self._metrics = metrics
        self._host = host if metrics is None else metrics.join_host(host, self)
        self._answers: dict[tuple[str, str], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def close(self) -> None:
        """Count no more; also more than once."""
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            metrics.leave_host(self._host, self)

    def answered(self, *, code: str, method: str) -> None:
        """Count one attempt by its status, or `NO_ANSWER`."""
        metrics = self._metrics
        if metrics is None:
            return
        child = self._answers.get((code, method))
        if child is None:
            child = self._answers[code, method] = metrics.requests.labels(code, method, self._host)
        child.inc()

    def took(self, seconds: float, *, verb: str) -> None:
        """Observe the time from the caller's question to his answer, retries included."""
        metrics = self._metrics
        if metrics is None:
            return
        child = self._seconds.get(verb)
        if child is None:
            child = self._seconds[verb] = metrics.request_seconds.labels(verb, self._host)
        child.observe(seconds)

    def waited(self, seconds: float, *, verb: str) -> None:
        """Observe the time that the client's own rate limiter took."""
        metrics = self._metrics
        if metrics is not None:
            metrics.rate_limiter_seconds.labels(verb, self._host).observe(seconds)

    def retried(self, *, code: str, verb: str) -> None:
        """Count one attempt that follows another because of `code`."""
        metrics = self._metrics
        if metrics is not None:
            metrics.request_retries.labels(code, verb, self._host).inc()
