from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
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


def test_what_happened_again_and_again_is_told_once_and_the_text_of_a_refusal_too(asked: Any) -> None:
    often: dict[str, Any] = {"times": 13, "first": ago(89)}
    refusal = "403 Forbidden: configmaps is forbidden: no"
    asked.explanations = (
        explanation(
            last_error=Failure(ago(9), f"Forbidden: {refusal}", "web.py:61", "4f1c", "retry 13", **often),
            writes=(
                WriteShown(ago(9), "apply", "v1 ConfigMap default/web", refusal, True, {"data": {"a": "5"}}, **often),
                WriteShown(ago(5), "delete", "v1 Pod default/web-0", "409 Conflict: it has changed", True, None),
            ),
            steps=(StepShown(ago(9), "failed", "after 3 ms, retry 13: Forbidden", **often),),
        ),
    )

    output = run("eu", "Web", "default/web").output

    assert output.splitlines()[2:] == [
        f"  error   13 times, last 9 s ago: Forbidden: {refusal} at web.py:61, retry 13",
        "          reconcileID 4f1c",
        '  wrote   13 times, last 9 s ago: apply v1 ConfigMap default/web refused: 403 Forbidden  {"data": {"a": "5"}}',
        "  wrote   5 s ago: delete v1 Pod default/web-0 refused: 409 Conflict: it has changed",
        "  -9 s  failed  after 3 ms, retry 13: Forbidden (13 times in 1 min 20 s)",
    ]


def test_the_sample_of_the_guide_is_what_is_printed(asked: Any) -> None:
    ten: dict[str, Any] = {"times": 10, "first": ago(60)}
    eleven: dict[str, Any] = {"times": 11, "first": ago(61)}
    wait = Waiting(
        "backoff",
        "waits for its backoff, 21 s more (14 failures)",
        ago(-21),
        "any change that concerns it ends the wait",
    )
    answer = '403 Forbidden: configmaps "web" is forbidden'
    error = f"Forbidden: patch configmaps: {answer}"
    target, dropped = "v1 ConfigMap default/web", "Widget updated (default/web, resourceVersion 88121)"
    asked.explanations = (
        explanation(
            controller="widget",
            cluster="project-1",
            kind="example.com/v1 Widget",
            verdict=wait.why,
            settled=False,
            waiting=(wait,),
            cached=Cached(88121, 7, False),
            queue=Queued("delayed", ago(20), -100, 14, ("retry",)),
            last_error=Failure(ago(20), error, "widget.py:61", "4f1c0f6e", "retry 14 after its backoff", **eleven),
            writes=(WriteShown(ago(20), "apply", target, answer, True, {"data": {"replicas": "5"}}, **ten),),
            steps=(
                StepShown(ago(20), "began", "waited 0 ms, 13 failures before, because of retry", **ten),
                StepShown(ago(20), "wrote", f"apply {target} refused: 403 Forbidden", **ten),
                StepShown(ago(20), "failed", "after 3 ms, retry 14 after its backoff: Forbidden", **eleven),
                StepShown(ago(5), "dropped", f"{dropped} dropped by generation_changed"),
            ),
            notes=("older steps were dropped",),
        ),
    )
    guide = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
    sample = guide[guide.index("    Widget default/web in project-1, ") :].partition("\n\n")[0]

    assert run("project-1", "Widget", "default/web").output.splitlines() == dedent(sample).splitlines()


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


def test_the_cluster_is_named_as_people_call_it() -> None:
    found = json.loads(msgspec.json.encode(explanation(cluster="", where="(hub)")))

    assert next(explain.told(found)).startswith("Web default/web in (hub), controller web")
