from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pycurl
import pytest

from kcontroller.errors import ConfigError
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS, StaticCredentials
from kcontroller.transport.curl import Endpoint, Headers, check_build, check_target
from kcontroller.transport.messages import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_build_in_use_is_fit() -> None:
    check_build()


def test_a_build_without_http2_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    version = list(pycurl.version_info())
    version[4] &= ~pycurl.VERSION_HTTP2
    monkeypatch.setattr(pycurl, "version_info", lambda: tuple(version))

    with pytest.raises(ConfigError, match=r"lacks HTTP/2: install pycurl from its binary wheel"):
        check_build()


@pytest.mark.parametrize("target", ["", "api", "/a b", "/a\r\nb", "/\x00", "/ä", "https://other/"])
def test_a_target_that_is_not_percent_encoded_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded"):
        check_target(target)


@pytest.mark.parametrize("header", ["X-A: b\r\nX-Evil: 1", "X-A: b\nc", "X A: b", "X-A: \x00", "X-A: ü", ": b"])
def test_an_extra_header_that_would_forge_another_is_refused(header: str) -> None:
    with pytest.raises(ConfigError, match="no header may hold"):
        Endpoint(Config("https://k8s", ANONYMOUS, extra_headers=(header,)))


def test_a_refused_header_does_not_show_its_value(serve: Any, connect: Any) -> None:
    server = serve()
    requester = connect(server, config={"credentials": StaticCredentials("Bearer s3cret\r\nX-Evil: 1")})

    with pytest.raises(ConfigError, match="Authorization") as caught:
        requester.send(HttpRequest("GET", "/api"))
    assert "s3cret" not in str(caught.value)
    assert server.seen == []


@pytest.mark.parametrize("field", ["content_type", "accept"])
def test_a_header_of_the_request_is_held_to_the_same_rule(serve: Any, connect: Any, field: str) -> None:
    server = serve()

    with pytest.raises(ValueError, match="no header may hold"):
        connect(server).send(HttpRequest("POST", "/api", b"{}", **{field: "a\r\nX-Evil: 1"}))
    assert server.seen == []


def test_extra_headers_and_the_user_agent_travel(serve: Any, connect: Any) -> None:
    server = serve()
    connect(server, config={"extra_headers": ("Impersonate-User: jane",)}, user_agent="me/1").send(
        HttpRequest("GET", "/a")
    )

    headers = server.seen[0].headers
    assert (headers["impersonate-user"], headers["user-agent"]) == ("jane", "me/1")


def test_a_path_is_sent_as_it_was_given(serve: Any, connect: Any) -> None:
    server = serve()
    connect(server).send(HttpRequest("GET", "/a/../b%2Fc?x=%20"))

    assert server.seen[0].target == "/a/../b%2Fc?x=%20"


def test_the_path_of_the_server_comes_first(serve: Any, connect: Any, configure: Callable[..., Config]) -> None:
    server = serve()
    requester = connect(server)
    requester._endpoint = Endpoint(configure(server).with_server(server.url + "/project/p"))
    requester.send(HttpRequest("GET", "/api"))

    assert server.seen[0].target == "/project/p/api"


def test_the_last_of_equal_headers_wins_and_names_are_lower_case() -> None:
    assert Headers([b"A: 1\r\n", b"a:  2 \r\n", b"B: x: y\r\n", b"nonsense\r\n"]) == {"a": "2", "b": "x: y"}


def test_only_the_headers_of_the_last_answer_count() -> None:
    proxied = [b"HTTP/1.1 200 Connected\r\n", b"Via: 1\r\n", b"\r\n", b"HTTP/1.1 404 No\r\n", b"A: 1\r\n", b"\r\n"]

    assert Headers(proxied) == {"a": "1"}


def test_the_proxy_of_the_environment_is_not_used(serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert connect(serve()).send(HttpRequest("GET", "/api")).status == 200
