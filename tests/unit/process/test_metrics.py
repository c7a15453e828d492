from __future__ import annotations

from itertools import product

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kcontroller.cache.meter import Health, InformerMeter, Reading
from kcontroller.process.durations import DurationFamily
from kcontroller.process.metrics import CLUSTER_SERIES, ERROR, FLEET_HOST, SUCCESS, Metrics
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


# ---- a fleet ---------------------------------------------------------------------------------------------------------


def series_of(metrics: Metrics, cluster: str) -> list[str]:
    return [line for line in metrics.render().decode().splitlines() if f'cluster="{cluster}"' in line]


def fill(metrics: Metrics, cluster: str) -> None:
    """Make every series that a cluster of a fleet can have, in each family that there is."""
    values = {"cluster": (cluster,), "kind": ("",), "result": (SUCCESS, ERROR)}
    for family in vars(metrics).values():
        if "cluster" in (labels := getattr(family, "_labelnames", ())):
            for each in product(*(values[label] for label in labels)):
                family.labels(*each)
    meter = InformerMeter(metrics, cluster=cluster, kind="v1 ConfigMap")
    meter.observe([Reading(Health.LIVE)])
    meter.count_relist()
    meter.count_reset()
    meter.count_stale_answer()
    meter.count_undecodable()


def test_row_55_a_cluster_of_a_fleet_has_twelve_series_at_most_and_none_when_it_has_left() -> None:
    """All families are walked through: one that is new and forgotten in `forget_cluster` is found."""
    metrics = Metrics()
    for cluster in ("p1", "p2"):
        fill(metrics, cluster)
    found = series_of(metrics, "p1")
    assert len(found) <= CLUSTER_SERIES, found
    assert {"kcontroller_cluster_state", "kcontroller_cluster_sync_seconds", "kcontroller_cluster_queue_depth"} <= {
        each.partition("{")[0] for each in found
    }

    metrics.forget_cluster("p1")

    assert series_of(metrics, "p1") == []
    assert len(series_of(metrics, "p2")) == len(found)


def test_the_informers_of_a_cluster_of_a_fleet_write_no_more_than_these() -> None:
    metrics = Metrics()
    meter = InformerMeter(metrics, cluster="p1", kind="v1 ConfigMap")
    meter.observe([Reading(Health.LIVE, list_seconds=3.0)])
    meter.count_reset()

    assert "kcontroller_informer_list_seconds{" not in metrics.render().decode()
    assert metrics.registry.get_sample_value("kcontroller_informer_resets_total", {"kind": "v1 ConfigMap"}) == 1


def test_to_forget_a_cluster_costs_the_same_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for its series among those of the others took 4 ms with a thousand clusters, on the fleet's thread."""
    metrics = Metrics()
    fill(metrics, "p1")
    for family in vars(metrics).values():
        if hasattr(family, "remove_by_labels"):
            monkeypatch.setattr(family, "remove_by_labels", lambda _labels: pytest.fail("all series are looked at"))

    metrics.forget_cluster("p1")

    assert series_of(metrics, "p1") == []


def test_hosts_of_a_fleet_share_their_series_and_that_of_the_hub_keeps_its_own() -> None:
    metrics = Metrics()
    hub = RequestMeter(metrics, host="hub:443")
    metrics.fold_hosts()
    meters = [RequestMeter(metrics, host=host) for host in ("hub:443", "eu:443", "us:443")]
    for meter in (hub, *meters):
        meter.answered(code="200", method="GET")
        meter.took(0.1, verb="get")

    def requests(host: str) -> float | None:
        return metrics.registry.get_sample_value(
            "rest_client_requests_total", {"code": "200", "method": "GET", "host": host}
        )

    assert [requests(host) for host in ("hub:443", FLEET_HOST, "eu:443")] == [2, 2, None]
    meters[1].close()
    assert requests(FLEET_HOST) == 2
    meters[2].close()
    assert [requests(host) for host in ("hub:443", FLEET_HOST)] == [2, None]


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
