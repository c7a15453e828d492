from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.cli.demo_visitor import Visitor
from kcontroller.client.client import Client
from kcontroller.client.writes import Ports
from kcontroller.errors import AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.client.ports import Write


class Recorder:
    """A server that remembers the writes, and refuses those that the test names."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, str, Any]] = []
        self.refuse: Callable[[Write], Exception | None] = lambda _write: None

    def client(self) -> Client:
        return Client(Ports(reader=self, live=self, writer=self))  # type: ignore[arg-type]

    def write(self, write: Write) -> bytes:
        refusal = self.refuse(write)
        if refusal is not None:
            raise refusal
        body = json.loads(write.body)
        self.writes.append((write.verb, gvk_of(write.kind).kind, str(write.key), body.get("spec")))
        return write.body

    def of_kind(self, kind: str) -> list[tuple[str, str, Any]]:
        return [(verb, key.rpartition("/")[2], spec) for verb, found, key, spec in self.writes if found == kind]


@pytest.fixture
def fleet() -> dict[str, Recorder]:
    return {"eu": Recorder(), "us": Recorder()}


def visitor(fleet: dict[str, Recorder], *, widgets: int = 2) -> Visitor:
    return Visitor({name: recorder.client() for name, recorder in fleet.items()}, widgets)


def test_every_cluster_gets_its_widgets_and_their_namespace(fleet: dict[str, Recorder]) -> None:
    visitor(fleet).prepare()

    for recorder in fleet.values():
        assert recorder.of_kind("Namespace") == [("create", "default", None)]
        assert recorder.of_kind("Widget") == [
            ("create", "widget-1", {"image": "nginx:1.29"}),
            ("create", "widget-2", {"image": "nginx:1.29"}),
        ]


def test_a_namespace_that_is_there_is_not_missed(fleet: dict[str, Recorder]) -> None:
    fleet["eu"].refuse = lambda write: (
        AlreadyExists("it is there", status=409) if "namespace" not in str(write.body) else None
    )
    visitor(fleet).prepare()

    assert len(fleet["eu"].of_kind("Widget")) == 2


def test_the_deeds_take_turns_over_the_clusters(fleet: dict[str, Recorder]) -> None:
    somebody = visitor(fleet)

    assert [somebody.act() for _ in range(10)] == [
        "eu: scaled widget-1 to 2",
        "us: scaled widget-1 to 2",
        "eu: created extra-1",
        "us: created extra-1",
        "eu: deleted the ConfigMap of widget-1",
        "us: deleted the ConfigMap of widget-1",
        "eu: deleted extra-1",
        "us: deleted extra-1",
        "eu: scaled widget-2 to 2",
        "us: scaled widget-2 to 2",
    ]
    assert fleet["eu"].of_kind("Widget") == [
        ("patch", "widget-1", {"replicas": 2}),
        ("create", "extra-1", {"image": "nginx:1.29"}),
        ("delete", "extra-1", None),
        ("patch", "widget-2", {"replicas": 2}),
    ]
    assert fleet["eu"].of_kind("ConfigMap") == [("delete", "widget-1", None)]


def test_a_widget_that_is_scaled_again_gets_another_size(fleet: dict[str, Recorder]) -> None:
    somebody = visitor({"eu": fleet["eu"]}, widgets=1)
    deeds = [somebody.act() for _ in range(4 * 5)]

    assert deeds[::4] == [f"eu: scaled widget-1 to {size}" for size in (2, 3, 4, 5, 2)]


def test_a_config_map_that_is_not_there_is_no_trouble(fleet: dict[str, Recorder]) -> None:
    fleet["eu"].refuse = lambda write: NotFound("gone", status=404) if gvk_of(write.kind).kind == "ConfigMap" else None
    somebody = visitor({"eu": fleet["eu"]})

    assert [somebody.act() for _ in range(3)][-1] == "eu: deleted the ConfigMap of widget-1"


def test_who_leaves_takes_the_extra_widgets_along(fleet: dict[str, Recorder]) -> None:
    somebody = visitor(fleet)
    for _ in range(3):
        somebody.act()
    somebody.leave()
    somebody.leave()

    assert fleet["eu"].of_kind("Widget")[-1] == ("delete", "extra-1", None)
    assert [verb for verb, _name, _spec in fleet["us"].of_kind("Widget")] == ["patch"]
