from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import TerminalError
from kcontroller.testing import Milo
from kcontroller.testing.polling import eventually
from tests.integration.projects import Projects, Watching

if TYPE_CHECKING:
    from kcontroller import Context
    from kcontroller.testing import Managers

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.embedded(milo=Milo(projects=("p1", "p2"), cold_storage=False)),
]


def test_an_object_of_a_canary_that_is_broken_for_good_does_not_hold_the_others_for_good(
    manager: Managers, projects: Projects, caplog: pytest.LogCaptureFixture
) -> None:
    projects.label("p1", tier="canary")
    for name in ("p1", "p2"):
        projects.put(name, "a")

    def act(ctx: Context) -> None:
        if ctx.cluster.name == "p1":
            raise TerminalError("its spec says nothing")

    watching = Watching(act)
    projects.watch(manager, watching, canary="tier=canary", canary_minutes=0.4 / 60, allow=TerminalError)
    watching.wait_for("p2:default/a", within=5.0)

    assert "a canary fails: watching failed on p1:default/a; 1 other cluster stays held back" in caplog.text
    assert "watching failed on p1:default/a, and nobody tries it again: from now on it does not count" in caplog.text


def test_canaries_that_there_are_not_are_said(
    manager: Managers, projects: Projects, caplog: pytest.LogCaptureFixture
) -> None:
    projects.label("p1", tier="test")
    projects.watch(manager, Watching(), canary="tier=tset", canary_minutes=1 / 60)

    said = "no cluster has the labels tier=tset: 2 other clusters stay held back; label those that are to go first"
    eventually(lambda: said in caplog.text)
