from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kcontroller.api import patches
from kcontroller.api.keys import Key
from kcontroller.client.ports import Write
from kcontroller.cluster.contests import APART, LOOK_SECONDS, TIMES, Contest, Contests, contested
from kcontroller.errors import NotFound
from kcontroller.testing.clock import VirtualClock

DEPLOYMENT = "apps/v1 Deployment"
HPA: dict[str, Any] = {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}


def body(spec: Any, *managed: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "managedFields": list(managed)}, "spec": spec, **rest}


def patch(document: dict[str, Any], *, content_type: str = patches.MERGE, **options: Any) -> Write:
    return Write(
        "patch", DEPLOYMENT, Key("default", "web"), msgspec.json.encode(document), content_type=content_type, **options
    )


class Server:
    """What a live reading shows."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found
        self.asked = 0

    def get(self, *_: Any, **__: Any) -> bytes:
        self.asked += 1
        if self.found is None:
            raise NotFound("gone", status=404, reason="NotFound")
        return json.dumps(self.found).encode()


class Watch:
    def __init__(self, found: dict[str, Any] | None) -> None:
        self.clock = VirtualClock()
        self.server = Server(found)
        self.said: list[Contest] = []
        self.contests = Contests("widget", clock=self.clock, on_contest=self.said.append)

    def send(self, write: Write, times: int = TIMES, every: float = 20.0) -> None:
        for number in range(times):
            if number:
                self.clock.advance(every)
            self.contests.before("eu", write, self.server)  # type: ignore[arg-type]


THREE = patch({"spec": {"replicas": 3}})


@pytest.fixture
def fight() -> Watch:
    return Watch(body({"replicas": 5}, HPA))


def test_a_field_that_another_manager_sets_back_each_time_is_contested(fight: Watch) -> None:
    fight.send(THREE)

    [contest] = fight.said
    assert str(contest) == (
        "widget and hpa fight over spec.replicas of apps/v1 Deployment default/web: widget wrote the same 4 times in "
        "60 s, and found it changed each time"
    )
    assert contest.cluster == "eu"


def test_nobody_asks_the_server_before_the_fourth_time(fight: Watch) -> None:
    fight.send(THREE, TIMES - 1)
    assert (fight.server.asked, fight.said) == (0, [])


def test_what_is_written_again_much_later_begins_anew(fight: Watch) -> None:
    fight.send(THREE, 3 * TIMES, every=APART + 1)
    assert fight.server.asked == 0


def test_the_server_is_asked_once_a_minute_at_most(fight: Watch) -> None:
    fight.send(THREE, 100, every=LOOK_SECONDS / 100)
    assert fight.server.asked == 1


def test_the_version_that_a_write_is_made_from_makes_no_difference(fight: Watch) -> None:
    for version in range(TIMES):
        fight.send(patch({"metadata": {"resourceVersion": str(version)}, "spec": {"replicas": 3}}), 1)
    assert len(fight.said) == 1


def test_other_values_each_time_are_no_contest(fight: Watch) -> None:
    for number in range(3 * TIMES):
        fight.send(patch({"spec": {"replicas": number}}), 1)
    assert fight.server.asked == 0


@pytest.mark.parametrize(
    "write",
    [
        patch({"spec": {"replicas": 3}}, query=(("dryRun", "All"),)),
        patch({"spec": {"replicas": 3}}, content_type=patches.JSON),
        Write("create", DEPLOYMENT, Key("default", "web")),
        Write("delete", DEPLOYMENT, Key("default", "web")),
    ],
)
def test_these_are_not_looked_at(fight: Watch, write: Write) -> None:
    fight.send(write)
    assert fight.server.asked == 0


def test_an_object_that_cannot_be_read_is_left_to_the_write() -> None:
    watch = Watch(None)
    watch.send(THREE)
    assert (watch.server.asked, watch.said) == (1, [])


def fields(manager: str, fields_v1: dict[str, Any]) -> dict[str, Any]:
    return {"manager": manager, "operation": "Apply", "fieldsV1": fields_v1}


CONTAINER = {"f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:name": {}, "f:image": {}}}}}
LABEL = {"f:metadata": {"f:labels": {".": {}, "f:team": {}}}}


@pytest.mark.parametrize(
    ("wanted", "found", "paths"),
    [
        ({"spec": {"replicas": 3}}, body({"replicas": 5}, HPA), [("spec.replicas", "hpa")]),
        ({"spec": {"replicas": 3}}, body({"replicas": 3}, HPA), []),
        ({"spec": {"paused": True}}, body({"replicas": 5, "paused": False}, HPA), []),
        ({"spec": {"replicas": 3}}, body({"replicas": 5}, {**HPA, "manager": "widget"}), []),
        ({"spec": {"replicas": None}}, body({"replicas": 5}, HPA), [("spec.replicas", "hpa")]),
        ({"spec": None}, body({"replicas": 5}, HPA), [("spec", "hpa")]),
        ({"spec": {"replicas": 3}}, body({"replicas": 5}), []),
        (
            {"spec": {"containers": [{"name": "web", "image": "one"}]}},
            body(
                {"containers": [{"name": "side"}, {"name": "web", "image": "two", "resources": {}}]},
                fields("injector", CONTAINER),
            ),
            [('spec.containers.{"name":"web"}.image', "injector")],
        ),
        (
            {"spec": {"containers": [{"name": "web", "image": "one"}]}},
            body({"containers": [{"name": "web", "image": "one", "resources": {}}]}, fields("injector", CONTAINER)),
            [],
        ),
        (
            {"metadata": {"labels": {"team": "a"}}},
            {"metadata": {"labels": {"team": "b"}, "managedFields": [fields("kubectl-edit", LABEL)]}},
            [("metadata.labels.team", "kubectl-edit")],
        ),
        (
            {"metadata": {"finalizers": ["a/x"]}},
            {
                "metadata": {
                    "finalizers": ["b/y"],
                    "managedFields": [fields("other", {"f:metadata": {"f:finalizers": {".": {}, 'v:"b/y"': {}}}})],
                }
            },
            [],
        ),
    ],
)
def test_a_field_is_contested_where_somebody_else_owns_it_and_it_would_change(
    wanted: dict[str, Any], found: dict[str, Any], paths: list[tuple[str, str]]
) -> None:
    assert list(contested(wanted, found, ours="widget")) == paths


def test_a_status_is_contested_by_writes_of_the_status_alone() -> None:
    status = {"manager": "other", "subresource": "status", "fieldsV1": {"f:status": {"f:phase": {}}}}
    both = {"spec": {"replicas": 3}, "status": {"phase": "Ready"}}
    watch = Watch(body({"replicas": 3}, status, status={"phase": "Failed"}))
    watch.send(patch(both))
    assert watch.said == []

    watch.clock.advance(LOOK_SECONDS)
    watch.send(patch(both, subresource="status"))
    assert [contest.path for contest in watch.said] == ["status.phase"]
