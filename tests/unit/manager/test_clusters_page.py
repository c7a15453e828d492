from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from kcontroller.cluster import Source
from kcontroller.controller.controller import SYNC
from kcontroller.manager.clusters_page import page
from tests.unit.multicluster.fakes import FakeFleet, FakeMember, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.manager.clusters_page import ClusterRow
    from kcontroller.manager.parts import Parts

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


class Queue:
    def __init__(self, *holders: str) -> None:
        self._holders = frozenset(holders)

    def holders(self, _cluster: str) -> frozenset[str]:
        return self._holders


class Controllers(list[Any]):
    def depth(self, _cluster: str) -> int:
        return 7


@pytest.fixture
def fleet() -> Iterator[FakeFleet]:
    made = FakeFleet()
    yield made
    made.end()


def rows(fleet: FakeFleet, *queues: Queue) -> dict[str, ClusterRow]:
    fleet.settle()
    for each in fleet.made:
        each.breaker, each.kept_kinds = SimpleNamespace(state="open"), 2  # type: ignore[attr-defined]
    controllers = Controllers(SimpleNamespace(queue=queue) for queue in queues)
    parts: Any = SimpleNamespace(
        hub=None, provider=object(), clusters=fleet.registry, controllers=controllers, clock=fleet.clock
    )
    found = page(cast("Parts", parts))
    assert msgspec.json.decode(msgspec.json.encode(found))["clusters"]
    return {each.name: each for each in found.clusters}


def test_a_cluster_that_cannot_be_made_says_why_and_shows_no_token(fleet: FakeFleet) -> None:
    fleet.refuse = OSError(f"sent Authorization: Bearer {TOKEN}")
    fleet.registry.present(spec("p1"))

    row = rows(fleet)["p1"]

    assert (row.state, row.uid, row.attempts, row.server, row.informers.kinds) == ("discovered", "1", 1, "", 0)
    assert row.error.startswith("OSError: sent Authorization: ")
    assert TOKEN not in str(row)


def test_what_the_provider_refuses_is_a_row_that_says_why_and_shows_no_token(fleet: FakeFleet) -> None:
    fleet.registry.refused("west", f"not YAML: {TOKEN}", Source("v1", "Secret", "west", "fleet", "u1"))

    row = rows(fleet)["west"]

    assert (row.state, row.uid, row.informers.kinds) == ("refused", "u1", 0)
    assert row.error.startswith("not YAML: ")
    assert TOKEN not in str(row)


def test_a_cluster_shows_what_it_keeps_and_what_its_informers_meet(fleet: FakeFleet) -> None:
    fleet.registry.join(FakeMember(syncs=False))
    fleet.registry.present(spec("p1"))
    fleet.settle()
    (cluster,) = fleet.made
    cluster.kinds, cluster.trouble = ["v1 ConfigMap"], {"v1 ConfigMap": "503", "breaker": f"token {TOKEN}"}

    row = rows(fleet)["p1"]

    assert (row.state, row.server, row.breaker) == ("syncing", "https://milo.test/p1", "open")
    assert (row.informers.synced, row.informers.kinds) == (1, 2)
    assert row.informers.pending == {"v1 ConfigMap": "the first list is under way"}
    assert (row.error, list(row.troubles)) == ("v1 ConfigMap: 503", ["v1 ConfigMap", "breaker"])
    assert TOKEN not in str(row)


def test_what_holds_its_requests_is_named_but_for_the_first_list(fleet: FakeFleet) -> None:
    fleet.registry.present(spec("p1"))

    row = rows(fleet, Queue(SYNC, "command"), Queue("breaker", "command"))["p1"]

    assert (row.held_by, row.queue) == (("breaker", "command"), 7)
