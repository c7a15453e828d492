from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from kcontroller.process.garbage import OLD_LOOKS, YOUNG_LOOKS, YOUNG_OBJECTS, rarer_collections

if TYPE_CHECKING:
    from collections.abc import Iterator

RARER = (YOUNG_OBJECTS, YOUNG_LOOKS, OLD_LOOKS)


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    """Have Python's own thresholds, whatever runs beside this."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield gc.get_threshold()
    gc.set_threshold(*before)


def test_the_last_to_leave_restores_what_the_first_one_found(threshold: tuple[int, int, int]) -> None:
    outer, inner = rarer_collections(), rarer_collections()
    outer.__enter__()
    inner.__enter__()
    assert gc.get_threshold() == RARER
    outer.__exit__(None, None, None)
    assert gc.get_threshold() == RARER
    inner.__exit__(None, None, None)
    assert gc.get_threshold() == threshold


@pytest.mark.parametrize("young", [0, 50_000])
def test_a_process_that_collects_more_rarely_or_not_at_all_goes_on_so(young: int) -> None:
    gc.set_threshold(young, 10, 10)
    with rarer_collections():
        assert gc.get_threshold()[0] == young
    assert gc.get_threshold()[0] == young
