from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from kcontroller.process.durations import DurationFamily
from kcontroller.process.metrics import Metrics
from kcontroller.transport.measure import RequestMeter

CONTROLLER_RUNTIME = {
    "controller_runtime_reconcile": ("counter", ("controller", "result")),
    "controller_runtime_reconcile_errors": ("counter", ("controller",)),
    "controller_runtime_terminal_reconcile_errors": ("counter", ("controller",)),
    "controller_runtime_reconcile_panics": ("counter", ("controller",)),
    "controller_runtime_reconcile_timeouts": ("counter", ("controller",)),
    "controller_runtime_reconcile_time_seconds": ("histogram", ("controller",)),
    "controller_runtime_max_concurrent_reconciles": ("gauge", ("controller",)),
    "controller_runtime_active_workers": ("gauge", ("controller",)),
    "workqueue_depth": ("gauge", ("name", "controller", "priority")),
    "workqueue_adds": ("counter", ("name", "controller")),
    "workqueue_queue_duration_seconds": ("histogram", ("name", "controller")),
    "workqueue_work_duration_seconds": ("histogram", ("name", "controller")),
    "workqueue_unfinished_work_seconds": ("gauge", ("name", "controller")),
    "workqueue_longest_running_processor_seconds": ("gauge", ("name", "controller")),
    "workqueue_retries": ("counter", ("name", "controller")),
    "rest_client_requests": ("counter", ("code", "method", "host")),
    "leader_election_master_status": ("gauge", ("name",)),
    "leader_election_slowpath": ("counter", ("name",)),
}


def families(metrics: Metrics) -> dict[str, tuple[str, tuple[str, ...]]]:
    ours = vars(metrics).values()
    return {
        **{each._name: (each._type, each._labelnames) for each in ours if hasattr(each, "_labelnames")},
        **{each.name: ("histogram", each.label_names) for each in ours if isinstance(each, DurationFamily)},
    }


def test_the_names_and_labels_are_those_that_dashboards_know() -> None:
    ours = families(Metrics())

    assert {name: ours.get(name) for name in CONTROLLER_RUNTIME} == CONTROLLER_RUNTIME


def test_what_is_new_lives_under_our_own_name() -> None:
    known = (
        *CONTROLLER_RUNTIME,
        "rest_client_request_duration_seconds",
        "rest_client_request_retries",
        "rest_client_rate_limiter_duration_seconds",
        "certwatcher_read_certificate",
        "certwatcher_read_certificate_errors",
    )

    assert [name for name in families(Metrics()) if name not in known and not name.startswith("kcontroller_")] == []


def test_the_buckets_of_a_reconcile_are_those_of_controller_runtime() -> None:
    bounds = Metrics().reconcile_seconds.bounds

    assert len(bounds) == 41
    assert bounds[:5] == (0.005, 0.01, 0.025, 0.05, 0.1)
    assert bounds[-3:-1] == (50.0, 60.0)


def test_no_family_has_a_label_per_object_and_no_histogram_one_per_cluster() -> None:
    for kind, labels in families(Metrics()).values():
        assert not {"namespace", "object", "key"} & set(labels)
        assert kind != "histogram" or "cluster" not in labels


def test_two_managers_in_a_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.reconcile_errors.labels("x").inc()

    assert b'errors_total{controller="x"} 1.0' in one.render()
    assert b'controller="x"' not in other.render()


def test_the_text_can_be_read_back() -> None:
    metrics = Metrics()
    metrics.reconcile_total.labels("widget", "success").inc()
    found = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}

    (sample,) = (each for each in found["controller_runtime_reconcile"].samples if each.name.endswith("_total"))
    assert (sample.labels, sample.value) == ({"controller": "widget", "result": "success"}, 1.0)


def test_the_series_of_a_host_go_with_its_last_user() -> None:
    metrics = Metrics()
    one, other, elsewhere = (RequestMeter(metrics, host=host) for host in ("k8s:443", "k8s:443", "other:443"))
    for meter in (one, other, elsewhere):
        meter.answered(code="200", method="GET")
        meter.took(0.1, verb="get")
        meter.waited(0.1, verb="get")
        meter.retried(code="401", verb="get")
    one.close()
    one.close()
    assert 'host="k8s:443"' in metrics.render().decode()
    other.close()
    one.retried(code="401", verb="get")

    text = metrics.render().decode()
    assert 'host="k8s:443"' not in text
    assert 'rest_client_requests_total{code="200",host="other:443",method="GET"} 1.0' in text
