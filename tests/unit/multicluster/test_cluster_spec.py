from __future__ import annotations

from dataclasses import replace

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster import ClusterSpec, Source
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

SPEC = ClusterSpec("p1", Config("https://one.test", StaticCredentials()), "1")


def test_labels_source_and_weight_do_not_belong_to_the_identity() -> None:
    project = Source("example.com/v1", "Project", "p1", uid="1")
    other = replace(SPEC, labels=(("env", "test"),), source=project, weight=3)

    assert other != SPEC
    assert other.identity == SPEC.identity
    assert str(project) == "example.com/v1 Project p1"


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, uid="2"),
        replace(SPEC, namespaces=("a",)),
        replace(SPEC, config=Config("https://two.test", StaticCredentials())),
        replace(SPEC, config=Config("https://one.test", StaticCredentials("Bearer x"))),
    ],
)
def test_uid_namespaces_and_configuration_do(other: ClusterSpec) -> None:
    assert other.identity != SPEC.identity


def test_labels_have_one_order() -> None:
    assert replace(SPEC, labels=(("b", "2"), ("a", "1"))) == replace(SPEC, labels=(("a", "1"), ("b", "2")))


def test_a_weight_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="cluster 'p1' cannot have weight 0; give at least 1"):
        replace(SPEC, weight=0)
