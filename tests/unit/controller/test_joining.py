from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcontroller.api.keys import Key, Request
from kcontroller.controller import HUB, Controller, predicates
from kcontroller.errors import NotSynced
from kcontroller.testing.polling import eventually
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, FakeHost, Scripted, document

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.controller.event import Event


def joined(host: FakeHost, setup: Callable[..., Any]) -> Scripted:
    """A controller that works on a hub and on the cluster north."""
    host.known = {name: FakeCluster(name) for name in ("", "north")}
    scripted = Scripted(setup=setup)
    host.run(Controller(scripted, host, many_clusters=True))
    for cluster in host.known.values():
        cluster.synced()
    return scripted


def test_a_function_that_fails_is_asked_again(host: FakeHost) -> None:
    tries: list[str] = []

    def to(cluster: Any) -> list[Key]:
        tries.append(cluster.name)
        if len(tries) < 3:
            raise NotSynced("the hub's first list is under way")
        return [Key("", "a")]

    scripted = joined(host, lambda builder: builder.watches_clusters(to))

    def all_tried() -> bool:
        host.clock.advance(1)
        return len(tries) == 3

    eventually(all_tried)
    scripted.wait_for_calls(1)

    assert tries == ["north"] * 3
    assert scripted.calls == [Request("north", "", "a")]


def test_what_is_named_in_a_cluster_that_joins_later_is_asked_for_again(host: FakeHost) -> None:
    asked: list[str] = []

    def peer(cluster: Any) -> list[Request]:
        asked.append(cluster.name)
        peers = {"north": "south", "south": "east", "east": "north"}
        return [Request(peers[cluster.name], "", f"of {cluster.name}")]

    scripted = joined(host, lambda builder: builder.watches_clusters(peer))
    (made,) = host.controllers
    eventually(lambda: asked == ["north"])
    dropped = host.metrics.registry.get_sample_value
    eventually(lambda: dropped("kcontroller_dropped_requests_total", {"controller": "scripted"}) == 1)
    host.known["south"] = FakeCluster("south")
    made.engage(host.known["south"])  # type: ignore[arg-type]
    scripted.wait_for_calls(1)
    assert scripted.calls == [Request("south", "", "of north")]

    made.disengage("south")
    eventually(lambda: asked.count("south") == 2)
    host.known["east"] = FakeCluster("east")
    made.engage(host.known["east"])  # type: ignore[arg-type]
    scripted.wait_for_calls(2)
    eventually(lambda: host.mappers.idle)

    assert scripted.calls[1:] == [Request("north", "", "of east")]
    assert sorted(asked) == ["east", "north", "north", "south", "south"], "south, which has left, is not asked again"


def test_each_request_is_queued_once_and_the_predicates_of_all_sources_count(host: FakeHost) -> None:
    def to(_cluster: Any) -> list[Key]:
        return [Key("", "a"), Key("", "a"), Key("", "b")]

    def admit(event: Event) -> bool:
        return event.request is not None and event.request.name != "b"

    scripted = joined(
        host, lambda builder: builder.watches_clusters(to).predicates(predicates.function(admit)).for_(CONFIG_MAP)
    )
    scripted.wait_for_calls(1)

    assert scripted.names == ["a"]


def test_a_function_reads_the_hub_also_when_its_own_cluster_has_left(host: FakeHost) -> None:
    read: list[str] = []

    def to(cluster: Any) -> list[Key]:
        read.append(cluster.clusters.get("").client.get(CONFIG_MAP, Key("default", "a")).metadata.name)
        return []

    scripted = Scripted(setup=lambda builder: builder.for_(CONFIG_MAP, clusters=HUB).watches_clusters(to))
    host.known = {name: FakeCluster(name) for name in ("", "north")}
    host.known[""].server.put(document("a"))
    host.run(Controller(scripted, host, many_clusters=True))
    eventually(lambda: read == ["a"])
    north = host.known.pop("north")
    north.leaving.stop("it leaves")
    host.controllers[0].disengage("north")
    eventually(lambda: read == ["a", "a"])
    for _field_owner, stop, _deadline in host.known[""].clients:
        assert stop is not None
        assert not stop.stopped
