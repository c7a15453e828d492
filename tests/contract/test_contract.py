"""Runs every case against the embedded API server, and against the real one where it is there."""

from __future__ import annotations

import pkgutil
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from tests.contract import parts
from tests.contract.cases import CASES, PARTS
from tests.contract.comparison import differences, known
from tests.contract.dialogue import transcript
from tests.contract.recorded_answers import REWRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.cases import Case
    from tests.contract.dialogue import Transcript
    from tests.contract.recorded_answers import RecordedAnswers
    from tests.contract.targets import Target

for _module in pkgutil.iter_modules(parts.__path__):
    import_module(f"{parts.__name__}.{_module.name}")

EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=str)
LASTING_CASES = pytest.mark.parametrize("case", [case for case in CASES.values() if not case.forgetful], ids=str)
FORGETFUL_CASES = pytest.mark.parametrize("case", [case for case in CASES.values() if case.forgetful], ids=str)
LEAST = 15


@EVERY_CASE
def test_the_embedded_server_answers_as_recorded(
    case: Case, embedded: Target, recorded: RecordedAnswers, record_property: Callable[[str, object], None]
) -> None:
    if recorded.rewriting:
        pytest.skip(f"{REWRITE} is set: the answers are being recorded")
    seen = transcript(case, embedded, may_break=True)
    found = list(differences(recorded.of(case), seen))
    listed = [row for row in known() if (row.part, row.case) == (case.part, case.name)]
    open_ = [difference for difference in found if not any(row.covers(difference) for row in listed)]
    stale = [row for row in listed if not any(row.covers(difference) for difference in found)]
    record_property("contract", (case.part, len(open_) + len(stale), len(listed)))
    assert not open_, f"{len(open_)} differences\n" + "\n".join(str(difference) for difference in open_)
    assert not stale, f"no longer different: take {', '.join(map(str, stale))} out of DIFFERENCES.md"


def compare(case: Case, recorded: RecordedAnswers, seen: Transcript) -> None:
    if recorded.rewriting:
        recorded.keep(case, seen)
        return
    found = list(differences(recorded.of(case), seen))
    assert not found, f"set {REWRITE}=1 if kube-apiserver changed\n" + "\n".join(map(str, found))


@LASTING_CASES
@pytest.mark.timeout(180)  # The first of them waits for all.
def test_the_recorded_answers_are_those_of_the_real_server(
    case: Case, real: Callable[[Case], Transcript], recorded: RecordedAnswers
) -> None:
    compare(case, recorded, real(case))


@FORGETFUL_CASES
@pytest.mark.long
def test_the_recorded_answers_are_those_of_a_real_server_that_forgets(
    case: Case, forgetful: Target, recorded: RecordedAnswers
) -> None:
    compare(case, recorded, transcript(case, forgetful))


def test_every_case_is_recorded_and_nothing_else(recorded: RecordedAnswers) -> None:
    if recorded.rewriting:
        pytest.skip(f"{REWRITE} is set: the answers are being recorded")
    assert recorded.names() == {(case.part, case.name) for case in CASES.values()}


def test_every_known_difference_is_one_of_a_case() -> None:
    cases = {(case.part, case.name) for case in CASES.values()}
    assert [str(row) for row in known() if (row.part, row.case) not in cases] == []


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_its_cases(part: str) -> None:
    assert Counter(case.part for case in CASES.values())[part] >= LEAST
