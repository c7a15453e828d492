"""Rows 43 to 45 of the conformance list: what controllers rely on in the client and its helpers.

Row 43's other half, the namespace that no informer watches, is a matter of the cache.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kcontroller.api import conditions
from kcontroller.api.codec import encode
from kcontroller.api.keys import Key
from kcontroller.client.client import Client
from kcontroller.client.writes import Ports
from kcontroller.errors import NotFound
from tests.unit.api.kinds import Widget, body, unstructured, widget
from tests.unit.client.servers import MemoryServer

KEY = Key("default", "w")
KINDS = pytest.mark.parametrize("kind", [Widget, "example.com/v1 Widget"])


@KINDS
def test_43_an_absent_object_is_not_found(kind: Any) -> None:
    client = MemoryServer(body()).client
    with pytest.raises(NotFound):
        client.get(kind, Key("default", "absent"))
    assert client.get_or_none(kind, Key("default", "absent")) is None
    assert client.get_or_none(kind, KEY) is not None


class BytesReader:
    """What a cache does: hand out the same immutable bytes again and again."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def get(self, *_: object) -> bytes:
        return self.raw

    def list(self, *_: object) -> list[bytes]:
        return [self.raw]


@KINDS
def test_44_changing_what_get_or_list_returned_does_not_alter_the_cache(kind: Any) -> None:
    raw = encode(body(spec={"replicas": 1, "args": ["a"]}, status={"conditions": []}))
    reader: Any = BytesReader(raw)
    client = Client(Ports(reader, reader, MemoryServer()))
    for read in (lambda: client.get(kind, KEY), lambda: client.list(kind)[0]):
        obj = read()
        obj.metadata.labels["a"] = "b"
        obj.metadata.finalizers.append("f")
        conditions.set(obj, "Ready", True, reason="Done")
        if kind is Widget:
            obj.spec.args.append("b")
        else:
            obj["spec"]["args"].append("b")
        fresh = read()
        assert fresh.metadata.labels == {}
        assert fresh.metadata.finalizers == []
        assert conditions.get(fresh, "Ready") is None
        assert (fresh.spec.args if kind is Widget else fresh["spec"]["args"]) == ["a"]
    assert reader.raw == encode(body(spec={"replicas": 1, "args": ["a"]}, status={"conditions": []}))


@pytest.mark.parametrize("make", [widget, unstructured])
def test_45_the_transition_time_stays_when_only_the_reason_changes(make: Any) -> None:
    obj = make()
    first, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert conditions.set(obj, "Ready", False, reason="Starting", now=first)
    assert conditions.set(obj, "Ready", False, reason="Pulling", now=later)
    found = conditions.get(obj, "Ready")
    assert found is not None
    assert (found.reason, found.last_transition_time) == ("Pulling", "2026-01-01T00:00:00Z")
    assert conditions.set(obj, "Ready", True, reason="Pulling", now=later)
    moved = conditions.get(obj, "Ready")
    assert moved is not None
    assert moved.last_transition_time == "2026-01-02T00:00:00Z"
