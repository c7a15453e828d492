from __future__ import annotations

import pytest

from kcontroller.errors import ConfigError
from kcontroller.transport.proxies import check_proxy, is_loopback, proxy_from_environ

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("server", "environ", "proxy"),
    [
        ("https://h:6443", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://h:6443", {"https_proxy": "proxy:3128"}, PROXY),
        ("https://h:6443", {"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, PROXY),
        ("https://h:6443", {"HTTP_PROXY": PROXY}, ""),
        ("http://h", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://127.0.0.9:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://h", {}, ""),
    ],
)
def test_the_environment_chooses_a_proxy_by_scheme(server: str, environ: dict[str, str], proxy: str) -> None:
    assert proxy_from_environ(server, environ) == proxy


@pytest.mark.parametrize(
    ("entry", "server", "bypassed"),
    [
        ("*", "https://h", True),
        ("example.com", "https://example.com", True),
        ("example.com", "https://api.example.com", True),
        ("example.com", "https://badexample.com", False),
        (".example.com", "https://api.example.com", True),
        (".example.com", "https://example.com", False),
        ("*.example.com", "https://api.example.com", True),
        ("EXAMPLE.com", "https://Example.com", True),
        ("10.0.0.0/8", "https://10.96.0.1", True),
        ("10.0.0.0/8", "https://11.0.0.1", False),
        ("10.0.0.0/8", "https://host", False),
        ("10.96.0.1", "https://10.96.0.1:443", True),
        ("fd00::/8", "https://[fd00::1]", True),
        ("fd00::1", "https://[fd00::1]", True),
        ("example.com:6443", "https://example.com:6443", True),
        ("example.com:6443", "https://example.com", False),
        ("a, ,example.com", "https://example.com", True),
        ("300.0.0.0/8", "https://10.0.0.1", False),
    ],
)
def test_no_proxy_has_gos_meaning(entry: str, server: str, bypassed: bool) -> None:  # noqa: FBT001 - a parameter
    chosen = proxy_from_environ(server, {"HTTPS_PROXY": PROXY, "NO_PROXY": entry})
    assert (not chosen) is bypassed


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://", "http://h:99999", "http://h\r\nx", "http://:hunter2@", "file:///x"]
)
def test_a_proxy_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="proxy-url is not the URL of a proxy") as failed:
        check_proxy(url, what="proxy-url")
    assert "hunter2" not in str(failed.value)


def test_socks_proxies_are_taken() -> None:
    assert check_proxy("socks5://h:1080", what="x") == "socks5://h:1080"


def test_loopback_is_known_by_name_and_address() -> None:
    assert [is_loopback(url) for url in ("http://localhost:8001", "http://127.0.0.1", "http://h")] == [
        True,
        True,
        False,
    ]
