from __future__ import annotations

import copy
import pickle
import threading
import traceback
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.api import codec
from kcontroller.api.differences import merge_diff
from kcontroller.api.keys import GVK
from kcontroller.api.models import Model, Resource
from kcontroller.api.objects import Object
from kcontroller.errors import ModelMismatch
from tests.unit.api.kinds import Port, Widget, WidgetStatus, body, meta, unstructured, widget


def difference(obj: Any, onto: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a patch would send."""
    return merge_diff(*codec.changed(obj, onto=codec.encode(onto) if onto else b""))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=5,
)
UNKNOWN = st.dictionaries(st.sampled_from(["x", "y", "z"]), JSON, max_size=2)


def optional(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: value | st.none() for name, value in fields.items()})


def known_and_unknown(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda known, unknown: {**unknown, **known}, optional(**fields), UNKNOWN)


WORDS = st.text("ab", max_size=2)
PORTS = st.lists(
    st.builds(lambda name, more: {**more, "name": name}, WORDS, known_and_unknown(number=st.integers(0, 9)))
)
SPECS = known_and_unknown(
    replicas=st.integers(0, 9),
    title=WORDS,
    template=known_and_unknown(image=WORDS, pullPolicy=WORDS),
    ports=PORTS,
    args=st.lists(WORDS),
    weights=st.dictionaries(st.sampled_from("123"), WORDS),
)
CONDITIONS = st.lists(
    st.builds(
        lambda type_, more: {**more, "type": type_, "status": "True"},
        WORDS,
        known_and_unknown(reason=WORDS, message=WORDS, observedGeneration=st.integers(0, 3), lastTransitionTime=WORDS),
    )
)
METADATA = known_and_unknown(
    labels=st.dictionaries(WORDS, WORDS, max_size=2),
    annotations=st.dictionaries(WORDS, WORDS, max_size=2),
    finalizers=st.lists(WORDS, max_size=2),
    generateName=WORDS,
    generation=st.integers(0, 3),
    managedFields=st.lists(UNKNOWN, max_size=1),
)
WIDGETS = st.builds(
    lambda metadata, parts: body(metadata=meta(**metadata), **parts),
    METADATA,
    known_and_unknown(spec=SPECS, status=known_and_unknown(readyReplicas=st.integers(0, 3), conditions=CONDITIONS)),
)


@settings(max_examples=150)
@given(WIDGETS)
def test_an_untouched_typed_object_has_nothing_to_send(data: dict[str, Any]) -> None:
    obj = codec.decode(codec.encode(data), Widget)
    before, after = codec.changed(obj)
    assert before == after == data
    assert difference(obj) == {}


@settings(max_examples=150)
@given(WIDGETS)
def test_a_look_at_an_unstructured_object_makes_nothing_to_send(data: dict[str, Any]) -> None:
    obj = codec.decode(codec.encode(data), Object)
    _ = (obj.metadata.labels, obj.metadata.annotations, obj.metadata.finalizers, obj.metadata.owner_references)
    _ = (obj.spec, obj.status, repr(obj), obj.get("spec.x.y"))
    assert codec.changed(obj)[1] == data
    assert difference(obj) == {}


@settings(max_examples=150)
@given(WIDGETS, st.integers(10, 20))
def test_a_typed_change_is_the_only_difference(data: dict[str, Any], replicas: int) -> None:
    obj = codec.decode(codec.encode(data), Widget)
    obj.spec.replicas = replicas
    assert difference(obj) == {"spec": {"replicas": replicas}}


@settings(max_examples=300)
@given(WIDGETS, WIDGETS, st.sampled_from(["spec", "status", "metadata"]))
def test_the_short_way_to_a_difference_leads_where_the_long_one_does(
    one: dict[str, Any], other: dict[str, Any], part: str
) -> None:
    obj, says = (codec.decode(codec.encode(data), Widget) for data in (one, other))
    setattr(obj, part, getattr(says, part))

    assert codec.simple_difference(obj) in (None, merge_diff(*codec.changed(obj)))


@pytest.mark.parametrize(
    ("change", "short"),
    [
        (lambda obj: setattr(obj.status, "ready_replicas", 3), {"status": {"readyReplicas": 3}}),
        (lambda obj: setattr(obj.spec.template, "image", "b"), {"spec": {"template": {"image": "b"}}}),
        (lambda obj: obj.spec.weights.update({1: "x"}), {"spec": {"weights": {"1": "x"}}}),
        (lambda obj: None, {}),
        (lambda obj: obj.spec.args.append("x"), None),
        (lambda obj: setattr(obj.spec, "title", None), None),
        (lambda obj: obj.metadata.labels.update(a="b"), None),
    ],
)
def test_the_short_way_is_taken_for_leaves(change: Any, short: Any) -> None:
    obj = widget(spec={"title": "t", "template": {"image": "a"}, "other": [1]}, status={"readyReplicas": 1})
    change(obj)

    assert codec.simple_difference(obj) == short


@settings(max_examples=100)
@given(WIDGETS, WIDGETS)
def test_an_answer_overwrites_the_object_as_if_it_was_read_from_it(one: dict[str, Any], other: dict[str, Any]) -> None:
    for kind in (Widget, Object):
        obj = codec.decode(codec.encode(one), kind)
        codec.replace(obj, codec.encode(other))
        assert obj == codec.decode(codec.encode(other), kind)
        assert difference(obj) == {}


def test_a_kind_is_named_by_class_text_or_value() -> None:
    gvk = GVK("example.com", "v1", "Widget")
    assert [codec.gvk_of(kind) for kind in (Widget, "example.com/v1 Widget", gvk)] == [gvk] * 3
    mapping = codec.mapping_of(Widget)
    assert mapping is not None
    assert (mapping.plural, mapping.namespaced) == ("widgets", True)
    assert codec.mapping_of(gvk) is codec.mapping_of("v1 Pod") is codec.mapping_of(Object) is None


@pytest.mark.parametrize("kind", [Object, Resource, int])
def test_a_class_that_is_no_kind_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} is not a kind; subclass Resource"):
        codec.gvk_of(kind)


@pytest.mark.parametrize("kind", [{"data": "secret"}, ["v1 Pod"]])
def test_what_cannot_be_a_kind_is_refused_without_being_shown(kind: Any) -> None:
    with pytest.raises(ValueError, match=f"^a {type(kind).__name__} is not a kind; subclass Resource"):
        codec.gvk_of(kind)
    assert codec.mapping_of(kind) is None


def test_an_object_of_a_class_names_its_kind() -> None:
    some: Any = widget()
    assert codec.gvk_of(some) == codec.gvk_of(Widget)
    assert codec.mapping_of(some) is codec.mapping_of(Widget)


@pytest.mark.parametrize("kind", [Widget, Object])
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"[]", b'"x"', b"<html>", b'{"spec":{}} x', b'{"spec":{"title":"\xff"}}', b'{"a":' * 9999],
)
def test_what_is_no_object_is_refused_in_one_line(raw: bytes, kind: Any) -> None:
    with pytest.raises(ModelMismatch, match=r"^the object (is not JSON|does not fit)") as caught:
        codec.decode(raw, kind)
    assert str(caught.value).isprintable()


class VaultSpec(Model):
    token: str = ""
    mode: Literal["open", "shut"] = "open"


class Vault(Resource[VaultSpec, WidgetStatus], group="example.com", version="v1", plural="vaults"):
    pass


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"token": ["hunter2"]}, r"\$.spec.token"),
        ({"mode": "hunter2"}, r"\$.spec.mode"),
        ({"mode": "hunter2", "token": None}, r"\$.spec.mode"),
        ("hunter2", r"\$.spec"),
    ],
)
def test_a_mismatch_names_the_path_and_nowhere_the_content(spec: Any, path: str) -> None:
    with pytest.raises(ModelMismatch, match=f"the object does not fit Vault: .*{path}") as caught:
        codec.decode(codec.encode({"spec": spec}), Vault)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_an_explicit_null_of_a_nullable_field_survives_an_update() -> None:
    for obj in (widget(spec={"title": None, "x": None}), unstructured(spec={"title": None, "x": None})):
        obj.spec.__setattr__("replicas", 5) if isinstance(obj, Widget) else obj.spec.update(replicas=5)
        assert codec.changed(obj)[1]["spec"] == {"title": None, "x": None, "replicas": 5}


def test_unknown_fields_survive_beside_a_change() -> None:
    obj = widget(spec={"replicas": 2, "x": {"deep": 1}, "template": {"image": "a", "y": 2}})
    obj.spec.template.image = "b"
    assert codec.changed(obj)[1]["spec"] == {"replicas": 2, "x": {"deep": 1}, "template": {"image": "b", "y": 2}}


def test_a_default_is_no_change_and_stays_unsent_beside_a_change() -> None:
    obj = widget(spec={})
    assert (obj.spec.replicas, obj.spec.template.image) == (1, "none")
    obj.spec.template.image = "b"
    assert difference(obj) == {"spec": {"template": {"image": "b"}}}


def test_a_value_set_back_to_its_default_is_sent() -> None:
    obj = widget(spec={"replicas": 5}, status={"readyReplicas": 5})
    obj.spec.replicas = 1
    obj.status.ready_replicas = 0
    assert difference(obj) == {"spec": {"replicas": 1}, "status": {"readyReplicas": 0}}


def test_none_removes_a_field() -> None:
    obj = widget(spec={"title": "a"})
    obj.spec.title = None
    assert difference(obj) == {"spec": {"title": None}}
    loose = unstructured(spec={"title": "a", "x": 1})
    loose["spec"]["title"] = None
    del loose["spec"]["x"]
    assert difference(loose) == {"spec": {"title": None, "x": None}}


def test_keys_that_are_numbers_in_the_model_are_text_in_the_document() -> None:
    obj = widget(spec={"weights": {"1": "a", "2": "b"}, "args": None})
    assert obj.spec.weights == {1: "a", 2: "b"}
    obj.spec.weights[1] = "c"
    assert difference(obj) == {"spec": {"weights": {"1": "c"}}}


def test_items_keep_their_unknown_fields_when_one_is_added_or_moved() -> None:
    ports = [{"name": "a", "x": 1}, {"name": "b", "number": 8, "y": 2}]
    obj = widget(spec={"ports": ports})
    obj.spec.ports = [Port(name="new"), *reversed(obj.spec.ports)]
    assert codec.changed(obj)[1]["spec"]["ports"] == [{"name": "new", "number": 80}, ports[1], ports[0]]


@pytest.mark.parametrize("make", [widget, unstructured])
def test_the_last_label_is_removed_by_its_name_so_that_new_ones_of_others_stay(make: Any) -> None:
    obj = make(metadata=meta(labels={"a": "b"}, annotations={"c": "d"}))
    obj.metadata.labels.clear()
    del obj.metadata.annotations["c"]
    assert difference(obj) == {"metadata": {"labels": {"a": None}, "annotations": {"c": None}}}


@pytest.mark.parametrize("make", [widget, unstructured])
def test_the_last_finalizer_goes_with_its_list_and_not_with_that_of_others(make: Any) -> None:
    obj = make(metadata=meta(finalizers=["a"]))
    obj.metadata.finalizers = []
    assert difference(obj) == {"metadata": {"finalizers": []}}
    newest = body(metadata=meta(finalizers=["theirs", "a"], resourceVersion="9"))
    assert codec.changed(obj, onto=codec.encode(newest))[1]["metadata"]["finalizers"] == ["theirs"]


def test_an_emptied_spec_is_sent_field_by_field() -> None:
    obj = unstructured(spec={"a": 1})
    obj.spec.clear()
    assert difference(obj) == {"spec": {"a": None}}


def test_true_instead_of_one_is_a_change() -> None:
    obj = unstructured(spec={"a": 1, "b": [0]})
    obj["spec"].update(a=True, b=[False])
    sent = codec.encode(difference(obj))
    assert sent == b'{"spec":{"a":true,"b":[false]}}'


def test_changes_are_applied_onto_a_newer_reading() -> None:
    obj = widget(metadata=meta(labels={"a": "1"}), spec={"replicas": 2})
    obj.spec.replicas = 3
    obj.metadata.labels["b"] = "2"
    newest = body(metadata=meta(labels={"a": "9", "c": "3"}, resourceVersion="8"), spec={"replicas": 7, "x": 1})
    before, after = codec.changed(obj, onto=codec.encode(newest))
    assert before == newest
    assert after["spec"] == {"replicas": 3, "x": 1}
    assert after["metadata"] == meta(labels={"a": "9", "b": "2", "c": "3"}, resourceVersion="8")


def test_unsent_changes_stay_on_top_of_those_of_others() -> None:
    obj = widget(metadata=meta(finalizers=["a"]), spec={"replicas": 2, "args": ["x"]})
    obj.metadata.finalizers = ["a", "ours"]
    obj.spec.replicas = 3
    obj.status.ready_replicas = 4
    answer = body(metadata=meta(finalizers=["a", "theirs"], resourceVersion="8"), spec={"replicas": 2, "args": ["y"]})
    codec.replace(obj, codec.encode(answer), keep=["spec", "metadata"])
    assert obj.metadata.resource_version == "8"
    assert obj.metadata.finalizers == ["a", "theirs", "ours"]
    assert (obj.spec.replicas, obj.spec.args, obj.status.ready_replicas) == (3, ["y"], 0)
    assert difference(obj) == {"metadata": {"finalizers": ["a", "theirs", "ours"]}, "spec": {"replicas": 3}}


@pytest.mark.parametrize("make", [widget, unstructured])
def test_an_answer_that_does_not_fit_leaves_the_object_as_it_was(make: Any) -> None:
    obj = make(spec={"replicas": 2})
    for raw in (b"<html>", b'{"spec":'):
        with pytest.raises(ModelMismatch):
            codec.replace(obj, raw)
    assert obj == make(spec={"replicas": 2})
    assert codec.source_of(obj) == codec.encode(body(spec={"replicas": 2}))


@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda obj: pickle.loads(pickle.dumps(obj))])  # noqa: S301
def test_a_copy_remembers_what_was_read(twin_of: Any) -> None:
    for obj in (widget(spec={"replicas": 2, "x": 1}), unstructured(spec={"replicas": 2, "x": 1})):
        twin = twin_of(obj)
        assert twin == obj
        assert codec.source_of(twin) == codec.source_of(obj)
        assert difference(twin) == {}


def test_a_deep_copy_of_a_typed_object_is_independent() -> None:
    obj = widget(spec={"args": ["a"]})
    twin = copy.deepcopy(obj)
    twin.spec.args.append("b")
    assert obj.spec.args == ["a"]
    assert difference(twin) == {"spec": {"args": ["a", "b"]}}


def test_an_object_made_by_hand_says_everything_but_empty_metadata() -> None:
    obj = Widget.named("w", namespace="default")
    assert codec.source_of(obj) == b""
    assert codec.new_document(obj) == {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {
            "replicas": 1,
            "template": {"image": "none", "pullPolicy": "Always"},
            "ports": [],
            "args": [],
            "weights": {},
        },
        "status": {"readyReplicas": 0, "conditions": []},
    }
    assert codec.changed(obj) == ({}, codec.new_document(obj))


def test_an_empty_spec_made_by_hand_is_kept() -> None:
    obj = Object({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}})
    _ = obj.metadata.labels
    assert codec.new_document(obj) == {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"apiVersion":"example.com/v1","kind":"Widget"}', True),
        (b'{"metadata":{}}', True),
        (b'{"apiVersion":"autoscaling/v1","kind":"Scale"}', False),
        (b'{"apiVersion":"v1","kind":"Status"}', False),
        (b"<html>", True),
    ],
)
def test_an_answer_of_another_kind_is_told(raw: bytes, *, says: bool) -> None:
    assert codec.says_kind(raw, GVK("example.com", "v1", "Widget")) is says


def test_a_mismatch_names_the_object() -> None:
    bad = b'{"metadata":{"namespace":"ns","name":"bad"},"spec":{"replicas":"three"}}'
    with pytest.raises(ModelMismatch, match=r"^ns/bad does not fit Widget: .*spec\.replicas"):
        codec.decode(bad, Widget)


# ---- threads ---------------------------------------------------------------------------------------------------------

_asked: list[str] = []
_asking = threading.Event()
_answer = threading.Event()


def _slow_type() -> type[int]:
    """What msgspec evaluates when it learns `_SlowSpec`."""
    _asked.append(threading.current_thread().name)
    _asking.set()
    _answer.wait(10)
    return int


class _SlowSpec(Model):
    size: _slow_type() = 1  # type: ignore[valid-type]


class Slow(Resource[_SlowSpec, WidgetStatus], group="example.com", version="v1", plural="slows"):
    pass


def test_threads_that_meet_a_class_at_once_learn_it_one_after_the_other() -> None:
    """msgspec 0.22 crashes the process where they do it at the same time."""
    raw = codec.encode(body(spec={"size": 7}))
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(codec.decode(raw, Slow).spec.size), name=name) for name in "ab"
    ]
    threads[0].start()
    assert _asking.wait(10)
    threads[1].start()
    threads[1].join(0.02)  # It may come as far as it can.
    _answer.set()
    for thread in threads:
        thread.join(10)

    assert sizes == [7, 7]
    assert _asked == ["a"]
