from __future__ import annotations

import pytest

from kcontroller.cli.demo_outage import Outage

NAMES = ("project-1", "project-2", "project-3")
OUT = "project-2 is not ready: its cluster leaves"
BACK = "project-2 is ready again: its cluster is back"


class Fleet:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def set_ready(self, name: str, *, ready: bool) -> None:
        self.told.append((name, ready))


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def outage(fleet: Fleet, projects: tuple[str, ...] = NAMES, duration: float = 20.0) -> Outage:
    return Outage(fleet, projects, duration)  # type: ignore[arg-type]


def test_a_project_is_not_ready_in_the_middle_and_is_ready_again_three_seconds_later(fleet: Fleet) -> None:
    played = outage(fleet)
    said = [played.act(moment) for moment in (0, 8.4, 8.5, 8.6, 11.4, 11.5, 19)]

    assert said == ["", "", OUT, "", "", BACK, ""]
    assert fleet.told == [("project-2", False), ("project-2", True)]
    assert played.end() == ""


def test_an_early_end_makes_it_ready_again(fleet: Fleet) -> None:
    played = outage(fleet)

    assert [played.act(9), played.end(), played.end()] == [OUT, BACK, ""]


@pytest.mark.parametrize(("projects", "duration"), [(NAMES, 8.9), (NAMES[:1], 20.0)])
def test_a_short_demo_and_one_of_one_project_have_none(
    fleet: Fleet, projects: tuple[str, ...], duration: float
) -> None:
    played = outage(fleet, projects, duration)

    assert [played.act(moment) for moment in (duration / 2, duration)] == ["", ""]
    assert fleet.told == []
