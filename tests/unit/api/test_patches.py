from __future__ import annotations

import json

import pytest

from kcontroller.api import patches


@pytest.mark.parametrize(
    ("make", "content_type"),
    [
        (patches.merge, "application/merge-patch+json"),
        (patches.strategic, "application/strategic-merge-patch+json"),
        (patches.apply, "application/apply-patch+yaml"),
    ],
)
def test_a_patch_says_how_the_server_reads_it(make: object, content_type: str) -> None:
    patch = make({"spec": {"a": None}})  # type: ignore[operator]
    assert patch.content_type == content_type
    assert json.loads(patch.body) == {"spec": {"a": None}}


def test_a_json_patch_is_a_list_of_operations() -> None:
    patch = patches.json([{"op": "remove", "path": "/spec/a"}])
    assert patch.content_type == "application/json-patch+json"
    assert json.loads(patch.body) == [{"op": "remove", "path": "/spec/a"}]
