from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.controller import Controller, controller, inlet
from kcontroller.controller.inlet import Retellings
from kcontroller.workqueue import Outcome
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, FakeHost, Scripted, added, entry

if TYPE_CHECKING:
    from kcontroller.api.keys import Request
    from kcontroller.workqueue import WorkQueue


class FakeRetelling:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def room(self) -> None:
        self.asked.append("room")

    def again(self) -> None:
        self.asked.append("again")


@pytest.fixture
def sources() -> list[Any]:
    return [FakeRetelling(), FakeRetelling()]


def test_room_is_told_to_those_that_were_refused_and_once(sources: list[Any]) -> None:
    retellings = Retellings()
    retellings.owes(sources[0])
    retellings.room()
    retellings.room()

    assert [each.asked for each in sources] == [["room"], []]


def test_who_named_a_cluster_tells_again_when_that_one_joins(sources: list[Any]) -> None:
    retellings = Retellings()
    retellings.names(sources[0], "north")
    retellings.names(sources[1], "south")
    retellings.joined("north")
    retellings.joined("north")

    assert [each.asked for each in sources] == [["again"], []]


def test_a_source_that_has_stopped_is_asked_nothing(sources: list[Any]) -> None:
    retellings = Retellings()
    retellings.names(sources[0], "north")
    retellings.owes(sources[0])
    retellings.forget(sources[0])
    retellings.joined("north")

    assert sources[0].asked == []


def test_those_that_stop_take_nobody_elses_names_along(sources: list[Any]) -> None:
    retellings = Retellings()
    for each in sources:
        retellings.names(each, "north")
    retellings.names(sources[0], "south")
    retellings.forget(sources[0])
    retellings.joined("south")
    retellings.joined("north")
    retellings.forget(sources[1])

    assert [each.asked for each in sources] == [[], ["again"]]


def test_of_the_names_of_clusters_that_never_come_only_so_many_are_kept(
    sources: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inlet, "_NAMES", 2)
    retellings = Retellings()
    for name in ("north", "south", "north", "east"):
        retellings.names(sources[0], name)
    for name in ("south", "north", "east"):
        retellings.joined(name)
    retellings.forget(sources[0])

    assert sources[0].asked == ["again", "again"]


def test_what_a_stop_costs_does_not_grow_with_the_names_of_others(sources: list[Any]) -> None:
    class Counted(FakeRetelling):
        looked_up = 0

        def __hash__(self) -> int:
            self.looked_up += 1
            return id(self)

    retellings, counted = Retellings(), Counted()
    for number in range(100):
        retellings.names(sources[0], f"c{number}")
    retellings.forget(counted)  # type: ignore[arg-type]

    assert counted.looked_up <= 2


def test_a_cluster_that_joins_has_room(sources: list[Any]) -> None:
    """It was full when it left, and its queue will tell nobody."""
    retellings = Retellings()
    retellings.owes(sources[0])
    retellings.joined("north")

    assert sources[0].asked == ["room"]


def test_room_that_comes_while_a_refusal_is_noted_is_not_missed(
    host: FakeHost, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "QUEUE_LIMIT", 2)
    made = Controller(Scripted(setup=lambda builder: builder.for_(CONFIG_MAP)), host)
    host.controllers.append(made)
    made.engage(cluster)  # type: ignore[arg-type]
    cluster.synced()
    queue: WorkQueue[Request] = made.queue
    done: list[str] = []

    def work_off() -> None:
        while (item := queue.get(timeout=0)) is not None:
            done.append(item.request.name)
            queue.done(item, Outcome.forget())

    def add(request: Request, **options: Any) -> bool:
        taken = type(queue).add(queue, request, **options)
        if not taken:
            work_off()  # Another thread's, before this one has noted the refusal.
        return taken

    monkeypatch.setattr(queue, "add", add)
    cluster.tell(CONFIG_MAP, *(added(entry(name)) for name in "abc"))
    work_off()

    assert set(done) == {"a", "b", "c"}
