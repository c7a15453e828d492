from __future__ import annotations

import io
import logging
import re
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from rich.console import Console

from kcontroller.api.objects import Object
from kcontroller.cli import demo_table
from kcontroller.cli.demo_table import Looks, Row, Screen, Snapshot, is_ready
from kcontroller.errors import ClusterNotFound
from kcontroller.process import logs
from kcontroller.process.metrics import Metrics

EU = Row("eu", clusters=1, widgets=5, ready=5, reconciles=20, queue=0, errors=0)
US = Row("us", clusters=1, widgets=6, ready=4, reconciles=21, queue=2, errors=1)
BOTH = Snapshot((EU, US))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(stream: io.StringIO, **options: Any) -> Screen:
    return Screen(Console(file=stream, width=80, _environ={"TERM": "xterm"}, **options), lambda: None)


def test_the_total_is_the_sum() -> None:
    assert BOTH.total == Row("2 clusters", clusters=2, widgets=11, ready=9, reconciles=41, queue=2, errors=1)
    assert Snapshot((EU,)).total.name == "1 cluster"
    assert str(BOTH) == "9 of 11 widgets ready in 2 clusters, 41 reconciles, queue 2, 1 errors"


class Left:
    """A manager that has no cluster any more, and its metrics."""

    def __init__(self) -> None:
        self.metrics = Metrics()

    def observe(self) -> None: ...

    def cluster(self, name: str) -> Any:
        msg = f"no cluster {name!r} is engaged"
        raise ClusterNotFound(msg)


def test_what_a_cluster_did_before_it_left_still_counts_when_it_is_back() -> None:
    manager = Left()
    look = Looks(manager, ("eu",))  # type: ignore[arg-type]
    counter = manager.metrics.cluster_reconciles
    counter.labels("eu", "success").inc(3)
    counter.labels("eu", "error").inc()
    assert look().total == Row("0 clusters", reconciles=4, errors=1)
    for result in ("success", "error"):
        counter.remove("eu", result)
    assert look().total == Row("0 clusters", reconciles=4, errors=1)
    counter.labels("eu", "success").inc(2)
    assert [look().total for _ in range(2)] == [Row("0 clusters", reconciles=6, errors=1)] * 2


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"readyReplicas": 1}, False),
        ({"conditions": []}, False),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, False),
    ],
)
def test_a_widget_is_ready_when_its_status_is_about_the_spec_of_now(change: dict[str, Any], *, ready: bool) -> None:
    status = {"observedGeneration": 2, "readyReplicas": 3, "conditions": [{"type": "Ready", "status": "True"}]}
    widget = Object({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {**status, **change}})

    assert is_ready(widget) is ready


def test_a_widget_of_no_replicas_and_one_without_status() -> None:
    ready = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}

    assert is_ready(Object({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": ready}))
    assert not is_ready(Object({"metadata": {"generation": 1}, "spec": {"replicas": 1}}))


def test_elsewhere_than_on_a_terminal_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(demo_table.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with screen(out) as shown:
        shown.say("hello [bold]there[/bold]")
        for _ in range(60):
            shown.show(BOTH, "20 s left")
            now[0] += 0.1

    assert out.getvalue().splitlines() == [
        "hello [bold]there[/bold]",
        "20 s left: 9 of 11 widgets ready in 2 clusters, 41 reconciles, queue 2, 1 errors",
        "20 s left: 9 of 11 widgets ready in 2 clusters, 41 reconciles, queue 2, 1 errors",
    ]


def test_a_line_that_goes_into_a_file_is_not_broken() -> None:
    out = io.StringIO()
    screen(out).say("word " * 40)

    assert out.getvalue().splitlines() == ["word " * 40]


def test_the_last_table_can_be_corrected() -> None:
    out, paper = Terminal(), io.StringIO()
    for each in (out, paper):
        with screen(each) as shown:
            shown.show(Snapshot((EU,)), "all are ready")
            shown.correct(BOTH)
    last = out.getvalue().rpartition("1 cluster ")[2]

    assert "2 clusters" in last
    assert "all are ready" in last
    assert "2 clusters" not in paper.getvalue()


def test_on_a_terminal_the_table_lives_and_stays() -> None:
    out = Terminal()
    with screen(out) as shown:
        shown.done("eu: scaled widget-1 to 2")
        shown.show(Snapshot((EU,)), "3 s left")
        shown.show(BOTH, "2 s left")
    last = out.getvalue().rpartition("3 s left")[2]

    for text in ("eu ", "us ", "2 clusters", "41", "eu: scaled widget-1 to 2", "2 s left"):
        assert text in last
    assert out.getvalue().endswith("\x1b[?25h")  # The cursor is back.


def test_a_cluster_that_left_stays_in_the_table_without_counting() -> None:
    gone = Snapshot((EU, Row("us", reconciles=21)))
    out = Terminal()
    with screen(out) as shown:
        shown.show(gone, "3 s left")
    lines = [line.split() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()]

    assert ["us", "left", "21", "0", "0"] in lines
    assert gone.total == Row("1 cluster", clusters=1, widgets=5, ready=5, reconciles=41)


def test_what_is_logged_goes_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    console = Console(file=out, width=80, _environ={"TERM": "xterm"})
    with Screen(console, lambda: logs.configure(sys.stderr, level="warning")) as shown:
        shown.show(BOTH, "2 s left")
        before = len(out.getvalue())
        logging.getLogger("kcontroller.cluster").warning("a broken wire")
        logged = out.getvalue()[before:]

    assert "a broken wire" in logged
    assert logged.index("a broken wire") < logged.index("2 s left")
    assert logging.getLogger().handlers[0].stream is out  # type: ignore[attr-defined]


def test_the_picture_shows_command_words_and_table() -> None:
    with screen(io.StringIO()) as shown:
        shown.say("the server is up")
        shown.show(BOTH, "done")
    shown.say("all is well")
    picture = shown.picture("bin/kcontroller demo")
    text = "".join(ET.fromstring(picture).itertext()).replace("\xa0", " ")  # noqa: S314 - made here

    places = [text.index(each) for each in ("bin/kcontroller demo", "the server is up", "us ", "all is well")]

    assert places == sorted(places)
    assert len(picture) < 100_000
