from __future__ import annotations

from kcontroller.transport.gate import ConnectGate


def test_the_first_are_admitted_at_once_and_the_others_in_their_order() -> None:
    gate = ConnectGate(limit=2)
    told: list[str] = []
    first, second, third, fourth = (gate.enter(lambda name=name: told.append(name)) for name in "abcd")
    assert [place.admitted for place in (first, second, third, fourth)] == [True, True, False, False]

    second.leave()

    assert (third.admitted, fourth.admitted, told) == (True, False, ["c"])


def test_leaving_twice_frees_one_place() -> None:
    gate = ConnectGate(limit=1)
    first, second, third = (gate.enter(lambda: None) for _ in range(3))

    first.leave()
    first.leave()

    assert (second.admitted, third.admitted) == (True, False)


def test_one_that_leaves_the_line_is_passed_over() -> None:
    gate = ConnectGate(limit=1)
    first, second, third = (gate.enter(lambda: None) for _ in range(3))

    second.leave()
    first.leave()

    assert (second.admitted, third.admitted) == (False, True)


def test_a_place_left_with_no_line_admits_the_next_to_come() -> None:
    gate = ConnectGate(limit=1)
    gate.enter(lambda: None).leave()

    assert gate.enter(lambda: None).admitted
