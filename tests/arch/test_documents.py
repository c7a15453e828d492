"""What the documents say is true: examples run, files and links exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kcontroller import Reconciler
from kcontroller.controller.builder import Builder

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def plugin() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(python_blocks(ROOT / "README.md")[0], "README.md", "exec"), names)  # noqa: S102 - our own document
    return names


def test_the_plugin_of_the_readme_is_a_reconciler(plugin: dict[str, Any]) -> None:
    reconciler = plugin["WidgetReconciler"]()
    assert isinstance(reconciler, Reconciler)
    builder = Builder()
    reconciler.setup(builder)
    declarations, _indexes, _options = builder.build()
    assert [str(each.kind) for each in declarations if isinstance(each.kind, str)] == ["v1 ConfigMap"]
    assert str(builder.reconciled) == "example.com/v1 Widget"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


def test_every_file_that_the_walk_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]+\.py\b", text))
    assert len(named) > 20
    places = (ROOT, ROOT / "kcontroller")
    assert sorted(name for name in named if not any((place / name).exists() for place in places)) == []


def test_every_dependency_has_its_reason() -> None:
    installed = re.search(r"install_requires =\n(.*?)\n\n", (ROOT / "setup.cfg").read_text(encoding="utf-8"), re.DOTALL)
    assert installed is not None
    names = re.findall(r"^ +([A-Za-z][\w.-]*)", installed[1], re.MULTILINE)
    reasons = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert len(names) >= 8
    assert [name for name in names if f"| `{name}` |" not in reasons] == []
