from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cluster.breaker import Breaker, GuardedSender
from kcontroller.cluster.circuit import CLEARED_SECONDS, CLOSED, DOUBTS, FAILURES, HALF_OPEN, OPEN, STABLE_SECONDS
from kcontroller.errors import ClusterUnavailable, ConnectFailed, RequestTimeout, Stopped, TransportError
from kcontroller.process.metrics import Metrics
from kcontroller.process.repeats import Repeats
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.messages import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = ConnectFailed("cannot connect to https://one: connection refused")
ASK = HttpRequest("GET", "/api/v1/pods")


class Timer:
    def __init__(self, at: float, function: Callable[[], None]) -> None:
        self.at = at
        self.function = function
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class Stream:
    def __init__(self, target: str, receiver: Any) -> None:
        self.target = target
        self.receiver = receiver
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Loop:
    """A cluster's loop whose time and answers are the test's."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.timers: list[Timer] = []
        self.streams: list[Stream] = []

    def call(self, function: Callable[[], None]) -> None:
        function()

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.clock.monotonic() + seconds, function))
        return self.timers[-1]

    def open(self, target: str, receiver: Any, *, timeout: float, accept: str = "") -> Stream:
        self.streams.append(Stream(target, receiver))
        return self.streams[-1]

    def turn(self) -> float:
        """Go on to the next timer, and fire it; the seconds until then."""
        self.timers = [timer for timer in self.timers if not timer.stopped]
        (timer,) = self.timers  # Never two probes for one step.
        self.timers.clear()
        seconds = timer.at - self.clock.monotonic()
        self.clock.advance(max(0.0, seconds))
        timer.function()
        return seconds


class Server:
    """What a requester would say."""

    def __init__(self, *answers: int | HttpResponse | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    def send(self, _request: HttpRequest, **_terms: Any) -> HttpResponse:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, HttpResponse) else HttpResponse(answer, {}, b"")


@pytest.fixture
def loop() -> Loop:
    return Loop()


def breaker_of(loop: Loop, **changes: Any) -> Breaker:
    return Breaker(
        "p1",
        **{"feed": loop, "target": lambda n: f"/kind-{n}", "clock": loop.clock, **changes},
    )


def send(breaker: Breaker, *answers: int | HttpResponse | Exception, timeout: float = 30.0) -> None:
    """Send a request for each of the answers."""
    sender = GuardedSender(Server(*answers), breaker)
    for _ in answers:
        with contextlib.suppress(TransportError, Stopped):
            sender.send(ASK, timeout=timeout)


def opened(loop: Loop, **changes: Any) -> Breaker:
    breaker = breaker_of(loop, **changes)
    send(breaker, *[REFUSED] * FAILURES)
    assert breaker.state == OPEN
    return breaker


def answer(loop: Loop, breaker: Breaker, status: int, *, stands: bool = False) -> None:
    """Answer the probe that is under way: the loop hears first, then who asked."""
    stream = loop.streams[-1]
    breaker.answered(status, waits=False, stands=stands)
    stream.receiver.on_response(status, {})


def fail(loop: Loop, breaker: Breaker) -> None:
    stream = loop.streams[-1]
    breaker.unanswered(REFUSED)
    stream.receiver.on_end(REFUSED)


# ---- what opens it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [REFUSED, RequestTimeout("no answer"), TransportError("lost")],
    ids=str,
)
def test_five_failures_in_a_row_open_it(loop: Loop, failure: Exception) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[failure] * (FAILURES - 1))
    assert breaker.state == CLOSED
    send(breaker, failure)
    assert breaker.state == OPEN
    assert breaker.failures == FAILURES


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_five_answers_of_5xx_in_a_row_open_it_only_if_the_probe_fails_too(loop: Loop, status: int) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[status] * (2 * FAILURES))
    assert breaker.state == CLOSED
    assert loop.turn() == 0.0, "it is asked at once"
    answer(loop, breaker, status, stands=True)
    assert breaker.state == OPEN
    assert f"5 failures in a row, the last: the server answered {status}" in breaker.trouble


def test_a_probe_that_fails_before_the_fifth_answer_lets_that_one_open_it(loop: Loop) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[500] * DOUBTS)
    loop.turn()
    answer(loop, breaker, 500, stands=True)
    assert loop.turn() == 1.0, "it is asked again until that is cleared up"
    answer(loop, breaker, 500, stands=True)
    assert breaker.state == CLOSED
    send(breaker, *[500] * (FAILURES - DOUBTS))
    assert breaker.state == OPEN


def test_what_one_object_or_kind_is_answered_stops_nobody_else(loop: Loop) -> None:
    breaker = breaker_of(loop)
    for number in (1, 2, 3):
        send(breaker, *[500] * DOUBTS)
        assert breaker.in_doubt
        assert loop.turn() == 0.0
        answer(loop, breaker, 200)
        send(breaker, *[500] * (4 * FAILURES))
        assert (breaker.state, breaker.in_doubt, len(loop.streams), loop.timers) == (CLOSED, False, number, [])
        loop.clock.advance(CLEARED_SECONDS)
    send(breaker, *[REFUSED] * FAILURES)
    assert breaker.state == OPEN


def test_a_probe_that_says_neither_is_sent_again(loop: Loop) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[500] * DOUBTS)
    loop.turn()
    loop.streams[-1].receiver.on_response(503, {"retry-after": "1"})
    assert breaker.in_doubt
    assert loop.turn() == 1.0
    loop.streams[-1].receiver.on_end(ConnectFailed("too many open files", ours=True))
    assert loop.turn() == 1.0
    answer(loop, breaker, 404)
    assert not breaker.in_doubt


def test_a_probe_that_fails_after_others_were_answered_clears_nothing(loop: Loop) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[500] * DOUBTS)
    loop.turn()
    send(breaker, 200)
    answer(loop, breaker, 500, stands=True)
    assert (breaker.state, breaker.in_doubt) == (CLOSED, False)
    send(breaker, *[500] * DOUBTS)
    assert breaker.in_doubt


def test_two_failures_in_a_row_make_it_doubtful_and_only_who_asked_for_doubts_is_told(loop: Loop) -> None:
    breaker = breaker_of(loop)
    doubts: list[bool] = []
    states: list[str] = []
    breaker.subscribe(lambda: doubts.append(breaker.in_doubt), doubts=True)
    breaker.subscribe(lambda: states.append(breaker.state))
    send(breaker, *[500] * (DOUBTS - 1), 200)
    assert doubts == []
    send(breaker, *[500] * (DOUBTS + 1), 200)
    assert doubts == [True, False]
    assert states == []
    send(breaker, *[REFUSED] * FAILURES)
    assert doubts == [True, False, True, False], "open is no doubt: nothing is sent"
    assert states == [OPEN]


@pytest.mark.parametrize("success", [200, 201, 403, 404, 409, 422])
def test_any_other_answer_begins_the_row_anew(loop: Loop, success: int) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[REFUSED] * 4, success, *[REFUSED] * 4)
    assert breaker.state == CLOSED


@pytest.mark.parametrize(
    "neither",
    [
        429,
        HttpResponse(429, {"retry-after": "1"}, b""),
        HttpResponse(503, {"retry-after": "1"}, b""),
        Stopped("the process stops"),
        ConnectFailed("too many open files", ours=True),
        RequestTimeout("the rate limit has no turn", sent=False, ours=True),
    ],
    ids=["429", "429 that waits", "503 that waits", "stopped", "no descriptor", "rate limit"],
)
def test_who_asks_to_wait_and_what_fails_here_says_nothing_of_the_server(
    loop: Loop, neither: int | HttpResponse | Exception
) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[neither] * 10)
    assert (breaker.state, breaker.failures) == (CLOSED, 0)
    send(breaker, *[REFUSED] * 4, neither, REFUSED)  # Nor does it end a row.
    assert breaker.state == OPEN


def test_a_request_that_was_given_less_than_a_second_says_nothing_when_it_runs_out(loop: Loop) -> None:
    breaker = breaker_of(loop)
    send(breaker, *[RequestTimeout("no answer")] * 10, timeout=0.9)
    assert breaker.failures == 0
    send(breaker, *[REFUSED] * FAILURES, timeout=0.9)  # A refused connection needs no time.
    assert breaker.state == OPEN


def test_a_stream_that_fails_while_another_one_stands_is_no_dead_server(loop: Loop) -> None:
    breaker = breaker_of(loop)
    for _ in range(10):
        breaker.answered(500, waits=False, stands=True)
        breaker.unanswered(REFUSED, stands=True)
    assert breaker.failures == 0
    for _ in range(FAILURES):
        breaker.answered(500, waits=False, stands=False)
    assert breaker.in_doubt
    breaker.unanswered(REFUSED, stands=False)
    assert breaker.state == OPEN


# ---- while it is open ------------------------------------------------------------------------------------------------


def test_requests_fail_at_once_and_are_not_sent(loop: Loop) -> None:
    breaker = opened(loop)
    server = Server()
    with pytest.raises(ClusterUnavailable, match=r"p1 is unavailable, nothing was sent.*connection refused") as caught:
        GuardedSender(server, breaker).send(ASK)
    assert server.asked == 0
    assert 1.0 <= caught.value.retry_after <= 1.5


def test_probes_go_out_once_a_step_and_each_asks_for_something_else(loop: Loop) -> None:
    breaker = opened(loop)
    waits = []
    for _ in range(8):
        waits.append(loop.turn())
        fail(loop, breaker)
    for wait, least in zip(waits, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert least <= wait < least * 1.5
    assert [stream.target for stream in loop.streams[:3]] == ["/kind-1", "/kind-2", "/kind-3"]
    assert all(stream.closed for stream in loop.streams)
    assert breaker.state == OPEN


def test_the_answer_to_a_probe_puts_it_on_probation_and_the_next_success_closes_it(loop: Loop) -> None:
    breaker = opened(loop)
    loop.turn()
    answer(loop, breaker, 200)
    assert breaker.state == HALF_OPEN
    send(breaker, 200)
    assert breaker.state == CLOSED
    assert loop.turn() == 1.0
    assert len(loop.streams) == 1  # Nothing is asked of a cluster that is well.


def test_where_nobody_asks_a_second_probe_closes_it(loop: Loop) -> None:
    breaker = opened(loop)
    loop.turn()
    answer(loop, breaker, 200)
    assert loop.turn() == 1.0
    answer(loop, breaker, 200)
    assert breaker.state == CLOSED


def test_a_stream_that_is_answered_is_as_good_as_a_probe(loop: Loop) -> None:
    breaker = opened(loop)
    breaker.answered(200, waits=False)
    assert breaker.state == HALF_OPEN


def test_on_probation_one_failure_opens_it_for_a_longer_step(loop: Loop) -> None:
    breaker = opened(loop)
    loop.turn()
    answer(loop, breaker, 200)
    breaker.answered(500, waits=False)
    assert breaker.state == HALF_OPEN, "what was asked may be at fault"
    breaker.unanswered(REFUSED, stands=True)
    assert breaker.state == OPEN
    assert 2.0 <= loop.turn() < 3.0


def test_on_probation_a_probe_that_is_answered_5xx_opens_it(loop: Loop) -> None:
    breaker = opened(loop)
    loop.turn()
    answer(loop, breaker, 200)
    assert loop.turn() == 1.0
    answer(loop, breaker, 500)
    assert breaker.state == OPEN
    assert 2.0 <= loop.turn() < 3.0


def test_one_that_opens_soon_again_goes_on_with_its_steps(loop: Loop) -> None:
    breaker = opened(loop)
    for seconds, least in ((0.0, 2.0), (STABLE_SECONDS, 1.0)):
        breaker.answered(200, waits=False)
        breaker.answered(200, waits=False)
        assert breaker.state == CLOSED
        loop.clock.advance(seconds)
        send(breaker, *[REFUSED] * FAILURES)
        assert least <= breaker.circuit.retry_at - loop.clock.monotonic() < least * 1.5


def test_an_overloaded_server_is_left_alone_for_the_next_step(loop: Loop) -> None:
    breaker = opened(loop)
    loop.turn()
    answer(loop, breaker, 429)
    assert breaker.state == OPEN
    assert 2.0 <= loop.turn() < 3.0


# ---- who hears of it -------------------------------------------------------------------------------------------------


def test_every_change_is_told_until_one_leaves(loop: Loop) -> None:
    breaker = breaker_of(loop)
    heard: list[str] = []
    leave = breaker.subscribe(lambda: heard.append(breaker.state))
    send(breaker, *[REFUSED] * FAILURES)
    breaker.answered(200, waits=False)
    breaker.answered(200, waits=False)
    assert heard == [OPEN, HALF_OPEN, CLOSED]
    leave()
    send(breaker, *[REFUSED] * FAILURES)
    assert len(heard) == 3


def test_it_says_once_that_it_opens_and_once_that_it_closes(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="kcontroller")
    breaker = opened(loop)
    assert "5 failures in a row, the last: cannot connect to https://one" in breaker.trouble
    for _ in range(3):
        loop.turn()
        answer(loop, breaker, 200)
        breaker.unanswered(REFUSED)
    breaker.answered(200, waits=False)
    breaker.answered(200, waits=False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "requests wait until the server answers" in caplog.text
    assert breaker.trouble == ""


def test_many_clusters_behind_one_dead_server_are_a_few_lines(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="kcontroller")
    repeats = Repeats(clock=loop.clock)
    breakers = [opened(Loop(), repeats=repeats) for _ in range(50)]
    for breaker in breakers:
        breaker.answered(200, waits=False)
        breaker.answered(200, waits=False)
    assert len(caplog.records) <= 12


def test_it_is_counted_until_it_closes_or_the_cluster_ends(loop: Loop) -> None:
    metrics = Metrics()

    def counted(state: str) -> float | None:
        return metrics.registry.get_sample_value("kcontroller_cluster_breakers", {"state": state})

    breaker = opened(loop, metrics=metrics)
    assert counted(OPEN) == 1
    breaker.answered(200, waits=False)
    assert (counted(OPEN), counted(HALF_OPEN)) == (0, 1)
    breaker.end()
    breaker.answered(200, waits=False)
    assert (counted(OPEN), counted(HALF_OPEN)) == (0, 0)


def test_a_cluster_that_is_reached_in_another_way_begins_anew(loop: Loop) -> None:
    breaker = opened(loop)
    heard: list[str] = []
    breaker.subscribe(lambda: heard.append(breaker.state))
    breaker.reset()
    assert (breaker.state, breaker.failures, breaker.opened_at, heard) == (CLOSED, 0, None, [CLOSED])
