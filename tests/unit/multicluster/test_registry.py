from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ClusterNotFound, ConfigError
from kcontroller.multicluster import Source, State
from kcontroller.process.repeats import NAMED
from kcontroller.testing.polling import eventually
from tests.unit.multicluster.fakes import FakeCluster, FakeFleet, FakeListener, FakeMember, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.multicluster.first_list import ReadyWhen

FAILURES = "kcontroller_cluster_engagement_failures_total"


@pytest.fixture
def patient() -> Iterator[FakeFleet]:
    made = FakeFleet(patience=30.0)
    yield made
    made.end()


# ---- joining and leaving ---------------------------------------------------------------------------------------------


def test_a_cluster_is_found_as_soon_as_it_is_connected_and_engaged_when_all_members_are_synced(
    fleet: FakeFleet,
) -> None:
    quick, slow = FakeMember("quick"), FakeMember("slow", syncs=False)
    fleet.registry.join(quick)
    fleet.registry.join(slow)
    fleet.registry.present(spec())
    assert fleet.state() is State.SYNCING
    assert fleet.registry.get("p1") is fleet.made[0]

    slow.on_synced["p1"]()
    assert fleet.state() is State.ENGAGED
    assert [each.name for each in fleet.registry] == ["p1"]
    assert quick.threads == {"kc-fleet"}


def test_without_members_a_cluster_is_engaged_at_once(fleet: FakeFleet) -> None:
    fleet.registry.present(spec())

    assert fleet.state() is State.ENGAGED


def test_a_member_that_comes_later_works_on_what_is_there(fleet: FakeFleet) -> None:
    fleet.registry.present(spec("p1"))
    fleet.registry.present(spec("p2"))
    late = FakeMember()
    fleet.registry.join(late)
    fleet.settle()

    assert late.asked == ["engage p1", "engage p2"]
    assert fleet.state() is State.ENGAGED


def test_leaving_closes_the_cluster_once_and_forgets_it(fleet: FakeFleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    member = FakeMember()
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.registry.absent("p1", "its Project is gone")
    assert fleet.state() is None
    (cluster,) = fleet.made

    assert member.asked == ["engage p1", "disengage p1"]
    assert cluster.stops == 1
    assert fleet.gone == [cluster]
    assert cluster.leaving.reason == "its Project is gone"
    assert [record.getMessage() for record in caplog.records] == ["engaged", "left: its Project is gone"]
    with pytest.raises(ClusterNotFound, match="no cluster 'p1' is engaged"):
        fleet.registry.get("p1")


def test_a_cluster_that_comes_and_goes_all_the_time_is_a_few_lines_and_said_to_be_one(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def flip(times: int) -> list[str]:
        caplog.clear()
        for _ in range(times):
            fleet.registry.present(spec())
            fleet.settle()
            fleet.registry.absent("p1", "not ready")
            fleet.settle()
        return [record.getMessage() for record in caplog.records]

    first = flip(10)
    assert first[:5] == ["engaged", "left: not ready", "engaged", "left: not ready", "engaged"]
    assert first[5:] == ["left: not ready; it comes and goes, which is not said for now"]
    assert flip(10) == []
    fleet.registry.present(spec("p2"))
    fleet.settle()
    assert [record.getMessage() for record in caplog.records] == ["engaged"], "another one is not meant"
    fleet.advance(61)
    assert flip(1) == ["engaged", "left: not ready"]


def test_what_is_refused_leaves_and_stays_to_be_seen_until_it_can_be_used(patient: FakeFleet) -> None:
    source, heard = Source("v1", "Secret", "p1", "fleet", "1"), FakeListener()
    patient.registry.listen(heard, at_once=True)
    member = FakeMember(ends=False)
    patient.registry.join(member)
    patient.registry.present(spec())
    patient.settle()

    patient.registry.refused("p1", "Secret fleet/p1: not YAML", source)
    assert patient.state() is State.DRAINING
    member.on_idle["p1"]()
    assert patient.state() is State.REFUSED
    assert not patient.has()
    (state,) = patient.registry.states()
    assert (state.why, state.last_error, state.uid) == ("Secret fleet/p1: not YAML", "Secret fleet/p1: not YAML", "1")
    assert state.source == source
    assert heard.of()[1] == "failed refused: Secret fleet/p1: not YAML"
    assert patient.value("kcontroller_clusters", state="refused") == 1

    patient.registry.present(spec())
    assert patient.state() is State.ENGAGED
    assert patient.value("kcontroller_clusters", state="refused") == 0


def test_what_was_refused_and_goes_is_forgotten(fleet: FakeFleet) -> None:
    fleet.registry.refused("a.yaml", "not YAML")
    assert fleet.state("a.yaml") is State.REFUSED
    fleet.registry.absent("a.yaml", "is gone")

    assert fleet.state("a.yaml") is None
    assert fleet.value("kcontroller_clusters", state="refused") == 0


def test_a_refusal_is_told_once_and_again_when_it_has_another_reason(fleet: FakeFleet) -> None:
    heard = FakeListener()
    fleet.registry.listen(heard, at_once=True)
    for why in ("a", "a", "b"):
        fleet.registry.refused("p1", why)
        fleet.settle()
        fleet.clock.advance(1)

    assert heard.of() == ["failed refused: a", "failed refused: b"]
    (state,) = fleet.registry.states()
    assert (fleet.clock.now() - state.since).total_seconds() == 3, "it is refused since then"


@pytest.mark.parametrize("ready_when", ["first-list", "any", "quorum", "all"])
def test_readiness_does_not_wait_for_what_is_refused(ready_when: ReadyWhen) -> None:
    fleet = FakeFleet(ready_when=ready_when)
    fleet.registry.present(spec("p1"))
    fleet.registry.refused("p2", "not YAML")
    fleet.registry.listed()
    fleet.settle()

    assert fleet.registry.pending() == ()
    assert fleet.registry.complete
    fleet.end()


def test_the_same_told_again_does_nothing(fleet: FakeFleet) -> None:
    for _ in range(100):
        fleet.registry.present(spec())
        fleet.registry.absent("p2", "never there")
    fleet.settle()

    assert len(fleet.made) == 1


def test_a_cluster_that_leaves_is_not_found_any_more_and_its_reconciles_are_told(fleet: FakeFleet) -> None:
    member = FakeMember(ends=False)
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.registry.absent("p1", "gone")
    assert fleet.state() is State.DRAINING
    (cluster,) = fleet.made

    assert not fleet.has()
    eventually(lambda: cluster.leaving.stopped)
    assert cluster.stops == 0, "its last reconcile may still ask for something"
    member.on_idle["p1"]()
    assert fleet.state() is None
    assert cluster.stops == 1


def test_what_users_hang_on_the_token_runs_on_another_thread(fleet: FakeFleet) -> None:
    go_on = threading.Event()
    member = FakeMember(ends=False)
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.made[0].leaving.on_stop(lambda: go_on.wait(10) and None)
    fleet.registry.absent("p1", "gone")
    fleet.registry.present(spec("p2"))

    assert fleet.state("p2") is State.ENGAGED
    go_on.set()


def test_a_system_without_threads_to_give_ends_nothing_but_the_cluster(
    fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name.startswith(("kc-leave", "kc-cluster")):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        begin(self)

    member = FakeMember(ends=False)
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.settle()
    monkeypatch.setattr(threading.Thread, "start", start)
    fleet.registry.absent("p1", "gone")
    fleet.registry.present(spec("p2"))
    fleet.settle()
    assert fleet.made[0].leaving.stopped, "its reconciles must hear of it all the same"
    member.on_idle["p1"]()
    member.on_idle["p2"]()

    assert fleet.state() is None
    assert fleet.state("p2") is State.DISCOVERED
    assert fleet.registry.states()[0].why == "RuntimeError: can't start new thread"


def test_one_under_the_same_name_waits_for_the_old_one_ten_seconds_at_most(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    member = FakeMember(ends=False)
    fleet.registry.join(member)
    fleet.registry.present(spec(uid="1"))
    fleet.registry.present(spec(uid="2"))
    fleet.registry.present(spec(uid="3"))
    assert fleet.state() is State.DRAINING
    late = member.on_idle["p1"]
    fleet.advance(9.9)
    assert fleet.state() is State.DRAINING
    fleet.advance(0.2)

    assert fleet.state() is State.ENGAGED
    assert [(each.spec.uid, each.stops) for each in fleet.made] == [("1", 1), ("3", 0)]
    assert "closed while reconciles still run: member" in caplog.text
    late()
    assert fleet.state() is State.ENGAGED
    assert member.asked == ["engage p1", "disengage p1", "engage p1"]


def test_what_an_old_incarnation_says_touches_nothing(fleet: FakeFleet) -> None:
    member = FakeMember(syncs=False)
    fleet.registry.join(member)
    fleet.registry.present(spec(uid="1"))
    fleet.settle()
    synced_of_the_first = member.on_synced["p1"]
    fleet.registry.present(spec(uid="2"))
    assert fleet.state() is State.SYNCING
    idle_of_the_first = member.on_idle["p1"]

    synced_of_the_first()
    idle_of_the_first()
    fleet.made[0].die(RuntimeError("late"))
    assert fleet.state() is State.SYNCING
    assert [each.stops for each in fleet.made] == [1, 0]


def test_nor_does_it_when_the_first_had_left_altogether(fleet: FakeFleet) -> None:
    member = FakeMember(syncs=False)
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.settle()
    synced_of_the_first = member.on_synced["p1"]
    fleet.registry.absent("p1", "gone")
    assert fleet.state() is None
    fleet.registry.present(spec())
    fleet.settle()
    synced_of_the_first()

    assert fleet.state() is State.SYNCING


# ---- failures --------------------------------------------------------------------------------------------------------


def test_a_cluster_that_cannot_be_made_is_tried_again(fleet: FakeFleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.refuse = OSError("no such file")
    fleet.registry.present(spec())
    assert fleet.state() is State.DISCOVERED
    assert fleet.registry.states()[0].why == "OSError: no such file"
    assert fleet.value(FAILURES, cluster="p1") == 1
    fleet.refuse = None
    fleet.advance(1.0)

    assert fleet.state() is State.ENGAGED
    (record,) = (each for each in caplog.records if each.levelname == "WARNING")
    assert record.getMessage().startswith("not engaged: OSError: no such file; trying again in 0.")


def test_where_there_is_no_room_for_a_cluster_it_waits_until_there_is(
    fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 1
    monkeypatch.setattr("kcontroller.multicluster.fleet.no_room", lambda more: "" if more <= room else "no room")
    fleet.registry.join(FakeMember(syncs=False))
    fleet.registry.present(spec("p1"))
    fleet.registry.present(spec("p2"))
    assert (fleet.state("p1"), fleet.state("p2")) == (State.SYNCING, State.DISCOVERED)
    assert fleet.registry.states()[1].why == "no room"
    room = 2
    fleet.advance(1.0)

    assert fleet.state("p2") is State.SYNCING


def test_what_many_clusters_suffer_from_is_said_of_a_few(fleet: FakeFleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.refuse = OSError("no such file")
    for number in range(20):
        fleet.registry.present(spec(f"p{number}"))
    assert fleet.state("p19") is State.DISCOVERED

    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(said) == NAMED + 1
    assert "(and so in further clusters, which are not named)" in said[-1]


def test_a_thread_that_dies_is_the_failure_of_its_cluster_and_not_of_the_process(fleet: FakeFleet) -> None:
    member = FakeMember()
    fleet.registry.join(member)
    fleet.registry.present(spec("p1"))
    fleet.registry.present(spec("p2"))
    fleet.settle()
    fleet.made[0].die(RuntimeError("broken"))
    eventually(lambda: fleet.state("p1") is State.DISCOVERED)
    assert fleet.state("p2") is State.ENGAGED
    assert "thread kc-cluster-p1 failed: RuntimeError: broken" in fleet.registry.states()[0].why
    fleet.advance(1.0)

    assert fleet.state("p1") is State.ENGAGED
    assert member.asked == ["engage p1", "engage p2", "disengage p1", "engage p1"]
    assert fleet.failures == []


class Unspeakable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)


def test_an_exception_without_a_text_is_the_failure_of_its_cluster_all_the_same(fleet: FakeFleet) -> None:
    told = "Unspeakable: (its text cannot be had: RuntimeError)"
    fleet.registry.present(spec("p1"))
    fleet.settle()
    fleet.made[0].die(Unspeakable())
    eventually(lambda: fleet.state("p1") is State.DISCOVERED)
    fleet.refuse = Unspeakable()
    fleet.registry.present(spec("p2"))
    fleet.settle()

    assert [each.why for each in fleet.registry.states()] == [f"thread kc-cluster-p1 failed: {told}", told]
    fleet.refuse = None
    fleet.advance(1.0)
    assert [each.state for each in fleet.registry.states()] == [State.ENGAGED, State.ENGAGED]


def test_one_that_goes_and_comes_back_at_once_does_not_skip_the_pause_after_a_failure(fleet: FakeFleet) -> None:
    fleet.refuse = OSError("no such file")
    fleet.registry.present(spec())
    for _ in range(5):
        fleet.registry.absent("p1", "not ready")
        assert fleet.state() is None
        fleet.registry.present(spec())
        assert fleet.state() is State.DISCOVERED
    assert fleet.registry.states()[0].why == "OSError: no such file"
    assert fleet.value(FAILURES, cluster="p1") is None, "its series left with it"
    assert fleet.tries == 1
    fleet.advance(1.0)
    assert fleet.tries == 2

    fleet.registry.absent("p1", "not ready")
    fleet.registry.present(spec(uid="2"))
    assert fleet.state() is State.DISCOVERED
    assert fleet.tries == 3, "another one starts afresh"


def test_nor_is_the_pause_kept_for_longer_than_it_lasts(fleet: FakeFleet) -> None:
    fleet.refuse = OSError("no such file")
    fleet.registry.present(spec())
    fleet.registry.absent("p1", "not ready")
    fleet.settle()
    fleet.advance(1.0)
    assert fleet.tries == 1
    fleet.registry.present(spec("p2"))
    fleet.registry.absent("p2", "not ready")
    fleet.settle()
    assert list(fleet.registry._fleet._slots._resting) == ["p2"]
    fleet.registry.present(spec())
    fleet.settle()
    assert fleet.tries == 3


def test_if_one_member_cannot_take_a_cluster_on_all_let_go_of_it(fleet: FakeFleet) -> None:
    good, bad = FakeMember("good"), FakeMember("bad")
    bad.refuse = ValueError("no such index")
    fleet.registry.join(good)
    fleet.registry.join(bad)
    fleet.registry.present(spec())
    assert fleet.state() is State.DISCOVERED

    assert good.asked == ["engage p1", "disengage p1"]
    assert fleet.made[0].stops == 1
    bad.refuse = None
    fleet.advance(1.0)
    assert fleet.state() is State.ENGAGED


def test_19_a_hundred_engagements_that_fail_leave_nothing(fleet: FakeFleet) -> None:
    good, bad = FakeMember("good"), FakeMember("bad")
    bad.refuse = ValueError("no such index")
    fleet.registry.join(good)
    fleet.registry.join(bad)
    fleet.registry.present(spec())
    fleet.settle()
    for _ in range(99):
        fleet.advance(60.0)

    assert len(fleet.made) == len(good.asked) / 2 == 100
    assert all(each.stops for each in fleet.made)
    eventually(lambda: fleet.threads.alive() == ("kc-fleet",))
    fleet.advance(60.0)
    fleet.registry.absent("p1", "gone")
    for _ in range(3):
        fleet.advance(60.0)
    inside = fleet.registry._fleet
    assert (len(inside._slots), len(inside._departed), inside.clusters) == (0, 0, {})


def test_a_member_that_comes_later_and_fails_costs_the_others_nothing(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = FakeMember("good"), FakeMember("bad")
    bad.refuse = ValueError("no such index")
    fleet.registry.join(good)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.registry.join(bad)
    assert fleet.state() is State.ENGAGED
    assert good.asked == ["engage p1"]
    assert bad.asked == ["engage p1", "disengage p1"]
    assert fleet.registry.states()[0].last_error == "bad: ValueError: no such index"
    assert "bad cannot take it on, and will try when it is engaged anew: ValueError: no such index" in caplog.text

    bad.refuse = None
    fleet.registry.present(spec(uid="2"))
    assert fleet.state() is State.ENGAGED
    assert bad.asked[2:] == ["engage p1"]


def test_a_member_that_cannot_let_go_does_not_keep_the_others(
    fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str, *, on_idle: object) -> None:
        raise KeyError(name)

    bad, good = FakeMember("bad"), FakeMember("good")
    monkeypatch.setattr(bad, "disengage", broken)
    fleet.registry.join(bad)
    fleet.registry.join(good)
    fleet.registry.present(spec())
    fleet.registry.absent("p1", "gone")

    assert fleet.state() is None
    assert good.asked == ["engage p1", "disengage p1"]
    assert "bad did not let go of a cluster" in caplog.text


def test_a_cluster_whose_thread_hangs_on_its_way_out_holds_up_neither_its_successor_nor_the_fleet(
    fleet: FakeFleet,
) -> None:
    fleet.registry.present(spec("stuck"))
    fleet.registry.absent("stuck", "gone")
    fleet.registry.present(spec("stuck"))
    fleet.registry.present(spec("p2"))

    assert fleet.state("stuck") is State.ENGAGED
    assert fleet.state("p2") is State.ENGAGED
    fleet.registry.absent("stuck", "gone")
    fleet.settle()
    assert fleet.registry.stop(0.1) == ("kc-cluster-stuck", "kc-cluster-stuck")


# ---- another configuration of the same cluster -----------------------------------------------------------------------


def test_another_configuration_is_adopted_when_it_is_proved_and_no_member_hears_of_it(fleet: FakeFleet) -> None:
    member, listener = FakeMember(), FakeListener()
    fleet.registry.join(member)
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    fleet.settle()
    cluster = fleet.made[0]
    cluster.proving = threading.Event()
    fleet.registry.present(spec(server="https://other.test"))
    assert fleet.state() is State.ENGAGED
    assert cluster.config.server == "https://milo.test/p1", "what is in use goes on until then"
    cluster.proving.set()

    eventually(lambda: cluster.config.server == "https://other.test/p1")
    assert fleet.state() is State.ENGAGED
    assert (member.asked, listener.of(), cluster.stops) == (["engage p1"], ["engaged 1"], 0)
    assert fleet.made == [cluster]
    eventually(lambda: fleet.threads.alive() == ("kc-fleet",))


def test_one_that_does_not_work_leaves_the_one_in_use_and_says_so_until_it_works(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    listener = FakeListener()
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    fleet.settle()
    cluster = fleet.made[0]
    cluster.unfit = PermissionError("401")
    fleet.registry.present(spec(server="https://other.test"))
    eventually(lambda: fleet.registry.states()[0].attempts == 1)
    state = fleet.registry.states()[0]
    assert (state.state, state.last_error) == (State.ENGAGED, "PermissionError: 401")
    assert cluster.config.server == "https://milo.test/p1"
    assert "its new configuration does not work, the one in use goes on: PermissionError: 401" in caplog.text
    eventually(lambda: listener.of() == ["engaged 1", "failed engaged: PermissionError: 401"])

    cluster.unfit = None
    fleet.advance(1.0)
    eventually(lambda: cluster.config.server == "https://other.test/p1")
    state = fleet.registry.states()[0]
    assert (state.state, state.last_error, state.attempts) == (State.ENGAGED, "", 0)
    assert len(cluster.proved) == 2


def test_one_that_does_not_work_and_is_taken_back_is_said_to_be_over(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fleet.registry.present(spec())
    fleet.settle()
    fleet.made[0].unfit = PermissionError("401")
    fleet.registry.present(spec(server="https://other.test"))
    eventually(lambda: fleet.registry.states()[0].attempts == 1)
    fleet.registry.present(spec())
    fleet.settle()

    assert fleet.registry.states()[0].last_error == ""
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert caplog.messages[-1] == "the configuration in use is the one that is wanted again"


def test_one_that_leads_to_another_cluster_is_engaged_afresh_when_the_old_one_has_left(fleet: FakeFleet) -> None:
    member, listener = FakeMember(), FakeListener()
    fleet.registry.join(member)
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.made[0].same = False
    fleet.registry.present(spec(server="https://other.test"))

    eventually(lambda: len(fleet.made) == 2)
    assert fleet.state() is State.ENGAGED
    assert [each.config.server for each in fleet.made] == ["https://milo.test/p1", "https://other.test/p1"]
    assert [each.stops for each in fleet.made] == [1, 0]
    assert member.asked == ["engage p1", "disengage p1", "engage p1"]
    why = "its new configuration leads to another cluster"
    eventually(lambda: listener.of() == ["engaged 1", f"draining 1: {why}", "gone 1", "engaged 1"])


def test_proofs_that_hang_hold_up_neither_the_fleet_nor_each_other(fleet: FakeFleet) -> None:
    for number in range(3):
        fleet.registry.present(spec(f"p{number}"))
    fleet.settle()
    hung = fleet.made[0].proving = threading.Event()
    for number in range(3):
        fleet.registry.present(spec(f"p{number}", server="https://other.test"))
    fleet.registry.present(spec("p3"))

    assert fleet.state("p3") is State.ENGAGED
    eventually(lambda: all("other.test" in each.config.server for each in fleet.made[1:3]))
    fleet.registry.absent("p0", "gone")
    assert fleet.state("p0") is None
    hung.set()
    eventually(lambda: fleet.threads.alive() == ("kc-fleet",))
    assert "milo.test" in fleet.made[0].config.server


def test_other_labels_are_told_to_the_members_and_reconnect_nothing(fleet: FakeFleet) -> None:
    member = FakeMember()
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.registry.present(replace(spec(), labels=(("tier", "gold"), ("env", "a")), weight=3))
    fleet.settle()

    (cluster,) = fleet.made
    assert (cluster.labels, cluster.weight, cluster.stops) == ({"env": "a", "tier": "gold"}, 3, 0)
    assert member.asked == ["engage p1", "relabel p1 {'env': 'a', 'tier': 'gold'}"]
    assert fleet.registry.states()[0].labels == (("env", "a"), ("tier", "gold"))


def test_other_namespaces_want_other_caches_and_so_another_engagement(fleet: FakeFleet) -> None:
    fleet.registry.present(spec())
    fleet.settle()
    fleet.registry.present(replace(spec(), namespaces=("a",)))
    fleet.settle()

    assert [(each.spec.namespaces, each.stops) for each in fleet.made] == [(None, 1), (("a",), 0)]


def test_a_cluster_whose_caches_do_not_fill_is_a_failure_that_undoes_nothing(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    member = FakeMember(syncs=False)
    fleet.registry.join(member)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.made[0].trouble = {"v1 ConfigMap": "no route to host"}
    fleet.advance(30.0)
    state = fleet.registry.states()[0]
    assert (state.state, state.last_error) == (State.SYNCING, "v1 ConfigMap: no route to host")
    assert fleet.value(FAILURES, cluster="p1") == 1
    assert "not engaged: v1 ConfigMap: no route to host" in caplog.text

    member.on_synced["p1"]()
    assert fleet.state() is State.ENGAGED
    assert fleet.registry.states()[0].last_error == ""
    assert fleet.made[0].stops == 0


# ---- those who listen ------------------------------------------------------------------------------------------------


def test_a_listener_hears_of_each_incarnation_once_and_in_order(fleet: FakeFleet) -> None:
    listener = FakeListener()
    fleet.registry.listen(listener)
    fleet.registry.present(spec(uid="1"))
    fleet.settle()
    fleet.registry.present(spec(uid="2"))
    fleet.settle()
    fleet.made[1].die(RuntimeError("broken"))
    eventually(lambda: fleet.state() is State.DISCOVERED)
    fleet.advance(1.0)
    fleet.registry.absent("p1", "gone")
    fleet.settle()

    eventually(lambda: len(listener.of()) == 10)
    another, died = "it was replaced by one with another uid", "thread kc-cluster-p1 failed: RuntimeError: broken"
    assert listener.of() == [
        *("engaged 1", f"draining 1: {another}", "gone 1"),
        *("engaged 2", f"failed draining: {died}", f"draining 2: {died}", "gone 2"),
        *("engaged 2", "draining 2: gone", "gone 2"),
    ]
    assert all(name.startswith("kc-hook-") for name in listener.threads)


def test_of_a_cluster_that_was_never_engaged_nobody_is_told(fleet: FakeFleet) -> None:
    listener = FakeListener()
    fleet.registry.listen(listener)
    fleet.registry.join(FakeMember(syncs=False))
    fleet.registry.present(spec())
    fleet.registry.absent("p1", "gone")
    assert fleet.state() is None
    assert fleet.threads.alive() in {("kc-fleet",), ("kc-fleet", "kc-cluster-p1")}
    assert listener.heard == {}


def test_a_listener_that_comes_later_is_told_of_what_is_engaged(fleet: FakeFleet) -> None:
    first, late = FakeListener(), FakeListener()
    fleet.registry.listen(first)
    fleet.registry.present(spec("p1"))
    fleet.registry.listen(late)
    fleet.registry.absent("p1", "gone")
    fleet.settle()

    told = ["engaged 1", "draining 1: gone", "gone 1"]
    eventually(lambda: first.of() == late.of() == told)


def test_a_listener_that_hangs_delays_its_own_cluster_only(fleet: FakeFleet) -> None:
    listener, other = FakeListener(), FakeListener()
    hung = listener.hold["p1"] = threading.Event()
    fleet.registry.listen(listener)
    fleet.registry.listen(other)
    for name in ("p1", "p2"):
        fleet.registry.present(spec(name))
        fleet.registry.absent(name, "gone")
    assert fleet.state("p1") is None, "nothing waits for it"
    eventually(lambda: len(listener.of("p2")) == len(other.of("p1")) == len(other.of("p2")) == 3)
    assert listener.of("p1") == []
    hung.set()

    eventually(lambda: [each.partition(" ")[0] for each in listener.of("p1")] == ["engaged", "draining", "gone"])


def test_what_a_listener_raises_is_logged_and_ends_nothing(fleet: FakeFleet, caplog: pytest.LogCaptureFixture) -> None:
    listener = FakeListener()
    listener.fails = ValueError("no")
    fleet.registry.listen(listener)
    fleet.registry.present(spec())
    fleet.registry.absent("p1", "gone")
    fleet.settle()

    eventually(lambda: len(listener.of()) == 3)
    eventually(lambda: "FakeListener.on_gone failed: ValueError: no" in caplog.text)


# ---- metrics ---------------------------------------------------------------------------------------------------------


def test_clusters_are_counted_by_state(fleet: FakeFleet) -> None:
    fleet.registry.join(FakeMember(syncs=False))
    fleet.registry.present(spec("p1"))
    fleet.registry.present(spec("p2"))
    fleet.settle()
    assert fleet.value("kcontroller_clusters", state="syncing") == 2
    fleet.registry.absent("p1", "gone")
    fleet.registry.absent("p2", "gone")
    fleet.settle()

    assert [fleet.value("kcontroller_clusters", state=each.value) or 0 for each in State] == [0] * len(State)


def test_the_series_of_a_cluster_leave_with_it_also_what_its_last_reconcile_counts(fleet: FakeFleet) -> None:
    def series() -> list[str]:
        return [line for line in fleet.metrics.render().decode().splitlines() if 'cluster="p1"' in line]

    fleet.registry.present(spec())
    fleet.settle()
    fleet.metrics.informer_objects.labels("p1", "").set(3)
    fleet.metrics.cluster_reconciles.labels("p1", "success").inc()
    fleet.registry.absent("p1", "gone")
    fleet.settle()
    assert series() == []

    fleet.metrics.cluster_reconciles.labels("p1", "success").inc()
    eventually(lambda: fleet.threads.alive() == ("kc-fleet",))
    for _ in range(5):
        fleet.advance(1.0)
    eventually(lambda: series() == [])


# ---- readiness -------------------------------------------------------------------------------------------------------


def test_complete_is_what_was_told_and_joined(fleet: FakeFleet) -> None:
    go_on = threading.Event()
    fleet.registry.listed()
    fleet.settle()
    assert fleet.registry.complete

    fleet.registry._fleet.post(lambda: go_on.wait(10) and None)
    fleet.registry.join(FakeMember())
    assert not fleet.registry.complete
    go_on.set()
    fleet.settle()
    assert fleet.registry.complete


def test_a_provider_without_patience_waits_for_each_cluster_and_kind(fleet: FakeFleet) -> None:
    fleet.registry.listed()
    fleet.registry.present(spec("p1"))
    fleet.settle()
    fleet.made[0].kinds = ["v1 ConfigMap"]
    fleet.refuse = OSError("no such file")
    fleet.registry.present(spec("p2"))
    fleet.settle()
    fleet.clock.advance(0.1)

    assert [str(each) for each in fleet.registry.pending()] == [
        "cluster p1: v1 ConfigMap is not synced: the first list is under way",
        "cluster p2: not engaged: OSError: no such file",
    ]


def test_a_patient_provider_waits_for_the_clusters_of_its_first_list_half_a_minute(patient: FakeFleet) -> None:
    patient.registry.join(FakeMember(syncs=False))
    patient.registry.present(spec("p1"))
    patient.registry.listed()
    patient.registry.present(spec("late"))
    patient.settle()
    for each in patient.made:
        each.kinds = ["v1 ConfigMap"]
    assert {each.cluster for each in patient.registry.pending()} == {"p1"}
    patient.advance(29.9)
    assert patient.registry.awaits("p1")
    patient.advance(0.2)

    assert patient.registry.pending() == ()
    assert not patient.registry.awaits("p1")


def test_a_patient_provider_does_not_wait_for_a_cluster_that_cannot_be_made(patient: FakeFleet) -> None:
    patient.refuse = OSError("no such file")
    patient.registry.present(spec())
    patient.registry.listed()
    patient.settle()

    assert patient.registry.pending() == ()


@pytest.mark.parametrize("how", ["trouble", "failure", "engaged"])
def test_a_patient_provider_does_not_wait_for_a_cluster_that(patient: FakeFleet, how: str) -> None:
    member = FakeMember(syncs=False)
    patient.registry.join(member)
    patient.registry.present(spec("p1"))
    patient.registry.listed()
    patient.settle()
    patient.made[0].kinds = ["v1 ConfigMap"]
    assert patient.registry.awaits("p1")
    if how == "trouble":
        patient.made[0].trouble = {"v1 ConfigMap": "503"}
    elif how == "failure":
        patient.made[0].die(RuntimeError("broken"))
    else:
        member.on_synced["p1"]()

    eventually(lambda: patient.registry.pending() == ())


# ---- the hub ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engages", [True, False])
def test_the_hub_is_found_by_its_empty_name_and_worked_on_only_where_it_is_all_there_is(*, engages: bool) -> None:
    hub = FakeCluster(spec(""))
    fleet = FakeFleet(hub=hub, engages_hub=engages)
    member = FakeMember()
    fleet.registry.join(member)

    assert fleet.registry.get("") is hub
    assert list(fleet.registry) == ([hub] if engages else [])
    assert ("kc-fleet" in fleet.threads.alive()) is not engages
    if engages:
        assert member.asked == ["engage "]
        assert fleet.registry.complete
    else:
        fleet.registry.present(spec(""))
        fleet.settle()
        assert fleet.made == []
        assert member.asked == []
    fleet.end()


def test_a_member_that_wants_the_hub_works_on_it_besides_the_fleet() -> None:
    hub = FakeCluster(spec(""))
    fleet = FakeFleet(hub=hub)
    both, plain = FakeMember("both"), FakeMember("plain")
    both.wants_hub = True
    fleet.registry.join(plain)
    assert list(fleet.registry) == []
    fleet.registry.join(both)
    fleet.registry.present(spec("p1"))
    fleet.settle()

    assert (both.asked, plain.asked) == (["engage ", "engage p1"], ["engage p1"])
    assert list(fleet.registry) == [hub, *fleet.made]
    assert [each.name for each in fleet.registry.states()] == ["p1"]
    fleet.end()


def test_a_member_that_wants_a_hub_where_there_is_none_is_refused(fleet: FakeFleet) -> None:
    member = FakeMember("both")
    member.wants_hub = True

    with pytest.raises(ConfigError, match="both watches the hub, and a manager of several clusters has none"):
        fleet.registry.join(member)


# ---- stopping --------------------------------------------------------------------------------------------------------


def test_after_the_stop_nothing_is_taken_any_more(fleet: FakeFleet) -> None:
    fleet.registry.present(spec("p1"))
    fleet.settle()
    assert fleet.registry.stop(10) == ()
    fleet.registry.present(spec("p2"))

    assert [each.name for each in fleet.made] == ["p1"]


def test_a_cluster_that_is_made_while_the_fleet_stops_is_closed(fleet: FakeFleet) -> None:
    go_on = threading.Event()
    fleet.hold = go_on
    fleet.registry.present(spec())
    eventually(lambda: fleet.tries)
    assert fleet.registry.stop(0.01) == ()
    go_on.set()

    assert fleet.threads.join(10) == ()
    assert [each.stops for each in fleet.made] == [1]
    eventually(lambda: "kc-cluster-p1" not in {each.name for each in threading.enumerate()})


def test_stopping_what_never_started_is_harmless() -> None:
    from kcontroller.multicluster import Registry  # noqa: PLC0415
    from kcontroller.process.clock import SYSTEM_CLOCK  # noqa: PLC0415
    from kcontroller.process.metrics import Metrics  # noqa: PLC0415

    registry = Registry(connect=FakeCluster, clock=SYSTEM_CLOCK, metrics=Metrics())  # type: ignore[arg-type]

    assert registry.stop(1) == ()
