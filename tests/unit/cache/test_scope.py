from __future__ import annotations

from typing import Any

import pytest

from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.scope import Holding, Scope


def test_the_order_in_which_things_are_named_means_nothing() -> None:
    one = Holding.of(namespaces=["b", "a", "b"], drop=["spec.y", "spec.x"], labels="a=b")
    other = Holding.of(namespaces=("a", "b"), drop=("spec.x", "spec.y"), labels={"a": "b"})

    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"namespaces": "default"}, r"namespaces takes a list, such as \['default'\]"),
        ({"namespaces": [""]}, "namespaces are names"),
        ({"drop": "spec.x"}, "drop takes a list"),
        ({"drop": ["spec..x"]}, "'spec..x' is not a path to drop"),
        ({"drop": ["metadata.uid"]}, "'metadata.uid' cannot be dropped: controllers go by it"),
        ({"drop": ["metadata"]}, "'metadata' cannot be dropped"),
        ({"labels": "a in"}, "label selector 'a in' is malformed"),
        ({"fields": "spec"}, "field selector 'spec' is malformed"),
    ],
)
def test_what_makes_no_sense_is_named(given: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        Holding.of(**given)


def test_it_says_what_it_leaves_out() -> None:
    holding = Holding.of(namespaces=["a"], labels="x=y", fields="metadata.name=n", metadata_only=True, drop=["spec"])

    assert str(holding) == "in a, with labels x=y, with fields metadata.name=n, metadata only, without spec"
    assert str(Holding()) == ""


def test_each_namespace_is_a_scope_with_the_same_selectors() -> None:
    labels = LabelSelector.parse("a=b")

    assert Holding(labels=labels).scopes(("x", "y")) == (Scope("x", labels), Scope("y", labels))
    assert Holding().scopes(()) == (Scope(),)
    assert Holding(labels=labels).scopes(())[0].selective
    assert not Scope("x").selective


@pytest.mark.parametrize(
    ("holding", "path", "known"),
    [
        (Holding(), "spec.x", True),
        (Holding(metadata_only=True), "spec.x", False),
        (Holding(metadata_only=True), "metadata.labels.x", True),
        (Holding(drop=("spec",)), "spec.x", False),
        (Holding(drop=("spec.x",)), "spec.xy", True),
    ],
)
def test_an_index_needs_its_path(holding: Holding, path: str, known: bool) -> None:  # noqa: FBT001
    assert holding.keeps(path) is known
