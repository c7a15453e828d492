from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.controller import Builder, Controller
from kcontroller.controller.controllers import Controllers
from kcontroller.errors import ConfigError
from tests.unit.controller.fakes import FakeHost, Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.controller import Context

A = Request("", "default", "a")


class Named(Scripted):
    def __init__(self, name: str, *, needs_leader_election: bool = True) -> None:
        self.reconciled: list[Request] = []
        super().__init__(self._note)
        self.name = name
        self._needs = needs_leader_election

    def _note(self, _ctx: Context, request: Request) -> None:
        self.reconciled.append(request)

    def setup(self, builder: Builder) -> None:
        super().setup(builder)
        builder.options(needs_leader_election=self._needs)


class Crew:
    """Two controllers of which one needs the lease, with a request each."""

    def __init__(self, host: FakeHost, *, leading: bool) -> None:
        self.host = host
        self.all = Controllers(leading=leading, clock=host.clock)
        self.leader, self.reader = Named("leader"), Named("reader", needs_leader_election=False)
        for each in (self.leader, self.reader):
            controller = Controller(each, host)
            self.all.add(controller)
            controller.queue.add(A)
            self.all.start(controller, host.threads)
            host.controllers.append(controller)

    def settle(self) -> None:
        for controller in self.all:
            if any(controller.name in name for name in self.host.threads.alive()):
                assert controller.queue.wait_idle(10)


@pytest.fixture
def standby(host: FakeHost) -> Iterator[Crew]:
    return Crew(host, leading=False)


def test_two_controllers_of_one_name_are_refused(host: FakeHost) -> None:
    controllers = Controllers(leading=True, clock=host.clock)
    controllers.add(Controller(Named("same"), host))

    with pytest.raises(ConfigError, match="two controllers are named 'same'"):
        controllers.add(Controller(Named("same"), host))


def test_what_needs_no_lease_works_at_once_and_the_rest_when_it_leads(standby: Crew) -> None:
    standby.settle()
    before = list(standby.leader.reconciled), list(standby.reader.reconciled)

    standby.all.lead(standby.host.threads)
    standby.settle()

    assert before == ([], [A])
    assert standby.leader.reconciled == [A]


def test_leading_twice_starts_no_second_set_of_workers(standby: Crew) -> None:
    standby.all.lead(standby.host.threads)
    standby.all.lead(standby.host.threads)

    assert sorted(standby.host.threads.alive()) == ["kc-worker-leader-0", "kc-worker-reader-0"]


def test_a_follower_stops_what_only_a_leader_may_do(standby: Crew) -> None:
    standby.all.lead(standby.host.threads)
    standby.settle()

    standby.all.follow(standby.host.threads)

    stopped = {controller.name: controller.queue.stopped for controller in standby.all}
    assert stopped == {"leader": True, "reader": False}


def test_one_that_comes_after_the_lease_is_lost_does_not_start(standby: Crew) -> None:
    standby.all.lead(standby.host.threads)
    standby.all.follow(standby.host.threads)
    late = Named("late")
    controller = Controller(late, standby.host)
    standby.host.controllers.append(controller)

    standby.all.add(controller)
    standby.all.start(controller, standby.host.threads)

    assert "kc-worker-late-0" not in standby.host.threads.alive()


def test_a_drain_hands_out_nothing_more_and_says_whether_all_ended(standby: Crew) -> None:
    leader = next(iter(standby.all))
    item = leader.queue.get(timeout=0)
    assert item is not None

    assert not standby.all.drain(0)
    assert all(controller.queue.stopped for controller in standby.all)


def test_the_depth_of_a_cluster_is_that_of_all_queues(host: FakeHost) -> None:
    controllers = Controllers(leading=True, clock=host.clock)
    for name in "ab":
        controller = Controller(Named(name), host)
        controllers.add(controller)
        controller.queue.add(A)

    assert (controllers.depth(""), controllers.depth("other")) == (2, 0)
