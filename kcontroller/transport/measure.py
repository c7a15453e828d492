"""Counting requests under client-go's names, with the children looked up once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

    from kcontroller.process.metrics import Metrics

NO_ANSWER: Final = "<error>"
"""client-go's code of a request that got no answer."""


class RequestMeter:
    """The request families for one host; without metrics it counts nothing. Safe for use from many threads."""

    def __init__(self, metrics: Metrics | None, *, host: str) -> None:
        """Look nothing up yet."""
        self._metrics = metrics
        self._host = host
        self._answers: dict[tuple[str, str], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def answered(self, *, code: str, method: str) -> None:
        """Count one attempt by its status, or `NO_ANSWER`."""
        if self._metrics is None:
            return
        child = self._answers.get((code, method))
        if child is None:
            child = self._answers[code, method] = self._metrics.requests.labels(code, method, self._host)
        child.inc()

    def took(self, seconds: float, *, verb: str) -> None:
        """Observe the time from the caller's question to his answer, retries included."""
        if self._metrics is None:
            return
        child = self._seconds.get(verb)
        if child is None:
            child = self._seconds[verb] = self._metrics.request_seconds.labels(verb, self._host)
        child.observe(seconds)

    def waited(self, seconds: float, *, verb: str) -> None:
        """Observe the time that the client's own rate limiter took."""
        if self._metrics is not None:
            self._metrics.rate_limiter_seconds.labels(verb, self._host).observe(seconds)

    def retried(self, *, code: str, verb: str) -> None:
        """Count one attempt that follows another because of `code`."""
        if self._metrics is not None:
            self._metrics.request_retries.labels(code, verb, self._host).inc()
