"""Conditions, by the rules of apimachinery's meta.SetStatusCondition.

They change the object in memory; send them with ``ctx.client.status.patch(obj)``.
"""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from kcontroller.api.models import Condition
from kcontroller.api.objects import Object, converted, without_none

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
        observed_generation: the generation this says something about; the object's own unless given, 0 for conditions
            that have none (a Deployment's).
        now: the transition time where the status changes; the wall clock unless given.

    Raises:
        ValueError: the reason is empty, which the API refuses for standard conditions, or the status another word.
        TypeError: the status type of a `Resource` has no conditions.
    """
    if not reason:
        msg = f"condition {type_} needs a reason, one CamelCase word"
        raise ValueError(msg)
    word = status if isinstance(status, str) else _WORDS.get(status, str(status))
    if word not in _WORDS.values():
        msg = f"condition {type_} cannot have status {word[:40]!r}; it is True, False or Unknown"
        raise ValueError(msg)
    generation = obj.metadata.generation if observed_generation is None else observed_generation
    current = get(obj, type_)
    if current is None or current.status != word:
        since = _rfc3339(now or datetime.now(UTC))
    else:
        since = current.last_transition_time
    # A replaced copy keeps the fields of a user's own subclass.
    wanted = msgspec.structs.replace(
        current or Condition(type=type_, status=word),
        status=word,
        reason=reason,
        message=message,
        observed_generation=generation or None,
        last_transition_time=since,
    )
    if wanted == current:
        return False
    _put(obj, wanted)
    return True


def get(obj: KubeObject, type_: str) -> Condition | None:
    """Return a copy of the condition of that type, or None."""
    entries = _entries(obj)
    place = _place(entries, type_)
    return None if place is None else _as_condition(entries[place])


def is_true(obj: KubeObject, type_: str) -> bool:
    """Whether the condition is there and its status is True."""
    condition = get(obj, type_)
    return condition is not None and condition.status == "True"


def remove(obj: KubeObject, type_: str) -> bool:
    """Remove a condition; returns whether it was there."""
    entries = _entries(obj)
    kept = [each for each in entries if _type_of(each) != type_]
    if len(kept) == len(entries):
        return False
    _write(obj, kept)
    return True


def _put(obj: KubeObject, wanted: Condition) -> None:
    entries = list(_entries(obj))
    place = _place(entries, wanted.type)
    entry: Any = wanted
    if isinstance(obj, Object):
        # Fields that metav1.Condition lacks, such as a pod's lastProbeTime, stay; ours that are None go.
        old = {} if place is None else entries[place]
        entry = without_none({**old, **msgspec.to_builtins(wanted)})
    if place is None:
        entries.append(entry)
    else:
        entries[place] = entry
    _write(obj, entries)


def _entries(obj: KubeObject) -> list[Any]:
    """The conditions: dictionaries in an `Object`, models in a `Resource`."""
    if isinstance(obj, Object):
        return converted(obj.get("status.conditions", []), list[dict[str, Any]], "status.conditions")
    status: Any = getattr(obj, "status", None)
    if not hasattr(status, "conditions"):
        msg = f"the status of {obj.gvk.kind} has no field 'conditions: list[Condition]'"
        raise TypeError(msg)
    return status.conditions or []


def _type_of(entry: Any) -> Any:
    return entry.get("type") if isinstance(entry, dict) else entry.type


def _place(entries: list[Any], type_: str) -> int | None:
    return next((place for place, each in enumerate(entries) if _type_of(each) == type_), None)


def _as_condition(entry: Any) -> Condition:
    if isinstance(entry, dict):
        return converted(without_none(entry), Condition, "status.conditions[...]")
    condition: Condition = copy(entry)
    return condition


def _write(obj: KubeObject, entries: list[Any]) -> None:
    if isinstance(obj, Object):
        obj.status["conditions"] = entries
    else:
        obj.status.conditions = entries  # type: ignore[attr-defined]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
