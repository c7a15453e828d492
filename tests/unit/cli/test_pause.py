from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from kcontroller.cli import pause, pauses, resume
from kcontroller.cli.commands import cli


class Answers:
    """Stands in for a daemon."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.about = {"leads": True, "holder": ""}
        self.paused = [{"text": "web is paused in cluster eu (because)"}]
        self.ended = ["web is paused"]
        self.doubt = ""

    def get(self, path: str, **query: str) -> Any:
        self.asked.append((path, query))
        return self.paused

    def post(self, path: str, **query: str) -> Any:
        self.asked.append((path, query))
        return {"about": self.about, "paused": self.paused, "ended": self.ended, "doubt": self.doubt}


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers()
    for module in (pause, pauses, resume):
        monkeypatch.setattr(module, "find", lambda _path: answers)
    return answers


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["web"], ("web", "*")),
        (["web", "--cluster", "eu"], ("web", "eu")),
        (["--cluster", "eu"], ("*", "eu")),
        (["--all"], ("*", "*")),
        (["--all", "--cluster", "local"], ("*", "local")),
    ],
)
def test_what_is_named_is_paused_and_resumed(daemon: Answers, arguments: list[str], target: tuple[str, str]) -> None:
    paused = run("pause", *arguments, "--why", "because")
    resumed = run("resume", *arguments)

    query = dict(zip(("controller", "cluster"), target, strict=True))
    assert daemon.asked == [("/pause", {**query, "why": "because"}), ("/resume", query)]
    assert paused.output == "web is paused in cluster eu (because)\n"
    assert resumed.output == "resumed: web is paused\nweb is paused in cluster eu (because)\n"


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize("arguments", [[], ["web", "--all"]])
def test_everything_has_to_be_meant(daemon: Answers, command: str, arguments: list[str]) -> None:
    result = run(command, *arguments)

    assert (result.exit_code, f"name what to {command}" in result.output, daemon.asked) == (2, True, [])


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_cluster_without_a_name_is_a_mistake_and_not_every_cluster(daemon: Answers, command: str) -> None:
    result = run(command, "web", "--cluster", "")

    assert (result.exit_code, daemon.asked) == (2, [])
    assert "--cluster is empty; name one as 'kcontroller clusters' does, or leave it out for all" in result.output


def test_to_list_changes_nothing(daemon: Answers) -> None:
    daemon.paused = []

    assert run("pauses").output == "nothing is paused\n"
    assert daemon.asked == [("/pauses", {})]


@pytest.mark.parametrize(("holder", "who"), [("x-7f9c", "x-7f9c leads"), ("", "another replica may lead")])
def test_on_a_standby_it_is_said_where_to_pause_too(daemon: Answers, holder: str, who: str) -> None:
    daemon.about = {"leads": False, "holder": holder}

    assert run("pause", "web").stderr == f"this replica stands by, and {who}: pause it there too\n"


def test_a_pause_of_a_cluster_that_is_not_here_is_told_to_do_nothing_yet(daemon: Answers) -> None:
    daemon.doubt = "no cluster 'ue' is here, did you mean 'eu'?"

    result = run("pause", "web", "--cluster", "ue")

    assert (result.exit_code, result.stdout) == (0, "web is paused in cluster eu (because)\n")
    assert result.stderr == f"this pauses nothing yet: {daemon.doubt}\n"


@pytest.mark.parametrize(("ended", "said", "code"), [([], "no cluster 'ue' is here\n", 1), (["web is paused"], "", 0)])
def test_who_resumes_a_cluster_that_is_not_here_is_told_if_there_was_nothing(
    daemon: Answers, ended: list[str], said: str, code: int
) -> None:
    daemon.ended, daemon.doubt = ended, "no cluster 'ue' is here"

    result = run("resume", "web", "--cluster", "ue")

    assert (result.stderr, result.exit_code) == (said, code)
