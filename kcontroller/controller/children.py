"""The objects that one object owns, as a set."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcontroller.controller.context import Context


class Children:
    """What the request's object owns.

    Args:
        ctx: of the reconcile.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
