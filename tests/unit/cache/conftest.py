from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cache.informer import Informer
from kcontroller.cache.meter import InformerMeter
from kcontroller.process.metrics import Metrics
from tests.unit.cache.feeds import FakeFeed
from tests.unit.cache.objects import PODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def feed() -> Iterator[FakeFeed]:
    """A loop; afterwards nothing may have been raised where only the transport would see it."""
    feed = FakeFeed()
    yield feed
    assert [stream.swallowed for stream in feed.streams if stream.swallowed] == []


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(feed: FakeFeed, metrics: Metrics) -> Callable[..., Informer]:
    """Make an informer of pods on the loop."""

    def make(**options: Any) -> Informer:
        meter = InformerMeter(metrics, cluster="", kind=str(PODS.gvk))
        return Informer(PODS, **{"feed": feed, "clock": feed.clock, "meter": meter, **options})

    return make


@pytest.fixture
def informer(make: Callable[..., Informer]) -> Informer:
    return make()
