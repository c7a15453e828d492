from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from kcontroller.serving.dispatch import Answer, Application, Question, is_local


def call(app: Application, path: str, *, method: str = "GET", query: str = "") -> tuple[str, dict[str, str], bytes]:
    seen: list[Any] = []
    body = app(
        {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query},
        lambda status, headers, _=None: seen.extend((status, dict(headers))),  # type: ignore[arg-type, return-value]
    )
    return seen[0], seen[1], b"".join(body)


def echo(question: Question) -> Answer:
    return Answer(HTTPStatus.OK, f"{question.rest} {sorted(question.query.items())}".encode())


def broken(question: Question) -> Answer:
    msg = "token=canary"
    raise RuntimeError(msg)


APP = Application({"/echo": echo, "/broken": broken})


def test_a_handler_sees_what_is_below_its_path_and_the_query() -> None:
    assert call(APP, "/echo/a/b", query="verbose&exclude=x&exclude=y")[2] == (
        b"a/b [('exclude', ['x', 'y']), ('verbose', [''])]"
    )


def test_an_unknown_path_is_404() -> None:
    assert call(APP, "/echoes")[0] == "404 Not Found"
    assert call(APP, "/")[0] == "404 Not Found"


def test_another_method_is_405_and_says_what_is_allowed() -> None:
    status, headers, _ = call(APP, "/echo", method="POST")
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_another_method_on_an_unknown_path_is_404() -> None:
    assert call(APP, "/nothing", method="POST")[0] == "404 Not Found"


def test_head_gets_the_headers_of_get_without_the_body() -> None:
    _, of_get, body = call(APP, "/echo")
    status, of_head, nothing = call(APP, "/echo", method="HEAD")
    assert (status, of_head, nothing) == ("200 OK", of_get, b"")
    assert of_head["Content-Length"] == str(len(body))


def test_a_handler_that_raises_is_500_and_does_not_say_why() -> None:
    status, _, body = call(APP, "/broken")
    assert (status, body) == ("500 Internal Server Error", b"internal server error\n")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", ""])
def test_loopback_and_unix_sockets_are_of_this_machine(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "0.0.0.0", "::", "localhost", "?"])  # noqa: S104
def test_everything_else_is_not(address: str) -> None:
    assert not is_local(address)
