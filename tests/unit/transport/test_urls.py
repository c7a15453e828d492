from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.errors import ConfigError
from kcontroller.transport.urls import base_path_of, host_of, normalise_server


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://Example.COM:6443/", "https://example.com:6443"),
        ("HTTPS://example.com", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://127.0.0.1:80/x/", "http://127.0.0.1/x"),
        ("https://[::1]:6443", "https://[::1]:6443"),
        ("https://h/apis/a/b/control-plane//", "https://h/apis/a/b/control-plane"),
        ("https://h/%7eme/ü", "https://h/%7eme/%C3%BC"),
        ("  https://h:1  ", "https://h:1"),
    ],
)
def test_equal_servers_have_one_normal_form(written: str, normal: str) -> None:
    assert normalise_server(written, where="x") == normal


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("example.com:6443", "has no scheme; write https://example.com:6443"),
        ("ftp://h", "has the scheme 'ftp'; use https"),
        ("https://", "no usable host"),
        ("https://h:99999", "is not a URL"),
        ("https://h:0", "no usable host and port"),
        ("https://h?x=1", "query or fragment"),
        ("https://h#x", "query or fragment"),
        ("https://h/a/../b", "dot segment"),
        ("https://h/a/%2e%2E/b", "dot segment"),
        ("https://h\r\nX: y", "control character"),
        ("https://h/a b", "contains a space"),
        ("https://bücher.example", "no usable host"),
        ("", "has no scheme"),
    ],
)
def test_a_server_that_is_no_url_is_refused_in_one_line_with_the_place(written: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as failed:
        normalise_server(written, where='cluster "c" in f')
    assert str(failed.value).startswith('cluster "c" in f: server ')
    assert complaint in str(failed.value)
    assert "\n" not in str(failed.value)


def test_credentials_in_the_server_are_refused_without_showing_them() -> None:
    with pytest.raises(ConfigError, match="must not contain '@'") as failed:
        normalise_server("https://me:hunter2@h", where="x")
    assert "hunter2" not in str(failed.value)


@pytest.mark.parametrize(
    "server", ["https://h/?t=hunter2", "https://h#hunter2", "h:1?hunter2", "https://h/a b?hunter2"]
)
def test_a_query_is_refused_without_showing_it(server: str) -> None:
    with pytest.raises(ConfigError) as failed:
        normalise_server(server, where="x")
    assert "hunter2" not in str(failed.value)


@given(st.text(max_size=40).map(lambda text: f"https://h{text}") | st.text(max_size=40))
def test_the_normal_form_of_any_text_is_stable_or_a_config_error(text: str) -> None:
    try:
        normal = normalise_server(text, where="x")
    except ConfigError:
        return
    assert normalise_server(normal, where="x") == normal
    assert normal.isascii()
    assert normal.startswith(("http://", "https://"))
    assert host_of(normal)
    assert not base_path_of(normal).endswith("/")


def test_the_host_always_has_its_port() -> None:
    assert [host_of(url) for url in ("https://h", "http://h/x", "https://[::1]:1")] == ["h:443", "h:80", "[::1]:1"]
