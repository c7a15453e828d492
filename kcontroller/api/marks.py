"""What an annotation on an object tells its controllers."""

from __future__ import annotations

from typing import Final

PAUSED: Final = "kcontroller.dev/paused"
"""While an object has it, its controllers leave it alone: "true" for all of them, or names with commas between them."""

_NOT: Final = "false"


def paused_by(value: str | None) -> str:
    """Bring a value of `PAUSED` to one form: "" for not at all, "true" for all controllers, else their names.

    It pauses by being there, as Cluster API's does, and by ``true``, as Crossplane's: who stops something in a hurry
    should not have to know which. Only ``false`` does not.
    """
    if value is None:
        return ""
    value = value.strip()
    if value.lower() in {"", "true"}:
        return "true"
    return "" if value.lower() == _NOT else value


def pauses(value: str, controller: str) -> bool:
    """Whether a value of one form (`paused_by`) pauses this controller."""
    return value == "true" or controller in map(str.strip, value.split(","))
