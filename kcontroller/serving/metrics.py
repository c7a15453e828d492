"""``/metrics`` in the Prometheus text format."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log
from kcontroller.process.metrics import CONTENT_TYPE
from kcontroller.serving.dispatch import Answer, Application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.process.metrics import Metrics
    from kcontroller.serving.dispatch import Question

PATH: Final = "/metrics"

_log = Log(__name__)


class MetricsPage:
    """The page of one manager's metrics.

    Args:
        metrics: what is written.
        before_scrape: called before each page, to set gauges that are cheaper to measure when someone looks (the
            depth and ages of queues). One that raises is logged and leaves the other values in place.
    """

    def __init__(self, metrics: Metrics, *, before_scrape: Iterable[Callable[[], None]] = ()) -> None:
        """Keep what to render."""
        self._metrics = metrics
        self._before_scrape = tuple(before_scrape)

    def answer(self, question: Question) -> Answer:
        """Answer a request for the page; nothing is below it."""
        if question.rest:
            return Answer(HTTPStatus.NOT_FOUND, b"404 page not found\n")
        for observe in self._before_scrape:
            try:
                observe()
            except Exception:  # noqa: BLE001 - it is logged, and the page is worth more than one gauge
                _log.exception("a measurement for /metrics failed")
        return Answer(HTTPStatus.OK, self._metrics.render(), CONTENT_TYPE)


def application(metrics: Metrics, *, before_scrape: Iterable[Callable[[], None]] = ()) -> Application:
    """Make the WSGI application of the page."""
    return Application({PATH: MetricsPage(metrics, before_scrape=before_scrape).answer})
