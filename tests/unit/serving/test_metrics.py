from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.process.metrics import CONTENT_TYPE, Metrics
from kcontroller.serving.dispatch import Question
from kcontroller.serving.metrics import MetricsPage, application

if TYPE_CHECKING:
    from conftest import Serve


def test_the_page_is_in_the_prometheus_text_format(serve: Serve) -> None:
    metrics = Metrics()
    metrics.reconcile_total.labels("widgets", "success").inc()
    reply = serve(application(metrics)).ask("/metrics")
    assert (reply.status, reply.headers["Content-Type"]) == (200, CONTENT_TYPE)
    assert 'controller_runtime_reconcile_total{controller="widgets",result="success"} 1.0\n' in reply.body


def test_what_is_measured_before_a_scrape_is_on_the_page() -> None:
    metrics = Metrics()
    page = MetricsPage(metrics, before_scrape=[lambda: metrics.active_workers.labels("widgets").set(7)])
    assert b'controller_runtime_active_workers{controller="widgets"} 7.0\n' in page.answer(Question("", {})).body


def test_a_measurement_that_raises_does_not_cost_the_page() -> None:
    def broken() -> None:
        raise RuntimeError

    metrics = Metrics()
    page = MetricsPage(metrics, before_scrape=[broken, lambda: metrics.active_workers.labels("widgets").set(7)])
    assert b'controller_runtime_active_workers{controller="widgets"} 7.0\n' in page.answer(Question("", {})).body


def test_nothing_is_below_the_page() -> None:
    assert MetricsPage(Metrics()).answer(Question("x", {})).status == 404
