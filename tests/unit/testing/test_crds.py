from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.testing.crds import install_crds

if TYPE_CHECKING:
    from pathlib import Path


class Untouched:
    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        raise AssertionError


@pytest.mark.parametrize("text", ["a: [", "\x00", "kind: !secret x"])
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text(text)

    with pytest.raises(ValueError, match=r"crd\.yaml is no YAML"):
        install_crds(Untouched(), file)
