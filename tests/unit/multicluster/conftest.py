from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.multicluster.fakes import FakeFleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fleet() -> Iterator[FakeFleet]:
    made = FakeFleet()
    yield made
    made.end()
