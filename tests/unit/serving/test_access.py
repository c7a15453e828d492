"""Against the embedded server's reviews: ``admin`` may do everything, ``nobody`` nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded.faults import Delay, Faults, Hang, Refuse, Rule
from kcontroller.process.metrics import Metrics
from kcontroller.serving.access import AT_ONCE, Access, Guarded
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.serving.dispatch import Answer
    from kcontroller.testing.clock import VirtualClock

pytestmark = [pytest.mark.embedded(users={"scraper": ["system:masters"]}), pytest.mark.usefixtures("no_leaks")]

Eventually = Callable[..., Any]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def access(api_server: EmbeddedServer, clock: VirtualClock, metrics: Metrics) -> Iterator[Access]:
    made = Access(config_of(api_server), metrics=metrics, clock=clock)
    yield made
    made.close()


@pytest.fixture
def token_reviews(faults: Faults) -> Rule:
    """Counts them."""
    return faults.add(Rule(Delay(0), verbs={"create"}, resource="tokenreviews"))


@pytest.fixture
def access_reviews(faults: Faults) -> Rule:
    """Counts them."""
    return faults.add(Rule(Delay(0), verbs={"create"}, resource="subjectaccessreviews"))


def ask(access: Access, token: str) -> int:
    """The status of a scrape with a token; 200 if it is let through."""
    return status_of(access.refusal(f"Bearer {token}", verb="get", path="/metrics"))


def status_of(refusal: Answer | None) -> int:
    return 200 if refusal is None else refusal.status.value


def decisions(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.access.collect()
    return {each.labels["result"]: each.value for each in family.samples if each.name.endswith("_total")}


class Asking:
    """A scrape on a thread of its own; with a clock that one jumps over its pauses."""

    def __init__(self, access: Access, token: str, clock: VirtualClock | None = None) -> None:
        self.status = 0
        self.thread = threading.Thread(target=self._ask, args=(access, token))
        self.thread.start()
        if clock is not None:
            clock.register(self.thread)

    def _ask(self, access: Access, token: str) -> None:
        self.status = ask(access, token)

    @property
    def over(self) -> bool:
        return not self.thread.is_alive()


# ---- who may ---------------------------------------------------------------------------------------------------------


def test_whom_the_server_lets_may_read(access: Access, api_server: EmbeddedServer, metrics: Metrics) -> None:
    assert ask(access, api_server.user_token("scraper")) == 200
    assert decisions(metrics) == {"allowed": 1}


def test_a_token_that_nobody_has_is_refused(access: Access, metrics: Metrics) -> None:
    refusal = access.refusal("Bearer wrong", verb="get", path="/metrics")
    assert refusal is not None
    assert (refusal.status, refusal.body) == (401, b"unauthorized: send a valid bearer token\n")
    assert decisions(metrics) == {"unauthenticated": 1}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "Bearer a b", "Bearer \xe9", "Bearer, Bearer x"]
)
def test_who_shows_no_token_is_refused_without_a_question(access: Access, token_reviews: Rule, header: str) -> None:
    assert status_of(access.refusal(header, verb="get", path="/metrics")) == 401
    assert token_reviews.hits == 0


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_scheme_is_written_as_one_likes(access: Access, api_server: EmbeddedServer, scheme: str) -> None:
    assert access.refusal(f"{scheme} {api_server.token}", verb="get", path="/metrics") is None


def test_a_user_without_the_right_is_refused_by_name(
    access: Access, api_server: EmbeddedServer, metrics: Metrics
) -> None:
    refusal = access.refusal(f"Bearer {api_server.user_token('nobody')}", verb="get", path="/metrics")
    assert refusal is not None
    assert (refusal.status, refusal.body) == (403, b"forbidden: user 'nobody' cannot get /metrics\n")
    assert decisions(metrics) == {"forbidden": 1}


# ---- what is remembered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "answer"), [("admin", 200), ("nobody", 403), ("", 401)])
def test_a_token_is_asked_about_once_a_minute(
    access: Access, api_server: EmbeddedServer, clock: VirtualClock, token_reviews: Rule, user: str, answer: int
) -> None:
    token = api_server.user_token(user) if user else "wrong"
    for seconds, hits in ((0, 1), (59, 1), (1, 2), (59, 2), (1, 3)):
        clock.advance(seconds)
        assert [ask(access, token) for _ in range(3)] == [answer] * 3
        assert token_reviews.hits == hits


@pytest.mark.parametrize(("user", "seconds"), [("admin", 300), ("nobody", 30)])
def test_that_one_may_is_believed_for_five_minutes_and_that_not_for_half_a_minute(
    access: Access, api_server: EmbeddedServer, clock: VirtualClock, access_reviews: Rule, user: str, seconds: int
) -> None:
    token = api_server.user_token(user)
    ask(access, token)
    clock.advance(seconds - 1)
    ask(access, token)
    assert access_reviews.hits == 1
    clock.advance(1)
    ask(access, token)
    assert access_reviews.hits == 2


def test_another_path_and_another_verb_are_other_rights(
    access: Access, api_server: EmbeddedServer, token_reviews: Rule, access_reviews: Rule
) -> None:
    header = f"Bearer {api_server.token}"
    for verb, path in (("get", "/metrics"), ("get", "/debug"), ("post", "/metrics"), ("get", "/metrics")):
        assert access.refusal(header, verb=verb, path=path) is None
    assert (token_reviews.hits, access_reviews.hits) == (1, 3)


def test_those_that_come_at_once_with_one_token_cost_one_review(
    access: Access, api_server: EmbeddedServer, faults: Faults, eventually: Eventually
) -> None:
    hanging = faults.add(Rule(Hang(), resource="tokenreviews"))
    asking = [Asking(access, api_server.token) for _ in range(AT_ONCE)]
    eventually(lambda: hanging.hits == 1)
    hanging.release()
    eventually(lambda: all(each.over for each in asking))
    assert [each.status for each in asking] == [200] * AT_ONCE
    assert hanging.hits == 1


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_reviews_that_hang_hold_up_neither_those_who_are_known_nor_all_the_workers(
    access: Access, api_server: EmbeddedServer, faults: Faults, eventually: Eventually, metrics: Metrics
) -> None:
    assert ask(access, api_server.token) == 200
    hanging = faults.add(Rule(Hang(), resource="tokenreviews"))
    asking = [Asking(access, f"stranger-{number}") for number in range(AT_ONCE)]
    eventually(lambda: hanging.hits == AT_ONCE)
    assert ask(access, "one-more") == 503
    assert ask(access, api_server.token) == 200
    hanging.release()
    eventually(lambda: all(each.over for each in asking))
    assert [each.status for each in asking] == [401] * AT_ONCE
    assert decisions(metrics)["unavailable"] == 1


def test_strangers_whose_reviews_hang_do_not_keep_a_scraper_out_whose_token_was_good(
    access: Access, api_server: EmbeddedServer, faults: Faults, clock: VirtualClock, eventually: Eventually
) -> None:
    tokens = [api_server.token, *(f"stranger-{number}" for number in range(AT_ONCE))]
    assert ask(access, tokens[0]) == 200
    clock.advance(300)  # Neither the token nor the right is known any more.
    hanging = faults.add(Rule(Hang(), resource="tokenreviews", times=AT_ONCE))
    asking = [Asking(access, token) for token in tokens[1:]]
    eventually(lambda: hanging.hits == AT_ONCE)
    assert ask(access, tokens[0]) == 200
    hanging.release()
    eventually(lambda: all(each.over for each in asking))


def test_strangers_above_their_rate_are_told_so_while_reviews_hang(
    access: Access, faults: Faults, eventually: Eventually
) -> None:
    assert [ask(access, f"stranger-{number}") for number in range(20 - AT_ONCE)] == [401] * (20 - AT_ONCE)
    hanging = faults.add(Rule(Hang(), resource="tokenreviews"))
    asking = [Asking(access, f"slow-{number}") for number in range(AT_ONCE)]
    eventually(lambda: hanging.hits == AT_ONCE)
    assert ask(access, "one-more") == 429
    hanging.release()
    eventually(lambda: all(each.over for each in asking))


def test_a_review_that_hangs_ends_with_its_time_and_shows_nothing(
    access: Access, api_server: EmbeddedServer, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcontroller.serving.reviews.REVIEW_SECONDS", 0.05)
    with faults(Rule(Hang(), resource="tokenreviews")):
        assert ask(access, api_server.token) == 503
    with faults(Rule(Hang(), resource="subjectaccessreviews")):
        assert ask(access, api_server.token) == 503


@pytest.mark.parametrize("resource", ["tokenreviews", "subjectaccessreviews"])
def test_without_the_api_server_nothing_is_shown_and_its_absence_is_not_remembered(
    access: Access,
    api_server: EmbeddedServer,
    faults: Faults,
    clock: VirtualClock,
    eventually: Eventually,
    resource: str,
) -> None:
    with faults(Rule(Refuse(500), resource=resource)) as failing:
        asking = Asking(access, api_server.token, clock)
        eventually(lambda: asking.over)
        assert asking.status == 503
        assert failing.hits == 3
    assert ask(access, api_server.token) == 200


def test_one_answer_that_fails_is_asked_for_again(
    access: Access, api_server: EmbeddedServer, faults: Faults, clock: VirtualClock, eventually: Eventually
) -> None:
    faults.add(Rule(Refuse(503), resource="tokenreviews", times=1))
    asking = Asking(access, api_server.token, clock)
    eventually(lambda: asking.over)
    assert asking.status == 200


def test_what_is_known_outlives_an_outage_until_it_is_old(
    access: Access, api_server: EmbeddedServer, faults: Faults, clock: VirtualClock, eventually: Eventually
) -> None:
    assert ask(access, api_server.token) == 200
    faults.add(Rule(Refuse(500), resource="tokenreviews"))
    clock.advance(59)
    assert ask(access, api_server.token) == 200
    clock.advance(1)
    asking = Asking(access, api_server.token, clock)
    eventually(lambda: asking.over)
    assert asking.status == 503


def test_a_right_of_ours_that_is_missing_is_named_in_the_log_and_not_in_the_answer(
    api_server: EmbeddedServer, clock: VirtualClock, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(config_of(api_server, user="nobody"), metrics=metrics, clock=clock)
    refusals = [access.refusal(f"Bearer {api_server.token}", verb="get", path="/metrics") for _ in range(3)]
    access.close()
    assert [(each.status, each.body) for each in refusals if each] == [
        (500, b"it cannot be found out who you are\n")
    ] * 3
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert 'cannot create resource "tokenreviews"' in said
    assert said.endswith(
        "grant create on tokenreviews.authentication.k8s.io and subjectaccessreviews.authorization.k8s.io"
        " to the user of this process"
    )


def test_an_outage_and_its_end_are_said_once_whoever_asks_meanwhile(
    access: Access,
    api_server: EmbeddedServer,
    faults: Faults,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "kcontroller.serving")
    assert ask(access, api_server.token) == 200
    with faults(Rule(Refuse(403, message="no"), resource="tokenreviews")):
        for _ in range(3):
            assert ask(access, "stranger") == 500
            assert ask(access, api_server.token) == 200
    for _ in range(3):
        assert ask(access, "stranger") == 401
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == [
        "metrics are not shown, because it cannot be asked who may read them",
        "it can be asked again who may read metrics",
    ]


def test_a_right_that_is_missing_is_not_said_each_minute(
    access: Access,
    api_server: EmbeddedServer,
    faults: Faults,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "kcontroller.serving")
    faults.add(Rule(Refuse(403, message="no"), resource="subjectaccessreviews"))
    for _ in range(5):
        clock.advance(60)  # The token is asked about again, and known.
        assert ask(access, api_server.token) == 500
    assert len(caplog.records) == 1


def test_a_flood_of_unknown_tokens_costs_few_reviews_and_does_not_lock_a_scraper_out(
    access: Access, api_server: EmbeddedServer, clock: VirtualClock, token_reviews: Rule, metrics: Metrics
) -> None:
    assert ask(access, api_server.token) == 200
    clock.advance(60)
    answers = [ask(access, f"stranger-{number}") for number in range(200)]
    assert answers == [401] * 20 + [429] * 180
    assert ask(access, api_server.token) == 200
    assert token_reviews.hits == 22
    clock.advance(1)
    assert [ask(access, f"other-{number}") for number in range(7)] == [401] * 5 + [429] * 2
    assert decisions(metrics) == {"allowed": 2, "unauthenticated": 25, "limited": 182}


def test_a_stop_does_not_wait_for_a_review(
    access: Access, api_server: EmbeddedServer, faults: Faults, eventually: Eventually
) -> None:
    hanging = faults.add(Rule(Hang(), resource="tokenreviews"))
    asking = Asking(access, api_server.token)
    eventually(lambda: hanging.hits == 1)
    access.close()
    asking.thread.join(2)
    assert asking.status == 503


def test_no_token_is_told_to_anybody(
    access: Access,
    api_server: EmbeddedServer,
    faults: Faults,
    metrics: Metrics,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    eventually: Eventually,
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [api_server.token, api_server.user_token("nobody"), "canary-4711"]
    told = [repr(access.refusal(f"Bearer {token}", verb="get", path="/metrics")) for token in tokens]
    faults.add(Rule(Refuse(500), resource="tokenreviews"))
    asking = Asking(access, "canary-4712", clock)
    eventually(lambda: asking.over)
    text = "\n".join((*told, caplog.text, metrics.render().decode(), repr(vars(access)), repr(remembered(access))))
    assert [token for token in (*tokens, "canary-4711", "canary-4712") if token in text] == []


def remembered(access: Access) -> list[object]:
    return [(memory._known, memory._asking) for memory in (access._users, access._rights)]


# ---- before an application -------------------------------------------------------------------------------------------


def call(guarded: Guarded, path: str, *, method: str = "GET", token: str = "") -> tuple[str, dict[str, str], bytes]:
    seen: list[Any] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path}
    if token:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    body = guarded(
        environ,
        lambda status, headers, _=None: seen.extend((status, dict(headers))),  # type: ignore[arg-type, return-value]
    )
    return seen[0], seen[1], b"".join(body)


@pytest.fixture
def guarded(access: Access) -> Guarded:
    def shown(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"shown"]

    return Guarded(shown, access, pages=("/metrics",))


def test_only_who_may_reaches_the_application(guarded: Guarded, api_server: EmbeddedServer) -> None:
    assert call(guarded, "/metrics", token=api_server.token)[2] == b"shown"
    assert call(guarded, "/metrics", token=api_server.user_token("nobody"))[0] == "403 Forbidden"


def test_who_is_unknown_is_asked_for_a_token_however_the_path_is_written(guarded: Guarded) -> None:
    for path in ("/metrics", "/metrics/", "//metrics", "metrics"):
        status, headers, body = call(guarded, path)
        assert (status, headers["WWW-Authenticate"], b"shown" in body) == ("401 Unauthorized", "Bearer", False)


def test_what_there_is_not_is_shown_to_nobody_and_costs_no_review(
    guarded: Guarded, api_server: EmbeddedServer, token_reviews: Rule
) -> None:
    for path in ("/", "/nothing", "/metrics/below", "/metrics//below", "/Metrics"):
        assert call(guarded, path, token=api_server.token)[0] == "404 Not Found"
    for method in ("POST", "PUT", "X"):
        status, headers, _ = call(guarded, "/metrics", method=method, token=api_server.token)
        assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")
    assert token_reviews.hits == 0


def test_a_refusal_of_head_has_no_body(guarded: Guarded) -> None:
    assert call(guarded, "/metrics", method="HEAD")[2] == b""


def test_a_page_is_one_page_however_its_path_is_written(
    guarded: Guarded, api_server: EmbeddedServer, access_reviews: Rule
) -> None:
    for path in ("/metrics", "/metrics/", "//metrics"):
        assert call(guarded, path, token=api_server.token)[2] == b"shown"
    assert access_reviews.hits == 1
