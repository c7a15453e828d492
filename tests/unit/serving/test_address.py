from __future__ import annotations

import socket
from contextlib import closing

import pytest

from kcontroller.errors import ConfigError
from kcontroller.serving.address import listen, parse

OPTION = "--health-probe-bind-address"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":8081", ("", 8081)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_host_and_port_are_split(address: str, expected: tuple[str, int]) -> None:
    assert parse(address, option=OPTION) == expected


@pytest.mark.parametrize("address", ["", "0", "8081", ":", ":http", ":-1", ":65536", "::1:8080", ":٣", "host:"])
def test_what_is_no_address_is_refused_with_the_option_and_an_example(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(address, option=OPTION)
    assert str(caught.value) == (
        f"{OPTION}: '{address}' is not an address; write :8081, 127.0.0.1:8081 or [::1]:8081, or 0 for none"
    )


def test_an_occupied_port_is_refused_with_address_option_and_remedy() -> None:
    with closing(listen("127.0.0.1:0", option=OPTION)) as first:
        address = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            listen(address, option=OPTION)
    assert str(caught.value) == (
        f"{OPTION}: cannot listen on {address}: the port is in use; stop what uses it, or choose another port "
        "(0 switches this server off)"
    )


def test_all_interfaces_are_refused_while_one_of_them_is_taken() -> None:
    with closing(listen("127.0.0.1:0", option=OPTION)) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on :{port}: the port is in use"):
            listen(f":{port}", option=OPTION)


def test_a_port_can_be_taken_again_while_an_old_connection_lingers() -> None:
    with closing(listen("127.0.0.1:0", option=OPTION)) as first:
        address = first.getsockname()
        with closing(socket.create_connection(address)) as client, closing(first.accept()[0]) as accepted:
            accepted.shutdown(socket.SHUT_RDWR)  # Our side closes first and keeps TIME_WAIT.
            client.recv(1)
    listen(f"127.0.0.1:{address[1]}", option=OPTION).close()


def test_without_a_host_ipv4_is_answered() -> None:
    with closing(listen(":0", option=OPTION)) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5).close()


def test_an_address_the_machine_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0: this machine does not have that address"):
        listen("192.0.2.1:0", option=OPTION)


def test_a_host_without_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the host of no\.such\.invalid:8081 has no address; write :8081"):
        listen("no.such.invalid:8081", option=OPTION)
