"""Runs every example of docs/reconcilers.md: its functions become tests of this module."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from kcontroller.client.upserts import Upsert

GUIDE = Path(__file__).parents[3] / "docs" / "reconcilers.md"
TEXT = GUIDE.read_text(encoding="utf-8")

for block in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
    # Lines before it keep the line numbers of the document in tracebacks.
    source = "\n" * TEXT.count("\n", 0, block.start(1)) + block[1]
    exec(compile(source, str(GUIDE), "exec", dont_inherit=True))  # noqa: S102 - our own document


def test_every_outcome_of_an_upsert_is_in_the_guide() -> None:
    assert [name for name in get_args(Upsert) if f'`"{name}"`' not in TEXT] == []
