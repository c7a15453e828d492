from __future__ import annotations

from kcontroller.process.spelling import did_you_mean


def test_the_name_that_is_spelled_alike_is_named() -> None:
    assert did_you_mean("prot", ["stage", "prod"]) == ", did you mean 'prod'?"


def test_nothing_is_said_where_none_is_alike_or_too_many_are_known() -> None:
    assert did_you_mean("prot", ["stage"]) == ""
    assert did_you_mean("prot", [f"prod{number}" for number in range(1000)]) == ""
