from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.dispatch import TEXT, Question
from kcontroller.serving.health import Checks, application

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve


def ask(checks: Checks, rest: str = "", *, local: bool = True, **query: list[str]) -> tuple[int, str]:
    answer = checks.answer(Question(rest, query, local=local))
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


# ---- who is told why -------------------------------------------------------------------------------------------------


def test_others_than_this_machine_are_told_which_check_failed_and_not_why(
    readyz: Checks, caplog: pytest.LogCaptureFixture
) -> None:
    readyz.add("informers", lambda: "https://10.0.0.1: user canary is forbidden")
    assert ask(readyz, local=False) == (
        500,
        "[+]ping ok\n[-]informers failed: reason withheld\nreadyz check failed\n",
    )
    assert ask(readyz, "informers", local=False) == (500, "internal server error: reason withheld\n")
    assert caplog.records[0].kc_fields["reason"] == "https://10.0.0.1: user canary is forbidden"


# ---- checks that hang ------------------------------------------------------------------------------------------------


class Hanging:
    """A check that does not answer before it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()

    def __call__(self) -> str | None:
        self.calls += 1
        self.go.wait(10)
        return None


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    check = Hanging()
    yield check
    check.go.set()


def test_a_check_that_hangs_has_failed_and_the_others_are_asked(hanging: Hanging) -> None:
    healthz = Checks("healthz", patience=0.02)
    healthz.add("hangs", hanging)
    healthz.add("ping", lambda: None)
    assert healthz.run() == {"hangs": "does not answer", "ping": None}


def test_a_check_that_hangs_is_not_begun_again_and_nobody_waits_for_it_twice(hanging: Hanging) -> None:
    threads = ThreadGroup(on_failure=lambda name, error: None)
    healthz = Checks("healthz", threads=threads, patience=0.02)
    healthz.add("hangs", hanging)
    assert [ask(healthz)[0] for _ in range(20)] == [500] * 20
    assert hanging.calls == 1
    assert threads.alive() == ("kc-check-healthz-hangs",)
    hanging.go.set()
    assert threads.join(5) == ()
    assert ask(healthz) == (200, "ok")


def test_those_that_ask_while_a_check_runs_share_its_answer(hanging: Hanging) -> None:
    healthz = Checks("healthz", patience=10)
    healthz.add("slow", hanging)
    answers: list[dict[str, str | None]] = []
    askers = [threading.Thread(target=lambda: answers.append(healthz.run())) for _ in range(5)]
    for asker in askers:
        asker.start()
    hanging.go.set()
    for asker in askers:
        asker.join(5)
    assert answers == [{"slow": None}] * 5


def test_a_server_whose_checks_all_hang_goes_on_answering(serve: Serve) -> None:
    checks = [Hanging() for _ in range(5)]
    healthz = Checks("healthz", patience=0.02)
    for number, check in enumerate(checks):
        healthz.add(f"hangs-{number}", check)
    health = serve(application(healthz=healthz, readyz=Checks("readyz")))
    try:
        for _ in range(5):
            assert health.ask("/healthz").status == 500
            assert health.ask("/readyz").status == 200
        assert [check.calls for check in checks] == [1] * 5
    finally:
        for check in checks:
            check.go.set()
        for thread in threading.enumerate():
            if thread.name.startswith("kc-check-"):
                thread.join(5)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_check_that_wants_to_end_the_process_has_failed(error: type[BaseException]) -> None:
    failures: list[str] = []
    healthz = Checks("healthz", threads=ThreadGroup(on_failure=lambda name, _: failures.append(name)))

    def check() -> str | None:
        raise error

    healthz.add("ends", check)
    assert healthz.run() == {"ends": error.__name__}
    assert failures == []


def test_without_a_thread_for_it_a_check_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    healthz = Checks("healthz")
    healthz.add("ping", lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        assert healthz.run() == {"ping": "there is no thread left to run it on"}
    assert healthz.run() == {"ping": None}
