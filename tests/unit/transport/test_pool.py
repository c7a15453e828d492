from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import ClientCertificate, TLSConfig
from kcontroller.transport.credentials import StaticCredentials
from kcontroller.transport.curl import Endpoint
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.pool import ConnectionPool, Pools
from kcontroller.transport.requests import Requester
from tests.unit.transport.scripted import AUTHORITY

if TYPE_CHECKING:
    from kcontroller.transport.connection import Connection

GET = HttpRequest("GET", "/api")


@pytest.fixture
def take(serve: Any, configure: Any) -> Any:
    """Take a connection from a pool, and make it if it is a new one."""
    endpoint = Endpoint(configure(serve()))
    trust = endpoint.identity().trust

    def take(pool: ConnectionPool) -> Connection:
        connection = pool.take(trust)
        if not connection.stands:
            connection.open(endpoint, timeout=10, stopped=lambda: False)
        return connection

    return take


def test_the_connection_used_last_is_taken_first(take: Any) -> None:
    pool = ConnectionPool()
    first, second = take(pool), take(pool)
    pool.give_back(first)
    pool.give_back(second)

    assert take(pool) is second
    second.close()
    pool.close()


def test_no_more_than_the_cap_are_kept_and_those_used_last(take: Any) -> None:
    pool = ConnectionPool(max_idle=1)
    connections = [take(pool), take(pool)]
    for connection in connections:
        pool.give_back(connection)

    assert pool._idle == connections[1:]
    pool.close()


def test_connections_idle_for_too_long_are_closed_when_another_comes_back(take: Any) -> None:
    clock = VirtualClock()
    pool = ConnectionPool(idle_seconds=90, clock=clock)
    first, second = take(pool), take(pool)
    pool.give_back(first)
    clock.advance(90)
    pool.give_back(second)

    assert pool._idle == [second]
    pool.close()


def test_a_connection_that_comes_back_to_a_closed_pool_is_closed(take: Any) -> None:
    pool = ConnectionPool()
    connection = take(pool)
    pool.close()
    pool.give_back(connection)

    assert not connection.stands


def test_a_connection_that_does_not_stand_is_not_kept(take: Any) -> None:
    pool = ConnectionPool()
    connection = take(pool)
    connection.stands = False
    pool.give_back(connection)

    assert pool._idle == []


def test_an_idle_connection_does_not_hold_the_last_answer(serve: Any, connect: Any) -> None:
    body = connect(serve()).send(GET).body

    assert not [it for it in gc.get_referrers(body) if isinstance(it, list)]


def test_a_thousand_projects_behind_one_host_share_a_few_connections(serve: Any, connect: Any, configure: Any) -> None:
    server = serve()
    projects = [
        Requester(replace(configure(server).with_server(f"{server.url}/projects/p{number}"), credentials=token))
        for number, token in enumerate([StaticCredentials(f"Bearer {number % 7}") for number in range(1000)])
    ]
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda requester: requester.send(GET), projects))

    assert server.connections <= 4
    assert {seen.target for seen in server.seen} == {f"/projects/p{number}/api" for number in range(1000)}
    assert len({seen.headers["authorization"] for seen in server.seen}) == 7
    for requester in projects:
        requester.close()


def test_the_last_to_leave_closes_the_connections(serve: Any, configure: Any) -> None:
    server, pools = serve(), Pools()
    first, second = (Requester(configure(server), pools=pools) for _ in range(2))
    first.send(GET)
    first.close()
    first.close()
    second.send(GET)

    assert server.connections == 1
    second.close()
    server.wait_for(lambda: not server._open)


def test_different_client_certificates_do_not_share_connections(serve: Any, connect: Any) -> None:
    server = serve()
    issued = AUTHORITY.issue_cert("me@example.com")
    pair = ClientCertificate(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
    anonymous = connect(server)
    known = connect(server, config={"credentials": StaticCredentials(certificate=pair)})
    for requester in (anonymous, known, anonymous, known):
        requester.send(GET)

    assert [seen.connection for seen in server.seen] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "change", [{"tls": TLSConfig(verify=False)}, {"tls": TLSConfig(AUTHORITY.cert_pem.bytes(), "localhost")}]
)
def test_different_trust_does_not_share_connections(serve: Any, connect: Any, change: dict[str, Any]) -> None:
    server = serve()
    connect(server).send(GET)
    connect(server, config=change).send(GET)

    assert server.connections == 2


def test_one_name_that_leads_to_two_places_shares_no_connections(serve: Any, connect: Any) -> None:
    servers, pools = [serve(), serve()], Pools()
    for server in servers:
        where = {"server": "https://localhost:1", "resolve": f"127.0.0.1:{server.port}"}
        connect(server, config=where, pools=pools).send(GET)

    assert [server.connections for server in servers] == [1, 1]
