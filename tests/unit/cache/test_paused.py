from __future__ import annotations

import json
from typing import Any

import pytest

from kcontroller.api.keys import GVK
from kcontroller.api.marks import PAUSED
from kcontroller.cache.projection import Projection

CONFIG_MAP = GVK("", "v1", "ConfigMap")


def document(**annotations: str) -> bytes:
    metadata: dict[str, Any] = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "5"}
    return json.dumps({"metadata": {**metadata, "annotations": annotations}, "data": {}}).encode()


@pytest.mark.parametrize(
    "projection",
    [
        Projection(CONFIG_MAP),
        Projection(CONFIG_MAP, metadata_only=True),
        Projection(CONFIG_MAP, compress=True),
        Projection(CONFIG_MAP, drop=("data",)),
        Projection(CONFIG_MAP, drop=("metadata.annotations",)),
        Projection(CONFIG_MAP, drop=(r"metadata.annotations.kcontroller\.dev/paused",)),
    ],
    ids=["whole", "metadata only", "compressed", "without data", "without annotations", "without this annotation"],
)
@pytest.mark.parametrize(("value", "paused"), [("true", "true"), ("", "true"), ("false", ""), ("a,b", "a,b")])
def test_an_entry_knows_its_pause_whatever_is_kept_of_the_object(
    projection: Projection, value: str, paused: str
) -> None:
    assert projection.entry(document(**{PAUSED: value, "other": "x"})).paused == paused
    assert projection.entry(document(other="x")).paused == ""
    assert projection.again(projection.entry(document(**{PAUSED: value}))).paused == paused
