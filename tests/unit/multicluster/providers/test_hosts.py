from __future__ import annotations

import pytest

from kcontroller.multicluster.providers.hosts import HostPattern, refusal


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",  # noqa: S104 - nobody binds to it
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "localhost.localdomain",
        "ip6-loopback",
        "169.254.169.254",
        "224.0.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "metadata",
        "instance-data.ec2.internal",
        "metadata.goog",
        "localhost4",
        "localhost6",
        "localhost4.localdomain4",
        "localhost6.localdomain6",
        "host.docker.internal",
        "[::127.0.0.1]",
        "[::a9fe:a9fe]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[2001:0:7f00:1::]",
        "[2001:0:a00:1::80ff:fffe]",
        "[fd20:ce::254]",
        "[fd00:ec2::23]",
    ],
)
def test_this_machine_its_link_and_metadata_services_are_refused_unless_they_are_named(host: str) -> None:
    assert "name it in allow-hosts if it is meant" in refusal(f"https://{host.lower()}:6443", ())
    assert refusal(f"https://{host.lower()}:6443", [HostPattern.of("*")]) == ""


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "10.0.0.1",
        "192.168.1.1",
        "[fd00::1]",
        "[64:ff9b::a00:1]",
        "[::ffff:0:10.0.0.1]",
        "[2001:0:a00:1::]",
        "[2001:db8::1]",
        "kubernetes.default.svc",
        "localhost.example.com",
    ],
)
def test_everything_else_may_be_reached(host: str) -> None:
    assert refusal(f"https://{host}/prefix", ()) == ""


@pytest.mark.parametrize("host", ["inside.example.com", "10.0.0.1"])
def test_another_name_in_the_certificate_needs_a_host_that_is_named(host: str) -> None:
    problem = refusal(f"https://{host}", (), server_name="kubernetes")

    assert problem.startswith("tls-server-name is refused here")
    assert problem.endswith("remove it, or name the host in allow-hosts")
    assert refusal(f"https://{host}", [HostPattern.of(host)], server_name="kubernetes") == ""


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        ("api.example.com", "api.example.com", True),
        ("API.example.com", "api.example.com", True),
        ("api.example.com", "api.example.com.", True),
        ("api.example.com", "xapi.example.com", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("api.example.com:6443", "api.example.com:6443", True),
        ("api.example.com:443", "api.example.com", True),
        ("api.example.com:6443", "api.example.com", False),
        ("10.0.0.0/8", "10.1.1.1", True),
        ("10.0.0.0/8", "10.1", True),
        ("10.0.0.0/8", "[::ffff:10.1.1.1]", True),
        ("10.0.0.0/8", "11.1.1.1", False),
        ("10.0.0.0/8:6443", "10.1.1.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("[::1]:6443", "[::1]:6443", True),
        ("fd00::/8", "[fd12::1]", True),
        ("fd00::/8", "10.0.0.1", False),
        ("[2001:db8::/32]:6443", "[2001:db8::1]:6443", True),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("*.1", "10.0.0.1", False),
        ("*", "10.0.0.1", True),
        ("*:6443", "api.example.com:6443", True),
        ("*:6443", "api.example.com", False),
    ],
)
def test_a_pattern_allows_what_it_names_and_nothing_else(pattern: str, host: str, *, allowed: bool) -> None:
    problem = refusal(f"https://{host}", [HostPattern.of(pattern)])
    assert (problem == "") is allowed, problem
    assert allowed or problem.endswith("is not among the hosts that may be reached; see allow-hosts")


@pytest.mark.parametrize(
    "text",
    [
        *("", "https://a", "a/b", "*.*.com", "a b", "10.0.0.1/8", "127.1", "ex*mple.com", "[::1"),
        *("a:0", "a:65536", "a:99999", "a:٤٤٣", "a:" + "1" * 5_000, "2001:db8::1:6443", "::1", "fd00::/8:6443"),
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no host; write api\.example\.com"):
        HostPattern.of(text)
