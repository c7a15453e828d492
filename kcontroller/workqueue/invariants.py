"""A way to state what must always hold, for the `check_invariants` of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def require(subject: str, facts: Mapping[str, bool]) -> None:
    """Raise AssertionError with the text of each fact that is false.

    (Not an assert statement, which ``python -O`` would remove.)
    """
    broken = [text for text, holds in facts.items() if not holds]
    if broken:
        raise AssertionError(f"{subject}: not true that " + "; ".join(broken))
