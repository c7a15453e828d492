from __future__ import annotations

import pytest

from kcontroller.testing.clock import VirtualClock
from tests.unit.workqueue.steps import Queue


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> Queue:
    return Queue("test", clock=clock)
