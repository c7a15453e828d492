from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kcontroller.cluster import Cluster, exchange
from kcontroller.errors import ConnectFailed, Forbidden, ServerError, Stopped, Unauthorized
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import StopToken
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing import EndWatch, Hang, Refuse, Rule, config_of
from kcontroller.testing.polling import eventually
from kcontroller.transport.credentials import StaticCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing import EmbeddedServer
    from kcontroller.transport.config import Config


def prove(config: Config) -> None:
    exchange.prove(config, (), stop=StopToken(), clock=SYSTEM_CLOCK)


def test_where_nothing_is_in_memory_the_server_has_to_answer_and_to_know_who_asks(api_server: EmbeddedServer) -> None:
    right = config_of(api_server)
    prove(right)
    prove(config_of(api_server, user="nobody"))  # May not list anything, and has to list nothing.
    with pytest.raises(Unauthorized):
        prove(replace(right, credentials=StaticCredentials("Bearer wrong")))
    with pytest.raises(ConnectFailed):
        prove(replace(right, server="https://127.0.0.1:9"))


@pytest.fixture
def cluster(api_server: EmbeddedServer) -> Iterator[Cluster]:
    """Keeps ConfigMaps in memory."""
    failures: list[BaseException] = []
    threads = ThreadGroup(on_failure=lambda _name, error: failures.append(error))
    made = Cluster(config_of(api_server), name="one")
    made.start(threads)
    handle = made.cache("v1 ConfigMap")
    eventually(lambda: handle.synced)
    yield made
    made.stop()
    assert threads.join(10) == ()
    assert failures == []


def test_what_is_in_memory_has_to_be_listed(api_server: EmbeddedServer, cluster: Cluster) -> None:
    mark = api_server.requests.mark()
    cluster.prove(config_of(api_server))
    (asked,) = api_server.requests.where(since=mark)
    assert (asked.path, asked.query) == ("/api/v1/configmaps", {"limit": "1"})

    with pytest.raises(Forbidden, match="configmaps is forbidden"):
        cluster.prove(config_of(api_server, user="nobody"))
    api_server.faults.add(Rule(Refuse(500), verbs={"list"}))
    with pytest.raises(ServerError):
        cluster.prove(config_of(api_server))


def test_what_the_configuration_in_use_cannot_list_the_other_one_need_not_either(
    api_server: EmbeddedServer, cluster: Cluster
) -> None:
    gone = api_server.faults.add(Rule(Refuse(404), verbs={"list", "watch"}))
    api_server.faults.add(Rule(EndWatch(), times=1))
    eventually(lambda: "does not serve v1 ConfigMap" in str(cluster.troubles()))
    cluster.prove(config_of(api_server))
    gone.release()
    with pytest.raises(Unauthorized):
        cluster.prove(replace(config_of(api_server), credentials=StaticCredentials("Bearer wrong")))


def test_a_proof_that_hangs_ends_with_its_cluster(api_server: EmbeddedServer, cluster: Cluster) -> None:
    hung = api_server.faults.add(Rule(Hang(), verbs={"list"}))
    ended: list[BaseException] = []

    def proves() -> None:
        try:
            cluster.prove(config_of(api_server))
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=proves, daemon=True)
    thread.start()
    eventually(lambda: hung.hits)
    cluster.leaving.stop("it leaves")
    thread.join(exchange.REQUEST_SECONDS / 2)

    assert [str(each) for each in ended] == ["it leaves"]
