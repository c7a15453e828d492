from __future__ import annotations

import math
from typing import Any

import pytest

from kcontroller.config import ManagerOptions
from kcontroller.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespaces": "default"}, r"namespaces must be a tuple of names, such as \('default',\), got 'default'"),
        ({"namespaces": ("a", "")}, r"namespaces holds an empty name; \(\) caches all"),
        ({"max_concurrent_reconciles": 0}, "max_concurrent_reconciles must be at least 1, got 0"),
        ({"concurrency": {"apps/v1 Deployment": 2}}, "is not a kind; write it like 'Deployment.apps' or 'ConfigMap'"),
        ({"concurrency": {"Deployment.apps": 0}}, "concurrency of Deployment.apps must be at least 1, got 0"),
        ({"reconcile_timeout": -1.0}, "reconcile_timeout must be a number of seconds, or 0 for no limit, got -1"),
        ({"reconcile_timeout": math.inf}, "reconcile_timeout must be a number of seconds, or 0 for no limit, got inf"),
        ({"delete_budget": "100"}, "delete_budget: '100' is no budget; write it like '100/10m'"),
        ({"write_budget": "1/0s"}, "write_budget: '1/0s' is no budget"),
        ({"paused": "widget"}, r"paused must be a tuple of names, such as \('widget',\), got 'widget'"),
        ({"paused": ("@eu",)}, "'@eu' cannot be paused"),
        ({"canary": "a b"}, "canary: label selector 'a b' is malformed at position 2"),
        ({"canary_minutes": 0}, "canary_minutes must be a positive number, got 0"),
        ({"canary_minutes": math.inf}, "canary_minutes must be a positive number, got inf"),
        ({"cluster_qps": -1.0}, "cluster_qps and cluster_burst must be 0 or more, 0 for no limit; got -1.0 and 0"),
        ({"qps": math.nan}, "qps and burst must be 0 or more, 0 for no limit; got nan and 0"),
        ({"cluster_burst": 5}, "cluster_burst needs cluster_qps: without it nothing is limited"),
        ({"metrics_cert_dir": "/certs"}, "metrics_cert_dir needs metrics_secure: without it nothing is encrypted"),
        ({"graceful_shutdown_timeout": math.inf}, "graceful_shutdown_timeout must be a number of seconds, got inf"),
        ({"graceful_shutdown_timeout": math.nan}, "graceful_shutdown_timeout must be a number of seconds, got nan"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ManagerOptions(**options)


def test_a_drain_without_a_limit_and_several_namespaces_are_meant() -> None:
    options = ManagerOptions(graceful_shutdown_timeout=-1, namespaces=("a", "b"))

    assert (options.graceful_shutdown_timeout, options.namespaces) == (-1, ("a", "b"))
