"""Runs every example of docs/testing.md: its functions become tests of this module."""

from __future__ import annotations

import re
from pathlib import Path

import kcontroller.testing as kit

GUIDE = Path(__file__).parents[3] / "docs" / "testing.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL))

for block in BLOCKS:
    # Lines before it keep the line numbers of the document in tracebacks.
    source = "\n" * TEXT.count("\n", 0, block.start(1)) + block[1]
    exec(compile(source, str(GUIDE), "exec", dont_inherit=True))  # noqa: S102 - our own document


def test_there_is_an_example_for_every_fixture() -> None:
    examples = "".join(block[1] for block in BLOCKS)
    fixtures = re.findall(r"@pytest\.fixture[^\n]*\ndef (\w+)", Path(kit.__path__[0], "plugin.py").read_text("utf-8"))

    assert len(fixtures) == 10
    assert [name for name in fixtures if name not in examples and name != "control_plane"] == []


def test_every_name_of_the_kit_is_in_the_guide() -> None:
    assert [name for name in kit.__all__ if name not in TEXT and name not in kit.__doc__] == []
