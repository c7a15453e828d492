from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.client.ports import Write
from kcontroller.cluster.suspension import PAUSE_SECONDS, SuspensibleWriter, Suspension
from kcontroller.errors import ClusterSuspended, Conflict
from kcontroller.process.metrics import Metrics
from kcontroller.testing.clock import VirtualClock
from tests.unit.controller.fakes import CONFIG_MAP, entry

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Key("default", "a")


def write(verb: str = "create", name: str = "a") -> Write:
    return Write(verb, CONFIG_MAP, Key("default", name))


class Server:
    """Refuses writes while it is suspended, but deletes."""

    def __init__(self) -> None:
        self.suspended = True
        self.writes: list[Write] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def write(self, write: Write) -> bytes:
        self.writes.append(write)
        self.meanwhile()
        if self.suspended and write.verb == "create":
            raise ClusterSuspended("unpaid", status=403, causes=("ProjectSuspended",))
        return b"{}"


class Stage:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.server = Server()
        self.metrics = Metrics()
        self.shown: dict[Key, Any] = {}
        self.suspension = Suspension("p1", clock=self.clock, metrics=self.metrics)
        self.writer = SuspensibleWriter(self.server, self.suspension, lambda _gvk, key: self.shown.get(key))

    def refused(self, verb: str = "create", name: str = "a") -> ClusterSuspended:
        with pytest.raises(ClusterSuspended) as caught:
            self.writer.write(write(verb, name))
        return caught.value

    @property
    def counted(self) -> float | None:
        return self.metrics.registry.get_sample_value("kcontroller_suspended_clusters")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_once_the_server_has_said_it_no_write_is_sent_for_half_a_minute(stage: Stage) -> None:
    first = stage.refused()
    assert first.retry_after is not None
    assert first.retry_after >= PAUSE_SECONDS
    for _ in range(100):
        stage.clock.advance(PAUSE_SECONDS / 101)
        error = stage.refused("update")
    assert len(stage.server.writes) == 1
    assert "nothing was sent; the cluster is suspended: unpaid" in str(error)
    assert 0 < (error.retry_after or 0) < 5


def test_one_write_at_a_time_asks_again(stage: Stage) -> None:
    stage.refused()
    for hour in range(1, 4):
        stage.clock.advance(PAUSE_SECONDS * 1.2)
        for _ in range(10):
            stage.refused()
        assert len(stage.server.writes) == 1 + hour


def test_while_one_asks_the_others_come_back_in_a_second(stage: Stage) -> None:
    stage.refused()
    stage.clock.advance(PAUSE_SECONDS * 1.2)
    stage.server.suspended = False
    waits: list[float | None] = []
    stage.server.meanwhile = lambda: waits.append(stage.refused(name="b").retry_after)
    stage.writer.write(write())
    assert waits == [1.0]
    stage.server.meanwhile = lambda: None
    stage.writer.write(write(name="b"))
    assert stage.suspension.why == ""


def test_an_answer_that_says_neither_leaves_it_as_it_is(stage: Stage) -> None:
    stage.refused()
    stage.clock.advance(PAUSE_SECONDS * 1.2)

    def conflict() -> None:
        raise Conflict("changed", status=409)

    stage.server.meanwhile = conflict
    with pytest.raises(Conflict):
        stage.writer.write(write("update"))
    stage.refused()
    assert len(stage.server.writes) == 2


def test_deletes_and_the_end_of_deletions_pass(stage: Stage) -> None:
    stage.refused()
    stage.shown[KEY] = entry("a", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/hold"])
    stage.shown[Key("default", "b")] = entry("b")
    stage.writer.write(write("delete", "b"))
    stage.writer.write(write("patch"))
    stage.writer.write(write("update"))
    stage.refused("patch", "b")
    assert [each.verb for each in stage.server.writes] == ["create", "delete", "patch", "update"]
    assert stage.suspension.why == "unpaid"  # They pass in a suspended project too.


def test_it_is_said_once_and_counted(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="kcontroller")
    for _ in range(3):
        stage.refused()
        stage.clock.advance(PAUSE_SECONDS * 1.2)
    assert (stage.counted, stage.suspension.trouble) == (1, "writes are refused, it is suspended: unpaid")
    stage.server.suspended = False
    stage.writer.write(write())
    assert (stage.counted, stage.suspension.trouble) == (0, "")
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "writes wait: the cluster is suspended: unpaid"),
        ("INFO", "writes go on"),
    ]


def test_a_cluster_that_ends_is_not_counted_any_more(stage: Stage) -> None:
    stage.refused()
    stage.suspension.end()
    stage.refused()
    assert stage.counted == 0
