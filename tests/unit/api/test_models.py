from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kcontroller.api import codec
from kcontroller.api.keys import GVK, Key
from kcontroller.api.models import Model, ObjectMeta, Resource
from kcontroller.api.objects import OwnerReference, key_of
from kcontroller.errors import ModelMismatch
from tests.unit.api.kinds import Template, Widget, WidgetSpec, WidgetStatus, body, meta, unstructured, widget


class NeedsName(Model):
    display_name: str


def test_fields_are_camel_case_on_the_wire() -> None:
    obj = widget(spec={"template": {"pullPolicy": "Never"}}, status={"readyReplicas": 3})
    assert obj.spec.template.pull_policy == "Never"
    assert obj.status.ready_replicas == 3


def test_what_is_absent_has_its_default() -> None:
    obj = codec.decode(b'{"metadata":{"name":"w"}}', Widget)
    assert obj == Widget.named("w")
    assert obj.spec == WidgetSpec()
    assert obj.status == WidgetStatus()


@pytest.mark.parametrize("part", ["spec", "status", "metadata"])
def test_a_part_of_null_has_its_default(part: str) -> None:
    assert codec.decode(codec.encode({part: None}), Widget) == Widget.named("")


def test_null_lists_and_maps_are_empty() -> None:
    nulls = dict.fromkeys(["labels", "annotations", "finalizers", "ownerReferences", "creationTimestamp"])
    obj = codec.decode(
        codec.encode({"metadata": nulls, "spec": {"ports": None, "args": None}, "status": {"conditions": None}}), Widget
    )
    assert (obj.metadata, obj.spec, obj.status) == (ObjectMeta(), WidgetSpec(), WidgetStatus())


def test_null_is_no_excuse_for_a_required_field() -> None:
    class Kind(Resource[NeedsName, WidgetStatus], group="example.com", version="v1"):
        pass

    with pytest.raises(ModelMismatch, match=r"required field `displayName` - at `\$.spec`"):
        codec.decode(b'{"spec":{"displayName":null}}', Kind)
    with pytest.raises(ModelMismatch, match="required field `spec`"):
        codec.decode(b"{}", Kind)


def test_defaults_are_not_shared_between_objects() -> None:
    one, other = Widget.named("a"), Widget.named("a")
    one.spec.args.append("x")
    one.spec.template.image = "y"
    one.metadata.labels["a"] = "b"
    one.status.conditions.clear()
    assert other == Widget.named("a")


def test_an_object_is_made_from_its_name_and_fields() -> None:
    obj = Widget.named("w", namespace="ns", spec=WidgetSpec(replicas=3, template=Template(image="i")))
    assert key_of(obj) == Key("ns", "w")
    assert obj.spec.replicas == 3
    with pytest.raises(TypeError, match="spce"):
        Widget.named("w", spce=WidgetSpec())


def test_a_required_spec_must_be_given() -> None:
    class Kind(Resource[NeedsName, WidgetStatus], group="example.com", version="v1"):
        pass

    with pytest.raises(TypeError, match="spec"):
        Kind.named("w")
    assert Kind.named("w", spec=NeedsName(display_name="x")).status == WidgetStatus()


def test_the_class_line_says_how_the_kind_is_served() -> None:
    class Node(Resource[WidgetSpec, WidgetStatus], group="", version="v1", plural="nodes", namespaced=False):
        pass

    class PythonName(Resource[WidgetSpec, WidgetStatus], group="a.b", version="v1beta1", kind="WireName"):
        pass

    assert (Node.resource.gvk, Node.resource.plural, Node.resource.namespaced) == (
        GVK("", "v1", "Node"),
        "nodes",
        False,
    )
    assert (PythonName.resource.gvk, PythonName.resource.plural) == (GVK("a.b", "v1beta1", "WireName"), "")
    assert Node.named("n").gvk == GVK("", "v1", "Node")


def test_further_fields_stand_beside_spec_and_status() -> None:
    class ConfigMap(Resource[dict[str, Any], dict[str, Any]], group="", version="v1", plural="configmaps"):
        data: dict[str, str] = {}

    obj = codec.decode(b'{"metadata":{"name":"c"},"data":{"a":"b"},"immutable":true}', ConfigMap)
    obj.data["c"] = "d"
    before, after = codec.changed(obj)
    assert after == {**before, "data": {"a": "b", "c": "d"}}


def class_line(base: Any, name: str = "Widget", **arguments: Any) -> None:
    """What ``class Widget(base, **arguments): pass`` does, for lines that mypy would refuse."""
    metaclass: Any = type(Resource)
    namespace: dict[str, Any] = {"__orig_bases__": (base,), "__module__": __name__}
    bases = (Resource,) if base is not Model else (Model,)
    metaclass(name, bases, namespace, **arguments)


GOOD = Resource[WidgetSpec, WidgetStatus]


@pytest.mark.parametrize(
    ("base", "name", "arguments", "text"),
    [
        (GOOD, "Widget", {"group": "a.b"}, 'Widget needs version=, such as version="v1"'),
        (GOOD, "Widget", {"version": "v1"}, 'Widget needs group=, such as group="example.com"'),
        (GOOD, "Widget", {"plural": "widgets"}, "Widget needs group="),
        (GOOD, "Widget", {"group": "a.b", "version": "1"}, "'a.b/1 Widget' is not a kind"),
        (GOOD, "Widget", {"group": "A", "version": "v1"}, "'A/v1 Widget' is not a kind"),
        (GOOD, "widget", {"group": "a.b", "version": "v1"}, "'a.b/v1 widget' is not a kind"),
        (GOOD, "Widget", {"group": "a.b", "version": "v1", "kind": "my-kind"}, "'a.b/v1 my-kind' is not a kind"),
        (
            Resource[WidgetSpec, NeedsName],
            "Widget",
            {"group": "a.b", "version": "v1"},
            "Widget: every field of its status type NeedsName needs a default; a new object has no status",
        ),
        (
            Resource[WidgetSpec, WidgetStatus | None],  # type: ignore[operator]
            "Widget",
            {"group": "a.b", "version": "v1"},
            "Widget: every field of its status type .* needs a default",
        ),
        (
            Resource,
            "Widget",
            {"group": "a.b", "version": "v1"},
            r"write class Widget\(Resource\[WidgetSpec, WidgetStatus\]",
        ),
        (GOOD, "Widget", {"group": "a.b", "version": "v1", "scope": "x"}, "scope"),
    ],
)
def test_a_wrong_class_line_is_refused_with_the_remedy(base: Any, name: str, arguments: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        class_line(base, name, **arguments)
    assert "\n" not in str(caught.value)


def test_typed_objects_are_equal_by_what_they_say() -> None:
    assert widget(spec={"replicas": 2}) == widget(spec={"replicas": 2, "unknown": 1})
    assert widget(spec={"replicas": 2}) != widget(spec={"replicas": 3})
    assert widget() != unstructured()
    with pytest.raises(TypeError, match="unhashable"):
        hash(widget())


def test_its_repr_names_the_object_and_no_content() -> None:
    assert repr(widget(spec={"title": "hunter2"})) == "<example.com/v1 Widget default/w>"
    assert "hunter2" not in f"{widget(spec={'title': 'hunter2'})}"


def test_owner_references_are_typed() -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": None}
    obj = widget(metadata=meta(ownerReferences=[reference]))
    assert obj.metadata.owner_references == [OwnerReference(api_version="v1", kind="Pod", name="p", uid="1")]


def test_a_model_takes_keywords_only_and_can_rename_a_field() -> None:
    class Spec(Model):
        pod_ip: str = msgspec.field(default="", name="podIP")

    assert codec.encode(Spec(pod_ip="1.2.3.4")) == b'{"podIP":"1.2.3.4"}'
    with pytest.raises(TypeError, match="positional"):
        Spec("1.2.3.4")  # type: ignore[misc]


def test_a_document_of_the_body_helper_is_what_the_server_sends() -> None:
    assert codec.document(unstructured(spec={"replicas": 1})) == body(spec={"replicas": 1})


def test_a_required_field_may_follow_an_optional_one() -> None:
    class Spec(Model):
        replicas: int = 1
        image: str

    assert Spec(image="a").replicas == 1
