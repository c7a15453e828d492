from __future__ import annotations

import threading
from typing import Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster import ClusterSpec, Source, State
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.multicluster.providers.union import MultiProvider
from kcontroller.process.stop import StopToken
from kcontroller.testing.providers import MemoryProvider, Told
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.multicluster.fakes import FakeFleet, FakeMember, spec


class Failing(MemoryProvider):
    """Fails whenever it is asked for something."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def start(self, sink: Any, *, hub: Any) -> None:
        raise self.error

    def stop(self) -> None:
        raise self.error


class Silent(MemoryProvider):
    """Has not listed yet."""

    def start(self, sink: Any, *, hub: Any) -> None:
        self.sink = sink


def test_names_have_the_prefix_and_everything_else_stays() -> None:
    told, inner = Told(), MemoryProvider(ClusterSpec("x.y", spec().config, "u", labels=(("a", "b"),), weight=3))
    MultiProvider({"one": inner}).start(told, hub=None)
    inner.absent("x.y", "gone")

    (found,) = told.specs
    assert (found.name, found.uid, found.labels, found.weight) == ("one.x.y", "u", (("a", "b"),), 3)
    assert told.said == ["one.x.y", "(listed)", "one.x.y: gone"]


def test_what_one_of_them_refuses_has_the_prefix_too() -> None:
    told, silent, source = Told(), Silent(), Source("v1", "Secret", "x", "fleet", "u1")
    MultiProvider({"one": silent}).start(told, hub=None)
    silent.sink.refused("x", "not YAML", source)

    assert told.refusals == {"one.x": ("not YAML", source)}


def test_a_check_hears_of_the_cluster_by_the_name_that_its_provider_gave_it() -> None:
    asked: list[str] = []

    def check(spec: ClusterSpec, _stop: StopToken) -> str:
        asked.append(spec.name)
        return f"{spec.config.server} is another"

    told = Told()
    checked = ClusterSpec("p1", spec().config, check=check)
    MultiProvider({"a": MemoryProvider(checked, spec("p2"))}).start(told, hub=None)

    found = told.clusters["a.p1"]
    assert found.check is not None
    assert found.check(found, StopToken()) == f"{found.config.server} is another"
    assert asked == ["p1"]
    assert told.clusters["a.p2"].check is None


def test_the_same_name_in_two_of_them_is_two_clusters() -> None:
    told = Told()
    MultiProvider({"a": MemoryProvider(spec("x")), "b": MemoryProvider(spec("x"))}).start(told, hub=None)

    assert sorted(told.clusters) == ["a.x", "b.x"]


def test_it_is_listed_once_when_the_last_of_them_is() -> None:
    told, silent = Told(), Silent()
    MultiProvider({"a": MemoryProvider(), "b": silent}).start(told, hub=None)
    assert not told.is_listed

    silent.sink.listed()
    silent.sink.listed()
    assert told.said == ["(listed)"]


def test_one_that_cannot_start_is_named_and_the_others_are_stopped() -> None:
    first = MemoryProvider()
    with pytest.raises(ConfigError, match="b: no hub"):
        MultiProvider({"a": first, "b": Failing(ConfigError("no hub"))}).start(Told(), hub=None)
    assert first._sink is None
    with pytest.raises(RuntimeError, match="bug"):
        MultiProvider({"b": Failing(RuntimeError("bug"))}).start(Told(), hub=None)


def test_one_that_cannot_stop_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    last = MemoryProvider()
    last.start(Told(), hub=None)
    MultiProvider({"a": Failing(RuntimeError("bug")), "b": last}).stop()

    assert last._sink is None
    assert "provider memory failed to stop: RuntimeError: bug" in caplog.text


@pytest.mark.parametrize(("patiences", "longest"), [((None, None), None), ((5.0, None), 5.0), ((5.0, 30.0), 30.0)])
def test_it_is_as_patient_as_the_most_patient_of_them(
    patiences: tuple[float | None, ...], longest: float | None
) -> None:
    providers = {}
    for number, patience in enumerate(patiences):
        providers[f"p{number}"] = MemoryProvider()
        providers[f"p{number}"].patience = patience
    assert MultiProvider(providers).patience == longest


@pytest.mark.parametrize("prefix", ["", "a.b", "A", "a/b", "-a", "a" * 64])
def test_a_prefix_is_a_dns_label(prefix: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the prefix of a provider"):
        MultiProvider({prefix: MemoryProvider()})


def test_none_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="a union needs at least one provider"):
        MultiProvider({})


def test_row_41_a_thousand_clusters_before_the_start_and_as_many_by_other_threads_hang_nothing(
    fleet: FakeFleet,
) -> None:
    fleet.registry.join(FakeMember())
    first = MemoryProvider(*(spec(f"c{number}") for number in range(1000)))
    second = MemoryProvider()
    union = MultiProvider({"first": first, "second": second})
    adding = threading.Thread(target=lambda: [second.present(spec(f"c{number}")) for number in range(200)])
    adding.start()
    union.start(fleet.registry, hub=None)
    adding.join(10)
    fleet.settle()

    states = fleet.registry.states()
    assert len(states) == 1200
    assert {state.state for state in states} == {State.ENGAGED}
    union.stop()


def test_row_39_a_cluster_of_its_own_is_one_of_the_fleet_and_may_come_and_go(fleet: FakeFleet) -> None:
    """The hub's server, named like any other cluster."""
    hub = Config("https://hub.test", StaticCredentials())
    member, spokes = FakeMember(), MemoryProvider(spec("p1"))
    fleet.registry.join(member)
    local = MemoryProvider(ClusterSpec("local", hub))
    MultiProvider({"hub": local, "static": StaticProvider({"eu": hub}), "fleet": spokes}).start(
        fleet.registry, hub=None
    )
    assert fleet.has("hub.local")
    local.absent("local")

    assert not fleet.has("hub.local")
    assert fleet.has("fleet.p1")
    assert sorted(member.asked) == ["disengage hub.local", "engage fleet.p1", "engage hub.local", "engage static.eu"]
