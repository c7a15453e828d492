from __future__ import annotations

import logging

import pytest

from kcontroller.serving.dispatch import TEXT, Question
from kcontroller.serving.health import Checks, application


def ask(checks: Checks, rest: str = "", **query: list[str]) -> tuple[int, str]:
    answer = checks.answer(Question(rest, query))
    assert answer.content_type == TEXT
    return answer.status.value, answer.body.decode()


@pytest.fixture
def readyz() -> Checks:
    checks = Checks("readyz")
    checks.add("ping", lambda: None)
    return checks


def test_without_checks_the_answer_is_ok() -> None:
    assert ask(Checks("healthz")) == (200, "ok")


def test_healthy_checks_answer_a_plain_ok(readyz: Checks) -> None:
    assert ask(readyz) == (200, "ok")


def test_verbose_lists_every_check(readyz: Checks) -> None:
    assert ask(readyz, verbose=[""]) == (200, "[+]ping ok\nreadyz check passed\n")


def test_a_failed_check_is_500_with_all_lines_and_its_reason(readyz: Checks) -> None:
    readyz.add("informers", lambda: "waiting for v1 Pod")
    assert ask(readyz) == (500, "[+]ping ok\n[-]informers failed: waiting for v1 Pod\nreadyz check failed\n")


def test_a_check_that_raises_fails_with_the_class_and_not_the_text(readyz: Checks) -> None:
    def check() -> str | None:
        msg = "password=canary"
        raise LookupError(msg)

    readyz.add("broken", check)
    assert ask(readyz) == (500, "[+]ping ok\n[-]broken failed: LookupError\nreadyz check failed\n")


def test_a_reason_cannot_forge_a_line(readyz: Checks) -> None:
    readyz.add("hostile", lambda: "no\n[+]hostile ok")
    assert "[-]hostile failed: no\\n[+]hostile ok\n" in ask(readyz)[1]


def test_exclude_leaves_a_check_out(readyz: Checks) -> None:
    readyz.add("informers", lambda: "waiting")
    assert ask(readyz, exclude=["informers"]) == (200, "ok")


def test_an_excluded_check_is_listed_as_excluded(readyz: Checks) -> None:
    assert ask(readyz, exclude=["ping"], verbose=[""]) == (200, "[+]ping excluded: ok\nreadyz check passed\n")


def test_excluding_an_unknown_check_is_told(readyz: Checks) -> None:
    assert ask(readyz, exclude=["pong"], verbose=[""])[1] == (
        '[+]ping ok\nwarn: some health checks cannot be excluded: no matches for "pong"\nreadyz check passed\n'
    )


def test_one_check_can_be_asked_alone(readyz: Checks) -> None:
    readyz.add("informers", lambda: "waiting")
    assert ask(readyz, "ping") == (200, "ok")
    assert ask(readyz, "informers") == (500, "internal server error: waiting\n")


def test_an_unknown_check_is_404(readyz: Checks) -> None:
    assert ask(readyz, "pong")[0] == 404


def test_a_check_may_add_and_remove_checks(readyz: Checks) -> None:
    readyz.add("self", lambda: readyz.remove("self"))
    assert ask(readyz) == (200, "ok")
    assert list(readyz.run()) == ["ping"]


def test_a_name_is_taken_once(readyz: Checks) -> None:
    with pytest.raises(ValueError, match="readyz has a check named 'ping' already"):
        readyz.add("ping", lambda: None)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a\nb"])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a name for a check"):
        Checks("readyz").add(name, lambda: None)


def test_a_change_is_logged_once_with_its_reason(readyz: Checks, caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[str | None] = ["waiting"]
    readyz.add("informers", lambda: reasons[0])
    with caplog.at_level(logging.INFO, "kcontroller.serving"):
        ask(readyz)
        ask(readyz)
        reasons[0] = None
        ask(readyz)
    assert [(record.message, record.kc_fields.get("reason")) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("health check failed", "waiting"),
        ("health check passed again", None),
    ]


def test_both_paths_are_served() -> None:
    seen: list[str] = []
    app = application(healthz=Checks("healthz"), readyz=Checks("readyz"))
    for path in ("/healthz", "/readyz", "/livez"):
        app({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda status, *_: seen.append(status))  # type: ignore[arg-type, return-value, func-returns-value]
    assert seen == ["200 OK", "200 OK", "404 Not Found"]
