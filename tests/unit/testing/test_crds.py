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


class Hesitant:
    """A server that takes a definition and serves it bit by bit: first its objects, then discovery."""

    def __init__(self) -> None:
        self.discovery: list[tuple[int, Any]] = [
            (404, "404 page not found\n"),
            (200, {"resources": []}),
            (200, {"resources": [{"kind": "Widget"}]}),
        ]

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        if method == "POST":
            return 201, {}
        return self.discovery.pop(0) if path == "/apis/example.com/v1" else (200, {})


def test_it_waits_until_discovery_names_the_kind() -> None:
    server = Hesitant()
    names = {"plural": "widgets", "kind": "Widget"}
    document = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": names, "versions": [{"name": "v1", "served": True}]},
    }

    install_crds(server, document)

    assert server.discovery == []
