from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from kcontroller.api import codec, conditions
from kcontroller.api.models import Condition, Model, Resource
from kcontroller.api.objects import Object
from kcontroller.errors import ModelMismatch
from tests.unit.api.kinds import body, meta, unstructured, widget

FORMS = pytest.mark.parametrize("make", [widget, unstructured])
Make = Callable[..., Any]

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Done",
    "message": "all is well",
    "observedGeneration": 3,
    "lastTransitionTime": OLD,
}
OTHER = {"type": "Other", "status": "False", "reason": "No", "message": "", "lastTransitionTime": OLD}


def stored(obj: Any) -> list[dict[str, Any]]:
    """The conditions as they would be sent."""
    result: list[dict[str, Any]] = codec.changed(obj)[1].get("status", {}).get("conditions", [])
    return result


def set_ready(obj: Any, **changes: Any) -> bool:
    wanted = {"status": True, "reason": "Done", "message": "all is well", "observed_generation": 3, **changes}
    return conditions.set(obj, "Ready", wanted.pop("status"), now=NOW, **wanted)


@FORMS
@pytest.mark.parametrize(
    ("changes", "differs", "moved"),
    [  # What SetStatusCondition compares, and what it does then.
        ({}, {}, False),
        ({"reason": "Better"}, {"reason": "Better"}, False),
        ({"message": "text"}, {"message": "text"}, False),
        ({"message": ""}, {"message": ""}, False),
        ({"observed_generation": 4}, {"observedGeneration": 4}, False),
        ({"status": False}, {"status": "False"}, True),
        ({"status": None}, {"status": "Unknown"}, True),
        ({"status": "False", "reason": "Bad"}, {"status": "False", "reason": "Bad"}, True),
        ({"status": "True"}, {}, False),
    ],
)
def test_a_present_condition_is_compared_and_copied(
    make: Make, changes: dict[str, Any], differs: dict[str, Any], *, moved: bool
) -> None:
    obj = make(status={"conditions": [OTHER, READY]})
    assert set_ready(obj, **changes) is bool(differs)
    expected = {**READY, **differs, "lastTransitionTime": NEW if moved else OLD}
    assert stored(obj) == [OTHER, expected]
    assert set_ready(obj, **changes) is False


@FORMS
@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"conditions": []}, {"conditions": [OTHER]}])
def test_an_absent_condition_is_appended_with_the_time(make: Make, status: Any) -> None:
    obj = make(status=status)
    assert set_ready(obj)
    assert stored(obj)[-1] == {**READY, "lastTransitionTime": NEW}
    assert len(stored(obj)) == 1 + len((status or {}).get("conditions") or [])


@FORMS
def test_without_a_time_the_wall_clock_counts(make: Make) -> None:
    obj = make()
    conditions.set(obj, "Ready", True, reason="Done")
    since = datetime.fromisoformat(stored(obj)[0]["lastTransitionTime"])
    assert abs(datetime.now(UTC) - since) < timedelta(minutes=1)


@FORMS
def test_a_time_of_another_zone_is_written_in_utc(make: Make) -> None:
    obj = make()
    conditions.set(obj, "Ready", True, reason="Done", now=NOW.astimezone(timezone(timedelta(hours=5))))
    assert stored(obj)[0]["lastTransitionTime"] == NEW


@FORMS
def test_the_generation_is_the_objects_own_unless_given(make: Make) -> None:
    obj = make(metadata=meta(generation=9))
    conditions.set(obj, "Ready", True, reason="Done")
    assert stored(obj)[0]["observedGeneration"] == 9
    without = make()
    conditions.set(without, "Ready", True, reason="Done")
    assert "observedGeneration" not in stored(without)[0]


@FORMS
def test_an_object_without_generation_takes_the_old_one_away(make: Make) -> None:
    obj = make(status={"conditions": [READY]})
    assert conditions.set(obj, "Ready", True, reason="Done", message="all is well")
    assert "observedGeneration" not in stored(obj)[0]


@FORMS
def test_a_reason_is_needed(make: Make) -> None:
    with pytest.raises(ValueError, match="condition Ready needs a reason"):
        conditions.set(make(), "Ready", True, reason="")


@FORMS
@pytest.mark.parametrize("status", ["true", "yes", "", "Ready", 5])
def test_another_word_than_the_three_is_refused(make: Make, status: Any) -> None:
    obj = make()
    with pytest.raises(ValueError, match="it is True, False or Unknown"):
        conditions.set(obj, "Ready", status, reason="R")
    assert stored(obj) == []


@FORMS
def test_a_condition_is_got_and_asked(make: Make) -> None:
    obj = make(status={"conditions": [OTHER, READY]})
    assert conditions.is_true(obj, "Ready")
    assert not conditions.is_true(obj, "Other")
    assert not conditions.is_true(obj, "Absent")
    assert conditions.get(obj, "Absent") is None
    assert conditions.get(obj, "Ready") == Condition(
        type="Ready",
        status="True",
        reason="Done",
        message="all is well",
        observed_generation=3,
        last_transition_time=OLD,
    )


@FORMS
def test_what_get_returns_is_a_copy(make: Make) -> None:
    obj = make(status={"conditions": [READY]})
    found = conditions.get(obj, "Ready")
    assert found is not None
    found.status = "False"
    assert stored(obj) == [READY]


@FORMS
def test_a_condition_is_removed_and_the_others_stay(make: Make) -> None:
    obj = make(status={"conditions": [OTHER, READY]})
    assert conditions.remove(obj, "Ready")
    assert not conditions.remove(obj, "Ready")
    assert stored(obj) == [OTHER]


@FORMS
def test_nothing_is_removed_from_an_object_without_status(make: Make) -> None:
    obj = make()
    assert not conditions.remove(obj, "Ready")
    assert codec.changed(obj)[0] == codec.changed(obj)[1]


@FORMS
def test_a_zero_time_that_go_writes_as_null_is_read(make: Make) -> None:
    obj = make(status={"conditions": [{**READY, "lastTransitionTime": None, "observedGeneration": None}]})
    assert conditions.is_true(obj, "Ready")
    assert set_ready(obj, status=False)
    assert stored(obj)[0]["lastTransitionTime"] == NEW


@FORMS
def test_fields_that_metav1_lacks_survive_in_every_condition(make: Make) -> None:
    obj = make(status={"conditions": [{**OTHER, "lastProbeTime": OLD}, {**READY, "severity": "Info"}]})
    assert set_ready(obj, status=False)
    assert stored(obj) == [
        {**OTHER, "lastProbeTime": OLD},
        {**READY, "severity": "Info", "status": "False", "lastTransitionTime": NEW},
    ]


def test_a_condition_without_status_is_told_by_its_path() -> None:
    obj = unstructured(status={"conditions": [{"type": "Ready"}, READY | {"type": "Fine"}]})
    assert conditions.is_true(obj, "Fine")
    with pytest.raises(ModelMismatch, match=r"status\.conditions"):
        conditions.get(obj, "Ready")


@pytest.mark.parametrize("entries", ["hunter2", ["hunter2"], {"a": "hunter2"}])
def test_conditions_of_the_wrong_type_are_told_without_their_content(entries: Any) -> None:
    with pytest.raises(ModelMismatch, match=r"status\.conditions") as caught:
        conditions.get(unstructured(status={"conditions": entries}), "Ready")
    assert "hunter2" not in str(caught.value)


class PlainStatus(Model):
    phase: str = ""


class Plain(Resource[PlainStatus, PlainStatus], group="example.com", version="v1", plural="plains"):
    pass


def test_a_status_without_conditions_is_told() -> None:
    with pytest.raises(TypeError, match=r"the status of Plain has no field 'conditions: list\[Condition\]'"):
        conditions.set(Plain.named("p"), "Ready", True, reason="Done")


class OwnCondition(Condition):
    severity: str = ""


class OwnStatus(Model):
    conditions: list[OwnCondition] | None = None


class Own(Resource[PlainStatus, OwnStatus], group="example.com", version="v1", plural="owns", kind="Widget"):
    pass


def test_a_condition_class_of_the_user_keeps_its_fields_and_its_class() -> None:
    obj = codec.decode(codec.encode(body(status={"conditions": [{**READY, "severity": "Info"}]})), Own)
    assert set_ready(obj) is False
    assert set_ready(obj, reason="Other")
    found = conditions.get(obj, "Ready")
    assert isinstance(found, OwnCondition)
    assert (found.severity, found.reason) == ("Info", "Other")


def test_a_list_that_is_none_is_an_empty_one() -> None:
    obj = Own.named("o")
    assert conditions.get(obj, "Ready") is None
    assert conditions.set(obj, "Ready", True, reason="Done")


def test_an_object_made_by_hand_takes_conditions() -> None:
    obj = Object({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    assert conditions.set(obj, "Ready", True, reason="Done", now=NOW)
    assert obj.get("status.conditions")[0]["type"] == "Ready"
