"""Runs the examples of docs/providers.md and docs/milo.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kcontroller
from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers import ProviderContext, catalogue
from kcontroller.testing.providers import Told
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

DOCS = Path(__file__).parents[4] / "docs"
TEXT = (DOCS / "providers.md").read_text(encoding="utf-8")
HUB = Config("https://hub.test", StaticCredentials())


def examples(document: str) -> dict[str, Any]:
    """Run them, one after the other; gives what they have named."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / document).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, document, "exec", dont_inherit=True), found)  # noqa: S102 - our own document
    return found


@pytest.fixture
def guide() -> dict[str, Any]:
    return examples("providers.md")


def test_the_provider_of_the_guide_tells_what_its_options_name(
    guide: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVENTORY_TOKEN", "t")
    kind, told = guide["PROVIDER"], Told()
    values = kind.parsed("inventory", [("names", "eu,us"), ("domain", "example.com")])
    kind.make(values, ProviderContext()).start(told, hub=None)

    assert told.said == ["eu", "us", "(listed)"]
    assert told.clusters["us"].config.server == "https://us.example.com"
    with pytest.raises(ConfigError, match="provider inventory needs option names: their names; a comma list"):
        kind.parsed("inventory", [])


def test_the_union_of_the_guide_can_be_made(guide: dict[str, Any]) -> None:
    manager = guide["manager"](HUB)
    assert manager._parts.provider.name == "union"
    manager.stop()


def test_what_the_guide_of_milo_shows_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kcontroller, "load_config", lambda **_where: HUB)
    manager = examples("milo.md")["manager"]
    assert manager._parts.provider.name == "milo"
    manager.stop()


@pytest.mark.parametrize("name", ["file", "kubeconfig", "static"])
def test_every_option_stands_in_the_guide(name: str) -> None:
    section = re.split(r"\n## ", TEXT)
    (text,) = [part for part in section if part.startswith(f"`{name}`")]
    for option in catalogue.find(name).options:
        assert re.search(rf"`{option.name}`|{option.name}=|--{option.name} ", text), option.name
