"""What is no object, and what the one line about it says."""

from __future__ import annotations

from typing import Any

import pytest

from kcontroller.api.given import check_key, check_object, check_objects
from kcontroller.api.keys import GVK, Key
from kcontroller.api.models import Model, Resource
from kcontroller.api.objects import Object
from tests.unit.api.kinds import Widget, WidgetSpec, WidgetStatus, unstructured, widget

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": "web"}}


class Unnamed(Resource[WidgetSpec, WidgetStatus]):
    """A kind that does not say its group."""


class Spec(Model):
    """A part of an object."""


@pytest.mark.parametrize("obj", [widget(), unstructured(), Object({})])
def test_an_object_of_either_form_passes(obj: Any) -> None:
    check_object(obj, to="apply")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (CONFIG_MAP, "apply takes an object, not a dict: write Object(...) around <v1 ConfigMap default/web>"),
        ({"password": "hunter2"}, "apply takes an object, not a dict: write Object(...) around it"),
        ({"apiVersion": "v1", "kind": ["hunter2"]}, "apply takes an object, not a dict: write Object(...) around it"),
        ({**CONFIG_MAP, "metadata": "hunter2"}, "apply takes an object, not a dict: write Object(...) around it"),
        (None, "apply takes an object, not None, which get_or_none returns where there is no object"),
        ([unstructured()], "apply takes one object, not a list of them: call it for each"),
        ("hunter2", "apply takes an object, not a str: an Object, or one of a class of Resource"),
        (GVK("", "v1", "Pod"), "apply takes an object, not a GVK: an Object, or one of a class of Resource"),
        (Spec(), "apply takes an object, not a Spec: an Object, or one of a class of Resource"),
        (Widget, "apply takes an object, not the class Widget: make one of it, such as Widget.named(...)"),
        (dict, "apply takes an object, not the class dict: an Object, or one of a class of Resource"),
    ],
)
def test_what_is_none_is_named_with_the_remedy_and_without_its_content(given: Any, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_object(given, to="apply")
    assert str(caught.value) == says


def test_an_object_of_a_class_without_a_group_is_none() -> None:
    obj = Unnamed(spec=WidgetSpec(), status=WidgetStatus())
    with pytest.raises(TypeError, match=r"^apply takes an object of a kind, and Unnamed is none: give it group="):
        check_object(obj, to="apply")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("default/web", "a key is a Key or a Request, not a str: write Key.parse(...) around it"),
        (("default", "web"), "a key is a Key or a Request, not a tuple: write Key(namespace, name)"),
        (None, "a key is a Key or a Request, not None: write Key(namespace, name)"),
    ],
)
def test_what_is_no_key_is_named_with_the_remedy(given: Any, says: str) -> None:
    check_key(Key("default", "web"))
    with pytest.raises(TypeError) as caught:
        check_key(given)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (CONFIG_MAP, "apply takes a list of objects, not a dict: write [Object(...)] around it"),
        (widget(), "apply takes a list of objects, not a Widget: write [...] around what there is, [] for none"),
        (unstructured(), "apply takes a list of objects, not an Object: write [...] around what there is, [] for none"),
        (None, "apply takes a list of objects, not None: write [...] around what there is, [] for none"),
        ("x", "apply takes a list of objects, not a str: write [...] around what there is, [] for none"),
        (
            [widget(), CONFIG_MAP],
            "apply takes an object, not a dict: write Object(...) around <v1 ConfigMap default/web>",
        ),
    ],
)
def test_several_objects_come_in_a_list(given: Any, says: str) -> None:
    assert check_objects((each for each in [widget()]), to="apply") == [widget()]
    with pytest.raises(TypeError) as caught:
        check_objects(given, to="apply")
    assert str(caught.value) == says


def test_an_object_is_made_of_a_dictionary_and_of_nothing_else() -> None:
    for data in ("hunter2", None, widget(), Object({})):
        with pytest.raises(
            TypeError, match=rf"^Object takes a dict, the JSON of an object, got {type(data).__name__}$"
        ):
            Object(data)  # type: ignore[arg-type]
