"""The lists that controllers hold us to are complete: every row of the conformance list, every trap, has a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONFORMANCE = TESTS / "conformance"
ROWS = range(1, 46)
IN_THE_PROCESS = {*range(24, 35), 36}
"""Queue and outcomes: what is there does not depend on a server."""
DEFINED = re.compile(r"^def (test_\w+)\((.*?)\)", re.MULTILINE | re.DOTALL)


def defined_in(path: Path) -> dict[str, str]:
    """The names of its tests with their arguments."""
    return dict(DEFINED.findall(path.read_text(encoding="utf-8")))


def row_of(name: str) -> int:
    found = re.match(r"test_(\d\d)_", name)
    return int(found[1]) if found else 0


def test_every_row_of_the_conformance_list_has_a_test() -> None:
    tested = {row_of(name) for path in CONFORMANCE.glob("test_*.py") for name in defined_in(path)}

    assert [row for row in ROWS if row not in tested] == []
    assert tested - {0} <= set(ROWS)


def test_every_row_for_which_a_server_matters_runs_on_the_embedded_and_on_the_real_one() -> None:
    """There, `server`, and what is made of it, stands for one after the other."""
    on_both = {
        row_of(name)
        for path in CONFORMANCE.glob("test_*_on_servers.py")
        for name, arguments in defined_in(path).items()
        if re.search(r"\b(server|stage|watch|watched|proxy|namespace)\b", arguments)
    }

    assert [row for row in ROWS if row not in on_both | IN_THE_PROCESS] == []


def shown_by() -> list[str]:
    return re.findall(r"`([\w/]+\.py::\w+)`", (CONFORMANCE / "TRAPS.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("test", sorted(set(shown_by())))
def test_what_shows_that_we_are_out_of_a_trap_is_there(test: str) -> None:
    path, _, name = test.partition("::")

    assert name in defined_in(TESTS / path)


def test_every_trap_has_a_test() -> None:
    text = (CONFORMANCE / "TRAPS.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| they |")]

    assert len(rows) > 40
    assert [row for row in rows if ".py::test_" not in row] == []
