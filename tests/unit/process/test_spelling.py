from __future__ import annotations

from kcontroller.process.spelling import did_you_mean, meant_or_known


def test_the_name_that_is_spelled_alike_is_named() -> None:
    assert did_you_mean("prot", ["stage", "prod"]) == ", did you mean 'prod'?"


def test_nothing_is_said_where_none_is_alike_or_too_many_are_known() -> None:
    assert did_you_mean("prot", ["stage"]) == ""
    assert did_you_mean("prot", [f"prod{number}" for number in range(1000)]) == ""


def test_where_none_is_alike_the_first_ten_are_named_and_the_others_counted() -> None:
    assert meant_or_known("prot", ["stage", "prod"]) == ", did you mean 'prod'?"
    assert meant_or_known("x", ["stage"]) == "; there is stage"
    assert meant_or_known("x", []) == "; there are none yet"
    names = [f"prod{number:04}" for number in range(1511)]
    assert meant_or_known("x", names) == f"; there are {', '.join(names[:10])} and 1,501 more"
