from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.curl import Trust
from kcontroller.transport.rotation import Rotation
from kcontroller.transport.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.transport.transfer import Owner, Transfer

OLD, NEW = Trust(b"old", None), Trust(b"new", None)


class LookedAtError(Exception):
    pass


class Running(dict[int, Any]):
    """Transfers at which nobody should look without need: there may be hundreds."""

    def values(self) -> NoReturn:
        raise LookedAtError


def test_only_a_trust_that_has_changed_lets_it_look_at_what_runs() -> None:
    clock = VirtualClock()
    rotation = Rotation(
        cast("Mapping[int, Transfer]", Running()),
        silence=30,
        timers=Timers(clock=clock),
        clock=clock,
        end=lambda _stream: None,
    )
    first, second = cast("Owner", object()), cast("Owner", object())
    rotation.began(first, OLD)
    rotation.began(second, NEW)
    rotation.began(first, OLD)

    with pytest.raises(LookedAtError):
        rotation.began(first, NEW)
