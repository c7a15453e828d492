from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller import Model, Object, Resource
from kcontroller.events import Reference, recorded
from kcontroller.events.recorded import MESSAGE_BYTES, clipped
from tests.unit.events.fakes import node, pod


class Widget(Resource[Model, Model], group="example.com", version="v1", plural="widgets"):
    pass


def test_an_event_holds_a_reference_of_the_object_and_nothing_else() -> None:
    obj = pod()
    event = recorded(obj, "Normal", "Scaled", "from 3 to 4", action="Scale")
    obj.metadata.name = "changed-later"

    assert event.regarding == Reference("v1", "Pod", "team", "a", "uid-a", "7")
    assert (event.type, event.reason, event.message, event.action) == ("Normal", "Scaled", "from 3 to 4", "Scale")
    assert str(event) == "Normal Scaled: from 3 to 4 (v1 Pod team/a)"


def test_a_typed_object_is_known_by_its_class() -> None:
    event = recorded(Widget.named("w", namespace="team"), "Warning", "Failed", "")

    assert str(event.regarding) == "example.com/v1 Widget team/w"
    assert event.action == "Failed"


def test_a_cluster_scoped_object_is_shown_without_a_namespace() -> None:
    assert str(recorded(node(), "Normal", "Ready", "").regarding) == "v1 Node n1"


@pytest.mark.parametrize(
    ("type_", "reason", "action", "text"),
    [
        ("Error", "Failed", "", "'Normal' or 'Warning', not 'Error'"),
        ("normal", "Failed", "", "not 'normal'"),
        ("Normal", "", "", "needs a reason"),
        ("Normal", "R" * 129, "", "the reason of an event has at most 128 bytes"),
        ("Normal", "ü" * 65, "", "the reason of an event has at most 128 bytes"),
        ("Normal", "Scaled", "A" * 129, "the action of an event has at most 128 bytes"),
    ],
)
def test_bad_input_is_refused_by_name(type_: str, reason: str, action: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        recorded(pod(), type_, reason, "m", action=action)


def test_an_object_that_was_not_created_has_no_events() -> None:
    unborn = Object({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-", "namespace": "team"}})

    with pytest.raises(ValueError, match="a Pod without a name; create it first"):
        recorded(unborn, "Normal", "Made", "m")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("plain", "plain"),
        ("two\n  lines\r\nor three\n", "two lines or three"),
        ("a\tb", "a b"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("half \ud83d a pair", "half \\ud83d a pair"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1021 + "..."),
        ("ü" * 513, "ü" * 510 + "..."),
        ("€" * 400, "€" * 340 + "..."),
    ],
)
def test_a_message_is_one_clean_line_of_bounded_length(message: str, shown: str) -> None:
    assert recorded(pod(), "Normal", "Said", message).message == shown


@given(st.text(alphabet=st.characters(codec=None), max_size=1500))
def test_no_message_is_too_long_or_has_half_a_character(text: str) -> None:
    line = clipped(text)

    assert len(line.encode()) <= MESSAGE_BYTES
    assert clipped(line) == line
