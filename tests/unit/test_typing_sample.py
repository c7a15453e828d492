"""The sample that mypy checks also runs."""

from __future__ import annotations

import pytest

from kcontroller import Builder
from kcontroller.api import codec
from tests.typing import sample


def test_the_sample_declares_what_it_watches() -> None:
    sample.WidgetReconciler().setup(Builder())


def test_the_sample_makes_an_object() -> None:
    assert codec.new_document(sample.made_by_hand())["spec"] == {"replicas": 1, "image": "nginx"}


def test_what_mypy_refuses_fails() -> None:
    with pytest.raises(TypeError):
        sample.mistakes()
