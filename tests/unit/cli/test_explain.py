from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from kcontroller.cli import explain
from kcontroller.cli.commands import cli
from kcontroller.controller.explanation import (
    Cached,
    Explanation,
    Failure,
    Queued,
    StepShown,
    Waiting,
    WriteShown,
)

if TYPE_CHECKING:
    from click.testing import Result

NOW = datetime(2026, 1, 1, 3, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def explanation(**more: Any) -> Explanation:
    usual: dict[str, Any] = {
        "controller": "web",
        "cluster": "eu",
        "kind": "example.com/v1 Web",
        "key": "default/web",
        "verdict": "waits for nothing: its last reconcile went well",
        "known": True,
        "settled": True,
        "waiting": (),
        "cached": None,
        "queue": None,
        "last_error": None,
        "writes": (),
        "steps": (),
        "complete": True,
        "notes": (),
        "now": NOW,
    }
    return Explanation(**{**usual, **more})


STUCK = explanation(
    verdict="waits for its backoff, 41 s more (9 failures)",
    settled=False,
    waiting=(
        Waiting("backoff", "waits for its backoff, 41 s more (9 failures)", ago(-41), "any change ends the wait"),
        Waiting("paused", "waits: web is paused"),
    ),
    cached=Cached(88121, 7, False),
    queue=Queued("delayed", ago(40), 0, 9, ("ConfigMap updated", "retry")),
    last_error=Failure(ago(41), "Conflict: no", "web.py:61", "4f1c", "retry 9 after its backoff"),
    writes=(
        WriteShown(ago(41), "patch", "v1 ConfigMap default/web", "88119", False, {"data": {"replicas": "5"}}),
        WriteShown(ago(40.5), "delete", "v1 Pod default/web-0", "403 Forbidden: no", True, None),
    ),
    steps=(
        StepShown(ago(3700), "queued", "Web updated (default/web, resourceVersion 88117)"),
        StepShown(ago(82), "dropped", "Web updated (default/web, resourceVersion 88118) dropped by generation_changed"),
        StepShown(ago(0.25), "began", "waited 2 ms, 8 failures before"),
    ),
    notes=("older steps were dropped",),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answer for a daemon."""

    class Answers:
        explanations: tuple[Explanation, ...] = ()
        query: dict[str, str] = {}

        def get(self, path: str, **query: str) -> Any:
            assert path == "/explain"
            self.query = query
            return json.loads(msgspec.json.encode(self.explanations))

    answers = Answers()
    monkeypatch.setattr(explain, "find", lambda _path: answers)
    return answers


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments])


def test_the_text_begins_with_the_verdict_and_ends_with_what_happened_last(asked: Any) -> None:
    asked.explanations = (STUCK,)

    result = run("eu", "Web", "default/web")

    assert result.exit_code == 3
    assert result.output == (
        "Web default/web in eu, controller web: waits for its backoff, 41 s more (9 failures)\n"
        "  remedy  any change ends the wait\n"
        "  also    waits: web is paused\n"
        "  now     delayed for 40 s, priority 0, queued for: ConfigMap updated, retry\n"
        "  cached  resourceVersion 88121, generation 7\n"
        "  error   41 s ago: Conflict: no at web.py:61, retry 9 after its backoff\n"
        "          reconcileID 4f1c\n"
        '  wrote   41 s ago: patch v1 ConfigMap default/web -> 88119  {"data": {"replicas": "5"}}\n'
        "  wrote   40 s ago: delete v1 Pod default/web-0 refused: 403 Forbidden: no\n"
        "  note    older steps were dropped\n"
        "  -1 h 1 min   queued  Web updated (default/web, resourceVersion 88117)\n"
        "  -1 min 22 s  dropped Web updated (default/web, resourceVersion 88118) dropped by generation_changed\n"
        "  -250 ms      began   waited 2 ms, 8 failures before\n"
    )


def test_json_is_the_explanation_with_its_version(asked: Any) -> None:
    asked.explanations = (STUCK,)

    (found,) = json.loads(run("eu", "Web", "default/web", "-o", "json").output)

    assert msgspec.convert(found, Explanation) == STUCK
    assert found["version"] == "kcontroller.dev/explain/v1"
    assert found["waiting"][0]["for"] == "backoff"


def test_json_is_ascii_so_that_nothing_of_others_moves_the_cursor(asked: Any) -> None:
    asked.explanations = (msgspec.structs.replace(STUCK, notes=("\u009b2J \u202e back",)),)

    output = run("eu", "Web", "default/web", "-o", "json").output

    assert output.isascii()
    assert json.loads(output)[0]["notes"] == ["\u009b2J \u202e back"]


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (["Web", "a/b"], {"cluster": "", "kind": "Web", "key": "a/b"}),
        (["local", "v1 Web", "b"], {"cluster": "local", "kind": "v1 Web", "key": "b"}),
    ],
)
def test_the_cluster_may_be_left_out(asked: Any, arguments: list[str], query: dict[str, str]) -> None:
    asked.explanations = (explanation(),)

    assert run(*arguments).exit_code == 0
    assert asked.query == query


@pytest.mark.parametrize("arguments", [[], ["Web"], ["a", "b", "c", "d"]])
def test_too_few_and_too_many_names_are_refused(asked: Any, arguments: list[str]) -> None:
    result = run(*arguments)

    assert (result.exit_code, "name a kind and an object" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([(True, True)], 0),
        ([(True, True), (True, False)], 3),
        ([(True, True), (False, False)], 0),
        ([(False, False)], 1),
    ],
)
def test_the_exit_code_sums_up(asked: Any, states: list[tuple[bool, bool]], code: int) -> None:
    asked.explanations = tuple(explanation(known=known, settled=settled) for known, settled in states)

    assert run("Web", "a/b").exit_code == code
