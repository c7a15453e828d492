from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from kcontroller.cli import clusters
from kcontroller.cli.commands import cli
from kcontroller.multicluster import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(name: str = "p1", state: str = "engaged", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "hub": False,
        "uid": "0a1b2c3d-4e5f",
        "state": state,
        "since": (NOW - timedelta(seconds=90)).isoformat(),
        "why": "",
        "error": "",
        "attempts": 0,
        "informers": {"synced": 2, "kinds": 2, "pending": {}},
        "queue": 0,
        "held_by": [],
        **fields,
    }


class Answers:
    """Stands in for a daemon."""

    def __init__(self) -> None:
        self.page: dict[str, Any] = {"now": NOW.isoformat(), "listed": True, "clusters": []}

    def get(self, path: str, **query: str) -> Any:
        assert (path, query) == ("/clusters", {})
        return self.page


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers()
    monkeypatch.setattr(clusters, "find", lambda _path: answers)
    return answers


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["clusters", *arguments])


def test_the_table_has_a_line_for_each_cluster_and_one_that_counts_them(daemon: Answers) -> None:
    daemon.page["clusters"] = [
        row("", hub=True, uid="", since=None),
        row("p1", queue=3, held_by=["breaker", "command"], error="breaker: 5 failures in a row"),
        row("p2", "discovered", error="no route", attempts=4, informers={"synced": 0, "kinds": 0, "pending": {}}),
    ]

    result = run()

    assert result.output.splitlines() == [
        "NAME   UID       STATE       SINCE       INFORMERS  QUEUE  HELD BY          WHAT IS WRONG",
        "(hub)  -         engaged     -           2/2        0      -",
        "p1     0a1b2c3d  engaged     1 min 30 s  2/2        3      breaker,command  breaker: 5 failures in a row",
        "p2     0a1b2c3d  discovered  1 min 30 s  0/0        0      -                no route (4 tries)",
        "2 engaged, 1 discovered",
    ]
    assert result.exit_code == clusters.NOT_WELL


def test_a_single_cluster_is_called_local(daemon: Answers) -> None:
    daemon.page["clusters"] = [row("", uid="", since=None)]

    assert run("local").output.splitlines()[1].startswith("local  -")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), ["p1", "p2", "q1"]),
        (("p*",), ["p1", "p2"]),
        (("p2", "q?"), ["p2", "q1"]),
        (("--state", "syncing"), ["p2"]),
        (("--state", "syncing", "--state", "engaged", "p*"), ["p1", "p2"]),
        (("q1", "--state", "syncing"), []),
    ],
)
def test_those_are_shown_that_are_asked_for(daemon: Answers, arguments: tuple[str, ...], names: list[str]) -> None:
    daemon.page["clusters"] = [row("p1"), row("p2", "syncing"), row("q1")]

    shown = json.loads(run("-o", "json", *arguments).output)

    assert [each["name"] for each in shown["clusters"]] == names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("p1", "pq"), "no cluster 'pq' is here; there are (hub), p1\n"),
        (("hub",), "no cluster 'hub' is here, did you mean '(hub)'?\n"),
        (("local",), "no cluster 'local' is here; there are (hub), p1\n"),
        (("",), "no cluster '' is here; there are (hub), p1\n"),
        (("x*",), ""),
        (("p1", "--state", "draining"), ""),
    ],
)
def test_a_name_that_nobody_has_is_told_with_those_that_there_are(
    daemon: Answers, arguments: tuple[str, ...], said: str
) -> None:
    daemon.page["clusters"] = [row("", hub=True), row()]

    result = run(*arguments)

    assert (result.exit_code, result.stderr) == (clusters.UNKNOWN, said)


@pytest.mark.parametrize(
    ("rows", "arguments", "code"),
    [
        ([row()], (), 0),
        ([], (), clusters.UNKNOWN),
        ([row("", hub=True)], (), clusters.UNKNOWN),
        ([row("", hub=True)], ("*",), clusters.UNKNOWN),
        ([row("", hub=True)], ("(hub)",), 0),
        ([row("", hub=True, error="v1 Secret: 503")], (), clusters.NOT_WELL),
        ([row("", hub=True), row()], (), 0),
        ([row("", hub=True), row(), row("p2", "refused", error="not YAML")], (), clusters.NOT_WELL),
        ([row()], ("p9",), clusters.UNKNOWN),
        ([row()], ("p1", "p9"), clusters.UNKNOWN),
        ([row("p1", "draining")], ("p1", "p9"), clusters.NOT_WELL),
        ([row(), row("p2", "draining")], (), clusters.NOT_WELL),
        ([row(), row("p2", "draining")], ("p1",), 0),
        ([row(error="v1 ConfigMap: 503")], (), clusters.NOT_WELL),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_the_exit_code_sums_those_up(
    daemon: Answers, rows: list[dict[str, Any]], arguments: tuple[str, ...], code: int, output: str
) -> None:
    daemon.page["clusters"] = rows

    assert run(*arguments, "-o", output).exit_code == code


def test_nothing_of_others_moves_the_cursor(daemon: Answers) -> None:
    daemon.page["clusters"] = [row("p\x1b[2J1", error="bad\nline\x07")]

    output = run().output

    assert "\x1b" not in output
    assert len(output.splitlines()) == 3
    assert r"p\x1b[2J1" in output
    assert r"bad\nline\x07" in output


def test_json_is_ascii_so_that_nothing_of_others_moves_the_cursor(daemon: Answers) -> None:
    daemon.page["clusters"] = [row(error="\u009b2J \u202e back")]

    output = run("-o", "json").output

    assert output.isascii()
    assert json.loads(output)["clusters"][0]["error"] == "\u009b2J \u202e back"


def test_it_is_said_that_the_first_list_is_not_complete(daemon: Answers) -> None:
    daemon.page["listed"] = False

    assert run().output == "no clusters; the first list of clusters is under way\n"


def test_every_state_that_a_cluster_may_be_seen_in_can_be_asked_for() -> None:
    assert set(clusters._STATES) == {each.value for each in State} - {"gone"}
