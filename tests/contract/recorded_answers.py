"""The transcripts that a real kube-apiserver gave, kept in ``recorded/``, one file per part."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kcontroller.testing.binaries import KUBERNETES_VERSION
from tests.contract.cases import CASES, PARTS

if TYPE_CHECKING:
    from tests.contract.cases import Case

REWRITE: Final = "KC_REWRITE_CONTRACT"
_FOLDER: Final = Path(__file__).with_name("recorded")


class RecordedAnswers:
    """What kube-apiserver said in each case; with ``KC_REWRITE_CONTRACT=1`` it is asked and written anew."""

    def __init__(self) -> None:
        self.rewriting = bool(os.environ.get(REWRITE))
        self.version = KUBERNETES_VERSION
        self._parts: dict[str, dict[str, Any]] = {}
        for part in PARTS:
            document = json.loads(_file(part).read_text(encoding="utf-8")) if _file(part).exists() else {}
            self._parts[part] = document.get("cases", {})
            self.version = document.get("kubernetes", self.version)

    def names(self) -> set[tuple[str, str]]:
        """Part and name of every case that is recorded."""
        return {(part, name) for part, cases in self._parts.items() for name in cases}

    def of(self, case: Case) -> list[dict[str, Any]]:
        """Give the transcript of a case; empty if there is none."""
        exchanges: list[dict[str, Any]] = self._parts[case.part].get(case.name, [])
        return exchanges

    def keep(self, case: Case, exchanges: list[dict[str, Any]]) -> None:
        """Replace the transcript of a case, in memory."""
        self._parts[case.part][case.name] = exchanges

    def write(self) -> None:
        """Write all files, without the cases that are gone."""
        _FOLDER.mkdir(exist_ok=True)
        for part in PARTS:
            cases = {case.name: self.of(case) for case in CASES.values() if case.part == part and self.of(case)}
            _file(part).write_text(_lines(cases), encoding="utf-8")


def _file(part: str) -> Path:
    return _FOLDER / f"{re.sub('[^a-z]+', '-', part.lower())}.json"


def _lines(cases: dict[str, list[dict[str, Any]]]) -> str:
    """Write one exchange per line, so that a change of one answer is a change of one line."""
    written = []
    for name, exchanges in sorted(cases.items()):
        lines = ",\n".join(json.dumps(exchange, sort_keys=True, ensure_ascii=False) for exchange in exchanges)
        written.append(f"{json.dumps(name)}: [\n{lines}\n]")
    body = ",\n".join(written)
    return f'{{"kubernetes": "{KUBERNETES_VERSION}", "cases": {{\n{body}\n}}}}\n'
