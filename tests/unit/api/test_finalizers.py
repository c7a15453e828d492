from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kcontroller.api import codec, finalizers
from kcontroller.errors import FinalizerOnDeleting
from tests.unit.api.kinds import meta, unstructured, widget

FORMS = pytest.mark.parametrize("make", [widget, unstructured])
Make = Callable[..., Any]


@FORMS
def test_a_finalizer_is_added_once_and_removed_once(make: Make) -> None:
    obj = make()
    assert finalizers.add(obj, "a/f")
    assert not finalizers.add(obj, "a/f")
    assert finalizers.has(obj, "a/f")
    assert codec.changed(obj)[1]["metadata"]["finalizers"] == ["a/f"]
    assert finalizers.remove(obj, "a/f")
    assert not finalizers.remove(obj, "a/f")
    assert codec.changed(obj)[0] == codec.changed(obj)[1]


@FORMS
def test_the_finalizers_of_others_stay_in_their_order(make: Make) -> None:
    obj = make(metadata=meta(finalizers=["x", "a/f", "y"]))
    finalizers.remove(obj, "a/f")
    finalizers.add(obj, "b/f")
    assert obj.metadata.finalizers == ["x", "y", "b/f"]


@FORMS
def test_an_object_being_deleted_gets_no_finalizer_but_can_lose_one(make: Make) -> None:
    obj = make(metadata=meta(finalizers=["a/f"], deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not finalizers.add(obj, "a/f")
    with pytest.raises(FinalizerOnDeleting, match="cannot add finalizer b/f to w: its deletion has begun"):
        finalizers.add(obj, "b/f")
    assert finalizers.remove(obj, "a/f")


@FORMS
def test_a_list_of_null_is_an_empty_one(make: Make) -> None:
    obj = make(metadata=meta(finalizers=None))
    assert not finalizers.has(obj, "a")
    assert not finalizers.remove(obj, "a")
    assert finalizers.add(obj, "a")
