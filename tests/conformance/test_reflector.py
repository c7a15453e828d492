"""Rows 1 to 12 of the conformance list: what a reflector asks an API server. Deviations: DEVIATIONS.md."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from kcontroller.cache.actions import Advance, Apply, OpenList, OpenWatch, Replace, Timer
from kcontroller.cache.events import Bookmark, Failure, Page, Upserted
from kcontroller.cache.reflector import Reflector, State
from kcontroller.errors import TransportError, error_type
from tests.unit.cache.traces import Still, asked, entry

if TYPE_CHECKING:
    from kcontroller.cache.actions import Action


@pytest.fixture
def machine() -> Reflector:
    return Reflector("/api/v1/pods", rng=Still())


def api_error(status: int, *, after: float | None = None) -> Exception:
    return error_type(status, "")("", status=status, retry_after=after)


def requests(actions: list[Action]) -> list[str]:
    return [asked(action.target) for action in actions if isinstance(action, OpenList | OpenWatch)]


def mark(version: int, text: str = "true") -> Bookmark:
    return Bookmark(version, initial_events_end=text == "true")


def watching(machine: Reflector, *, version: int = 10) -> Reflector:
    """Bring the machine to a watch that has lived for a minute."""
    machine.start(0.0)
    machine.opened(0.0)
    machine.event(mark(version), 0.0)
    machine.ended(60.0)
    assert machine.state is State.WATCHING
    return machine


def paging(machine: Reflector) -> list[Action]:
    """Refuse streaming lists."""
    return machine.failed(api_error(422), 0.0)


def test_01_the_first_streaming_list_names_no_version(machine: Reflector) -> None:
    assert requests(machine.start(0.0)) == ["watch initial at newest"]


def test_01_our_first_paged_list_is_consistent_too(machine: Reflector) -> None:
    machine.start(0.0)

    assert requests(paging(machine)) == ["list page at newest"]


def test_02_a_410_on_a_list_at_a_version_lists_at_once_without_a_version(machine: Reflector) -> None:
    watching(machine)
    assert requests(machine.failed(api_error(410), 61.0)) == ["watch initial at 10"]

    assert requests(machine.failed(api_error(410), 61.0)) == ["watch initial at newest"]


@pytest.mark.parametrize("as_event", [True, False])
def test_03_a_410_on_a_watch_lists_at_the_last_version_first(machine: Reflector, *, as_event: bool) -> None:
    watching(machine)
    error = api_error(410)
    actions = machine.event(Failure(error), 61.0) if as_event else machine.failed(error, 61.0)  # type: ignore[arg-type]

    assert requests(actions) == ["watch initial at 10"]


def test_04_a_429_on_a_watch_watches_again_after_its_time_without_a_list(machine: Reflector) -> None:
    watching(machine)
    actions = machine.failed(api_error(429, after=7), 61.0)
    assert requests(actions) == []
    assert actions[-1] == Timer(7)

    assert requests(machine.tick(68.0)) == ["watch from 10"]


def test_05_a_clean_end_watches_again_from_the_last_version_without_a_list(machine: Reflector) -> None:
    watching(machine)
    machine.opened(60.0)
    machine.event(Upserted(entry("a@15")), 70.0)

    assert requests(machine.ended(400.0)) == ["watch from 15"]


def test_06_the_version_of_a_bookmark_is_used_for_the_next_watch(machine: Reflector) -> None:
    watching(machine)
    machine.opened(60.0)
    assert machine.event(Bookmark(77), 100.0) == [Advance(77)]

    assert requests(machine.ended(400.0)) == ["watch from 77"]


def test_07_the_end_mark_syncs_and_its_stream_is_the_watch(machine: Reflector) -> None:
    machine.start(0.0)
    machine.opened(0.0)
    machine.event(Upserted(entry("a@5")), 0.1)

    assert machine.event(mark(10), 0.2) == [Replace((entry("a@5"),), 10)]
    assert machine.event(Upserted(entry("b@11")), 0.3) == [Apply(Upserted(entry("b@11")))]


def test_07_an_end_mark_that_says_false_does_not_sync(machine: Reflector) -> None:
    machine.start(0.0)
    machine.opened(0.0)

    assert machine.event(mark(10, "false"), 0.2) == []
    assert machine.state is State.STREAMING


@pytest.mark.parametrize("status", [400, 405, 409, 422])
def test_08_a_streaming_list_that_is_refused_falls_back_to_a_list_for_this_cycle(
    machine: Reflector, status: int
) -> None:
    machine.start(0.0)
    assert requests(machine.failed(api_error(status), 0.1)) == ["list page at newest"]
    machine.page(Page(10, "", []), 0.2)
    machine.opened(0.3)

    assert requests(machine.event(Failure(api_error(410)), 60.0)) == ["watch initial at 10"]  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_08_we_wait_where_a_list_would_meet_the_same_answer(machine: Reflector, status: int) -> None:
    machine.start(0.0)

    assert requests(machine.failed(api_error(status), 0.1)) == []
    assert machine.state is State.WAITING


def test_09_a_watch_that_ends_at_once_without_an_event_lists_after_backoff(machine: Reflector) -> None:
    watching(machine)
    machine.opened(60.0)
    actions = machine.ended(60.5)
    assert requests(actions) == []
    assert isinstance(actions[-1], Timer)

    assert requests(machine.tick(61.3)) == ["watch initial at 10"]


def test_09_we_wait_also_when_there_was_an_event_and_then_only_watch(machine: Reflector) -> None:
    watching(machine)
    machine.opened(60.0)
    machine.event(Upserted(entry("a@15")), 60.1)
    assert requests(machine.ended(60.5)) == []

    assert requests(machine.tick(61.3)) == ["watch from 15"]


@pytest.mark.parametrize("seed", range(50))
def test_10_a_watch_asks_for_300_to_600_seconds(seed: int) -> None:
    opened = Reflector("/api/v1/pods", rng=random.Random(seed)).start(0.0)[0]  # noqa: S311 - not a secret
    assert isinstance(opened, OpenWatch)
    (seconds,) = re.findall(r"timeoutSeconds=(\d+)", opened.target)

    assert 300 <= int(seconds) <= 600


def test_11_a_list_at_a_version_is_not_paged(machine: Reflector) -> None:
    watching(machine)
    machine.failed(api_error(410), 61.0)

    assert requests(paging(machine)) == ["list whole at 10"]


def test_11_a_410_on_page_2_makes_one_full_list(machine: Reflector) -> None:
    machine.start(0.0)
    paging(machine)
    assert requests(machine.page(Page(10, "token-1", [entry("a@5")]), 0.1)) == ["list page at newest token-1"]

    assert requests(machine.failed(api_error(410), 0.2)) == ["list whole at newest"]
    assert machine.page(Page(11, "", [entry("b@6")]), 0.3)[0] == Replace((entry("b@6"),), 11)


def test_11_a_410_on_page_1_does_not(machine: Reflector) -> None:
    machine.start(0.0)
    paging(machine)

    assert requests(machine.failed(api_error(410), 0.1)) == []


def test_12_initial_events_do_not_move_the_version(machine: Reflector) -> None:
    """We never watch from "0"; the unordered events before an end mark are what is left of this row."""
    machine.start(0.0)
    machine.opened(0.0)
    machine.event(Upserted(entry("a@50")), 0.1)
    assert machine.version == 0
    machine.failed(TransportError("cut"), 0.2)

    assert requests(machine.tick(2.0)) == ["list page at newest"]
