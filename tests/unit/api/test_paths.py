from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcontroller.api.keys import GVK, Key, ResourceMapping
from kcontroller.api.paths import (
    collection_path,
    creation_path,
    group_version_path,
    object_path,
    segment,
    with_query,
)

WIDGETS = ResourceMapping(GVK("example.com", "v1", "Widget"), "widgets", namespaced=True)
NODES = ResourceMapping(GVK("", "v1", "Node"), "nodes", namespaced=False)
HOSTILE = st.text() | st.text("./%\\?#&;:@\r\n\x00 2feEéa\ud800\u202e", max_size=12)


@settings(max_examples=2000)
@given(HOSTILE, HOSTILE)
@example("..", "a")
@example("a", "..%2f..")
@example("%2e%2e", "a")
@example("a?b#c", "d;e")
@example("a\r\nHost: evil", "\x00")
@example("\ud800", "a")
def test_h5_a_name_never_changes_the_segments_of_a_path(namespace: str, name: str) -> None:
    try:
        path = object_path(WIDGETS, Key(namespace, name))
    except ValueError:
        return
    # What a server does: cut the query and the fragment off, split, then decode.
    parts = urlsplit(path)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert path.isascii()
    assert path.isprintable()
    decoded = [unquote(part) for part in parts.path.split("/")]
    assert decoded == ["", "apis", "example.com", "v1", "namespaces", namespace, "widgets", name]
    # A proxy that decodes before it splits must come to the same.
    assert unquote(parts.path).split("/") == decoded
    assert not {".", ".."} & set(decoded)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a%2fb", "%", "a\x00", "a\nb", "a\r\nb", "\ud800", "a\u202eb"])
def test_a_hostile_segment_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^name .* cannot be part of a path$") as caught:
        segment(text, "name")
    assert str(caught.value).isprintable()


def test_a_long_hostile_name_is_cut_in_the_message() -> None:
    with pytest.raises(ValueError, match="cannot be part") as caught:
        segment("x/" * 10_000, "name")
    assert len(str(caught.value)) < 200


def test_the_core_group_is_served_below_api() -> None:
    assert group_version_path(NODES.gvk) == "/api/v1"
    assert group_version_path(WIDGETS.gvk) == "/apis/example.com/v1"


def test_a_collection_is_one_namespace_or_all() -> None:
    assert collection_path(WIDGETS) == "/apis/example.com/v1/widgets"
    assert collection_path(WIDGETS, "a") == "/apis/example.com/v1/namespaces/a/widgets"
    assert collection_path(NODES) == "/api/v1/nodes"


def test_a_subresource_is_below_the_object() -> None:
    assert object_path(NODES, Key("", "n"), "status") == "/api/v1/nodes/n/status"
    assert object_path(NODES, Key("", "n"), "proxy/metrics") == "/api/v1/nodes/n/proxy/metrics"


@pytest.mark.parametrize("subresource", ["..", "status/..", "a%2f", "a?b\n"])
def test_a_hostile_subresource_is_refused(subresource: str) -> None:
    with pytest.raises(ValueError, match="subresource"):
        object_path(NODES, Key("", "n"), subresource)


@pytest.mark.parametrize("path", [object_path, creation_path, lambda nodes, key: collection_path(nodes, key.namespace)])
def test_a_cluster_scoped_kind_takes_no_namespace(path: object) -> None:
    with pytest.raises(ValueError, match="nodes is cluster-scoped, but namespace 'a' was given"):
        path(NODES, Key("a", "n"))  # type: ignore[operator]


@pytest.mark.parametrize("path", [object_path, creation_path])
def test_a_namespaced_object_needs_a_namespace(path: object) -> None:
    with pytest.raises(ValueError, match=r"widgets.example.com 'w' lives in a namespace, but none was given"):
        path(WIDGETS, Key("", "w"))  # type: ignore[operator]


@given(
    st.dictionaries(
        st.sampled_from(["labelSelector", "fieldManager", "continue"]), st.text(st.characters(codec="utf-8"))
    )
)
def test_a_query_says_exactly_the_parameters_that_are_not_empty(parameters: dict[str, str]) -> None:
    target = with_query("/p", parameters.items())
    assert target.isascii()
    assert dict(parse_qsl(urlsplit(target).query)) == {name: value for name, value in parameters.items() if value}


def test_without_parameters_there_is_no_question_mark() -> None:
    assert with_query("/p", [("dryRun", "")]) == "/p"
