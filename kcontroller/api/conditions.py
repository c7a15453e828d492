"""Conditions, by the rules of apimachinery's meta.SetStatusCondition.

They change the object in memory; send them with ``ctx.client.status.patch(obj)``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from kcontroller.api.models import Condition
from kcontroller.api.objects import Object, without_none

if TYPE_CHECKING:
    from kcontroller.api.objects import KubeObject

_WORDS = {True: "True", False: "False", None: "Unknown"}


def set(  # noqa: A001 - read as conditions.set
    obj: KubeObject,
    type_: str,
    status: bool | str | None,  # noqa: FBT001 - conditions.set(obj, "Ready", True) is how the call should read
    *,
    reason: str,
    message: str = "",
    observed_generation: int | None = None,
    now: datetime | None = None,
) -> bool:
    """Set a condition; returns whether anything changed.

    The transition time moves only when the status does. Reason, message and observed generation are compared and
    copied; the order of the list stays.

    Args:
        obj: an `Object`, or a `Resource` whose status has ``conditions: list[Condition]``.
        type_: the condition's type, such as ``Ready``.
        status: True, False, None for Unknown, or the word itself.
        reason: a CamelCase word; the API requires one.
        message: text for people.
        observed_generation: the generation this says something about; the object's own unless given.
        now: the transition time where the status changes; the wall clock unless given.

    Raises:
        ValueError: the reason is empty, which the API refuses for standard conditions.
    """
    if not reason:
        msg = f"condition {type_} needs a reason, one CamelCase word"
        raise ValueError(msg)
    word = status if isinstance(status, str) else _WORDS[status]
    generation = obj.metadata.generation if observed_generation is None else observed_generation
    current = get(obj, type_)
    moved = current is None or current.status != word
    since = _rfc3339(now or datetime.now(UTC)) if moved or current is None else current.last_transition_time
    wanted = Condition(
        type=type_,
        status=word,
        reason=reason,
        message=message,
        observed_generation=generation or None,
        last_transition_time=since,
    )
    if wanted == current:
        return False
    _store(obj, wanted)
    return True


def get(obj: KubeObject, type_: str) -> Condition | None:
    """Return a copy of the condition of that type, or None."""
    return next((each for each in _conditions(obj) if each.type == type_), None)


def is_true(obj: KubeObject, type_: str) -> bool:
    """Whether the condition is there and its status is True."""
    condition = get(obj, type_)
    return condition is not None and condition.status == "True"


def remove(obj: KubeObject, type_: str) -> bool:
    """Remove a condition; returns whether it was there."""
    current = _conditions(obj)
    kept = [each for each in current if each.type != type_]
    if len(kept) == len(current):
        return False
    _write(obj, kept)
    return True


def _conditions(obj: KubeObject) -> list[Condition]:
    if isinstance(obj, Object):
        return msgspec.convert(obj.get("status.conditions", []), list[Condition])
    status: Any = getattr(obj, "status", None)
    if not hasattr(status, "conditions"):
        msg = f"the status of {obj.gvk.kind} has no field 'conditions: list[Condition]'"
        raise TypeError(msg)
    return list(status.conditions)


def _store(obj: KubeObject, wanted: Condition) -> None:
    current = _conditions(obj)
    if any(each.type == wanted.type for each in current):
        _write(obj, [wanted if each.type == wanted.type else each for each in current])
    else:
        _write(obj, [*current, wanted])


def _write(obj: KubeObject, conditions: list[Condition]) -> None:
    if isinstance(obj, Object):
        obj.status["conditions"] = [without_none(msgspec.to_builtins(each)) for each in conditions]
    else:
        obj.status.conditions = conditions  # type: ignore[attr-defined]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
