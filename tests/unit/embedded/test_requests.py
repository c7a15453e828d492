from __future__ import annotations

import pytest

from kcontroller.embedded.requests import BODY_BYTES, RequestLog


@pytest.fixture
def log() -> RequestLog:
    return RequestLog()


def add(log: RequestLog, verb: str = "get", **fields: object) -> None:
    method = {"create": "POST", "update": "PUT", "patch": "PATCH"}.get(verb, "GET")
    known = {"resource": "widgets.example.com", "status": 200, "user": "admin", "path": "/", **fields}
    log.add(verb=verb, method=method, **known)


def test_requests_are_found_by_their_fields(log: RequestLog) -> None:
    add(log, "get", name="a")
    add(log, "update", name="a")
    add(log, "update", name="b", resource="widgets.other.com")
    assert [request.number for request in log.where(verb="update")] == [2, 3]
    assert [request.number for request in log.where(verb={"get", "update"}, name="a")] == [1, 2]
    assert [request.number for request in log.where(resource="widgets.example.com")] == [1, 2]


def test_a_plural_alone_matches_in_every_group(log: RequestLog) -> None:
    add(log)
    add(log, resource="widgets.other.com")
    add(log, resource="gadgets.example.com")
    assert len(log.where(resource="widgets")) == 2


def test_a_field_that_is_none_is_an_error(log: RequestLog) -> None:
    with pytest.raises(TypeError, match="a request has no field kind; it has agent, body, "):
        log.where(kind="Widget")


def test_a_mark_leaves_out_what_came_before(log: RequestLog) -> None:
    add(log)
    mark = log.mark()
    add(log, "list")
    assert [request.verb for request in log.where(since=mark)] == ["list"]


def test_writes_leave_out_reads_dry_runs_and_reviews(log: RequestLog) -> None:
    for verb in ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"):
        add(log, verb)
    add(log, "create", query={"dryRun": "All"})
    add(log, "create", resource="selfsubjectaccessreviews.authorization.k8s.io")
    add(log, "post", resource="", path="/foo")
    assert [request.verb for request in log.writes()] == ["create", "update", "patch", "delete", "deletecollection"]


def test_a_failed_assertion_lists_what_there_was(log: RequestLog) -> None:
    add(log, "patch", namespace="default", name="a", subresource="status", plane="p1", query={"fieldManager": "me"})
    with pytest.raises(AssertionError) as caught:
        log.assert_none(verb="patch")
    assert str(caught.value) == (
        "expected no requests with verb='patch', there was 1\n"
        "  #1 [p1] patch widgets.example.com/status default/a ?fieldManager=me -> 200 (admin)"
    )


def test_a_count_that_is_not_met_shows_all_requests(log: RequestLog) -> None:
    add(log, "list")
    mark = log.mark()
    add(log, "get", name="a")
    with pytest.raises(AssertionError) as caught:
        log.assert_count(1, since=mark, verb="update")
    assert str(caught.value) == (
        "expected 1 request with verb='update' after #1, there were 0\n"
        "all requests:\n"
        "  #2 get widgets.example.com a -> 200 (admin)"
    )
    with pytest.raises(AssertionError, match="there were no requests at all"):
        log.assert_count(1, since=log.mark())


def test_a_long_list_is_cut(log: RequestLog) -> None:
    for _ in range(25):
        add(log)
    with pytest.raises(AssertionError, match="… 5 before these"):
        log.assert_none()


def test_a_count_that_is_met_returns_the_requests(log: RequestLog) -> None:
    add(log, name="a")
    assert [request.name for request in log.assert_count(1, verb="get")] == ["a"]
    log.assert_none(verb="update")
    log.assert_no_writes()


def test_writes_that_should_not_be_are_named(log: RequestLog) -> None:
    add(log, "update", name="a")
    with pytest.raises(AssertionError, match="expected no writes with any fields, there was 1\n  #1 update"):
        log.assert_no_writes()


def test_the_log_forgets_the_oldest_requests() -> None:
    log = RequestLog(size=3)
    for _ in range(5):
        add(log)
    assert [request.number for request in log.where()] == [3, 4, 5]
    assert (len(log), log.mark()) == (3, 5)


def test_bodies_are_kept_up_to_a_bound() -> None:
    log = RequestLog(body_bytes=3 * BODY_BYTES)
    for _ in range(5):
        add(log, body=b"x" * (BODY_BYTES + 1))
    requests = log.where()
    assert [(len(request.body), request.body_bytes) for request in requests] == [(BODY_BYTES, BODY_BYTES + 1)] * 3


def test_the_body_can_be_read(log: RequestLog) -> None:
    add(log, body=b'{"a":1}')
    assert log.where()[0].json() == {"a": 1}


def test_a_cleared_log_goes_on_counting(log: RequestLog) -> None:
    add(log)
    log.clear()
    add(log)
    assert [request.number for request in log.where()] == [2]
