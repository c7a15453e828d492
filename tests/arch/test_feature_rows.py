"""The table of docs/feature-rows.md is complete, and what it says of tests is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
ROWS = range(1, 61)
DEFINED = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def table() -> dict[int, list[str]]:
    """The cells of each row: feature, embedded, real."""
    text = (ROOT / "docs" / "feature-rows.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] > "| /"]
    return {int(number): rest for number, *rest in cells if number.isdecimal()}


def rows_of(name: str) -> set[int]:
    """The rows after which a test is named."""
    found = re.match(r"test_rows?_((?:\d\d_)+)", name)
    return set(map(int, found[1].strip("_").split("_"))) if found else set()


def test_every_row_stands_in_the_table_in_order() -> None:
    assert list(table()) == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_shown_by_a_test_that_is_named_after_it_or_says_why_not(row: int) -> None:
    _feature, embedded, real = table()[row]
    if embedded.startswith("not yet"):
        return

    assert any(row in rows_of(name) for _path, name in NAMED.findall(embedded))
    assert real


@pytest.mark.parametrize("row", ROWS)
def test_what_shows_a_row_is_there(row: int) -> None:
    for path, name in NAMED.findall(" ".join(table()[row])):
        assert name in DEFINED.findall((TESTS / path).read_text(encoding="utf-8")), (path, name)
        assert not rows_of(name) or row in rows_of(name), (path, name)


@pytest.mark.parametrize("row", ROWS)
def test_what_is_said_to_run_on_real_servers_does(row: int) -> None:
    for path, _name in NAMED.findall(table()[row][2]):
        assert re.search(r"\bcontrol_plane\b|\bControlPlane\(", (TESTS / path).read_text(encoding="utf-8")), path
