"""Runs the examples of docs/providers.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers import ProviderContext, catalogue
from kcontroller.testing.providers import Told

TEXT = (Path(__file__).parents[4] / "docs" / "providers.md").read_text(encoding="utf-8")


@pytest.fixture
def guide() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "docs/providers.md", "exec", dont_inherit=True), found)  # noqa: S102 - our own document
    return found


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
    from kcontroller.transport.config import Config  # noqa: PLC0415
    from kcontroller.transport.credentials import StaticCredentials  # noqa: PLC0415

    manager = guide["manager"](Config("https://hub.test", StaticCredentials()))
    assert manager._parts.provider.name == "union"
    manager.stop()


@pytest.mark.parametrize("name", ["file", "kubeconfig", "static"])
def test_every_option_stands_in_the_guide(name: str) -> None:
    section = re.split(r"\n## ", TEXT)
    (text,) = [part for part in section if part.startswith(f"`{name}`")]
    for option in catalogue.find(name).options:
        assert re.search(rf"`{option.name}`|{option.name}=|--{option.name} ", text), option.name
