"""Runs every example of docs/reconcilers.md: its functions become tests of this module."""

from __future__ import annotations

import re
from inspect import isfunction
from pathlib import Path
from typing import get_args

from kcontroller.client.upserts import Upsert
from kcontroller.controller import predicates

GUIDE = Path(__file__).parents[3] / "docs" / "reconcilers.md"
TEXT = GUIDE.read_text(encoding="utf-8")

for block in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
    # Lines before it keep the line numbers of the document in tracebacks.
    source = "\n" * TEXT.count("\n", 0, block.start(1)) + block[1]
    exec(compile(source, str(GUIDE), "exec", dont_inherit=True))  # noqa: S102 - our own document


def test_every_outcome_of_an_upsert_is_in_the_guide() -> None:
    assert [name for name in get_args(Upsert) if f'`"{name}"`' not in TEXT] == []


def test_every_predicate_is_in_the_guide() -> None:
    made = [
        name for name, each in vars(predicates).items() if isfunction(each) and each.__module__ == predicates.__name__
    ]

    assert len(made) > 5
    assert [name for name in made if f"`{name}(" not in TEXT] == []
