from __future__ import annotations

from typing import Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.leaderelection.options import LeaderElection


def test_the_defaults_are_those_of_client_go() -> None:
    options = LeaderElection(name="widget", namespace="default")
    assert (options.lease_duration, options.renew_deadline, options.retry_period) == (15, 10, 2)
    assert options.request_timeout == 5
    assert options.release_on_stop


def test_a_request_has_at_least_a_second() -> None:
    short = LeaderElection(name="w", namespace="d", lease_duration=2, renew_deadline=1.5, retry_period=0.5)
    assert short.request_timeout == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": ""}, "the Lease's name '' is no DNS name"),
        ({"name": "Widget"}, "name 'Widget' is no DNS name"),
        ({"name": "a" * 254}, "is no DNS name"),
        ({"name": "a/../b"}, "is no DNS name"),
        ({"namespace": ""}, "namespace '' is no name of a namespace; use the one of the process"),
        ({"namespace": "a.b"}, "namespace 'a.b' is no name"),
        ({"lease_duration": 0}, "lease_duration is 0 s; it must be a positive number"),
        ({"renew_deadline": -1.0}, "renew_deadline is -1 s; it must be a positive number"),
        ({"retry_period": float("nan")}, "retry_period is nan s; it must be a positive number"),
        ({"sync_patience": -1.0}, "sync_patience is -1 s; it must be a number of seconds, or 0 not to wait"),
        ({"sync_patience": float("nan")}, "sync_patience is nan s"),
        ({"lease_duration": float("inf")}, "lease_duration is inf s"),
        ({"lease_duration": 15.5}, "lease_duration is 15.5 s; the API keeps whole seconds"),
        ({"lease_duration": 2**31}, "the API keeps whole seconds"),
        ({"lease_duration": 10}, r"lease_duration \(10 s\) must be longer than renew_deadline \(10 s\)"),
        ({"retry_period": 9.0}, r"renew_deadline \(10 s\) must be longer than 1.2 x retry_period \(9 s\)"),
    ],
)
def test_a_bad_value_is_named_with_the_remedy(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        LeaderElection(**{"name": "widget", "namespace": "default", **changes})
