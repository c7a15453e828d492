from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import Stopped
from kcontroller.testing import Hang, Rule, config_of
from kcontroller.testing.polling import eventually
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester
from kcontroller.transport.route import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing import EmbeddedServer

NAMESPACES = HttpRequest("GET", "/api/v1/namespaces")

pytestmark = pytest.mark.embedded(users={"robot": ("system:masters",)})


@pytest.fixture
def route(api_server: EmbeddedServer) -> Iterator[Route]:
    made = Route(Requester(config_of(api_server)))
    yield made
    made.close()


class Asking(threading.Thread):
    """Asks once, and keeps what came of it."""

    def __init__(self, route: Route) -> None:
        super().__init__(daemon=True)
        self.outcome: object = None
        self._route = route
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._route.send(NAMESPACES).status
        except Stopped as error:
            self.outcome = error


def test_requests_go_the_new_way_and_what_runs_ends_on_the_old_one(api_server: EmbeddedServer, route: Route) -> None:
    rule = api_server.faults.add(Rule(Hang(), times=1))
    running = Asking(route)
    eventually(lambda: rule.hits)
    route.exchange(Requester(config_of(api_server, user="robot")))

    assert route.send(NAMESPACES).status == 200
    rule.release()
    running.join(10)
    assert running.outcome == 200
    eventually(lambda: [each.user for each in api_server.requests.where()] == ["robot", "admin"])


def test_closing_ends_also_what_still_runs_on_an_old_way(api_server: EmbeddedServer, route: Route) -> None:
    rule = api_server.faults.add(Rule(Hang(), times=1))
    running = Asking(route)
    eventually(lambda: rule.hits)
    route.exchange(Requester(config_of(api_server, user="robot")))
    route.close()
    running.join(10)

    assert isinstance(running.outcome, Stopped)
    with pytest.raises(Stopped):
        route.send(NAMESPACES)
    rule.release()


def test_an_old_way_on_which_nothing_runs_is_not_kept(api_server: EmbeddedServer, route: Route) -> None:
    for _ in range(3):
        assert route.send(NAMESPACES).status == 200
        route.exchange(Requester(config_of(api_server, user="robot")))

    assert len(route._retired) == 0
