from __future__ import annotations

import gc
from typing import Any

from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import ClientCertificate
from kcontroller.transport.credentials import StaticCredentials
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.pool import HandlePool
from tests.unit.transport.scripted import AUTHORITY

GET = HttpRequest("GET", "/api")


def test_the_handle_used_last_is_taken_first() -> None:
    pool = HandlePool()
    first, second = pool.take(), pool.take()
    pool.give_back(first)
    pool.give_back(second)

    assert pool.take() is second
    second.close()
    pool.close()


def test_no_more_than_the_cap_are_kept() -> None:
    pool = HandlePool(max_idle=1)
    handles = [pool.take(), pool.take()]
    for handle in handles:
        pool.give_back(handle)

    assert pool._idle == handles[:1]
    pool.close()


def test_handles_idle_for_too_long_are_closed_when_another_comes_back() -> None:
    clock = VirtualClock()
    pool = HandlePool(idle_seconds=90, clock=clock)
    first, second = pool.take(), pool.take()
    pool.give_back(first)
    clock.advance(90)
    pool.give_back(second)

    assert pool._idle == [second]
    pool.close()


def test_a_handle_that_comes_back_to_a_closed_pool_is_closed() -> None:
    pool = HandlePool()
    handle = pool.take()
    pool.close()
    pool.give_back(handle)

    assert handle.curl.closed


def test_a_handle_with_a_broken_loop_is_not_kept() -> None:
    pool = HandlePool()
    handle = pool.take()
    handle.usable = False
    pool.give_back(handle)

    assert pool._idle == []


def test_an_idle_handle_does_not_hold_the_last_answer(serve: Any, connect: Any) -> None:
    pool = HandlePool()
    body = connect(serve(), pool=pool).send(GET).body

    assert not [it for it in gc.get_referrers(body) if isinstance(it, list)]
    pool.close()


def test_a_shared_pool_is_its_owners_to_close(serve: Any, connect: Any) -> None:
    pool = HandlePool()
    requester = connect(serve(), pool=pool)
    requester.send(GET)
    requester.close()

    assert len(pool._idle) == 1
    pool.close()


def test_requesters_that_share_a_pool_share_connections(serve: Any, connect: Any) -> None:
    server, pool = serve(), HandlePool()
    for _ in range(3):
        connect(server, pool=pool).send(GET)

    assert server.connections == 1
    pool.close()


def test_requesters_of_different_trust_do_not_share_connections(serve: Any, connect: Any) -> None:
    server, pool = serve(), HandlePool()
    issued = AUTHORITY.issue_cert("me@example.com")
    pair = ClientCertificate(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
    connect(server, pool=pool).send(GET)
    connect(server, pool=pool, config={"credentials": StaticCredentials(certificate=pair)}).send(GET)

    assert server.connections == 2
    pool.close()
