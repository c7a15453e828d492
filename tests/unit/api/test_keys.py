from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.keys import GVK, Key, Request, ResourceMapping

NAMES = st.text("abc-.09", min_size=1, max_size=8)


@given(NAMES, NAMES | st.just(""))
def test_a_key_reads_what_it_writes(name: str, namespace: str) -> None:
    key = Key(namespace, name)
    assert Key.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "/", "a/", "/a", "a/b/c", "a//b"])
def test_a_malformed_key_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is not a key; write it like 'namespace/name'") as caught:
        Key.parse(text)
    assert "\n" not in str(caught.value)


def test_a_request_names_its_cluster_only_if_there_are_several() -> None:
    assert str(Request("", "ns", "a")) == "ns/a"
    assert str(Request("east", "ns", "a")) == "east:ns/a"
    assert str(Request("east", "", "a")) == "east:a"
    assert Request("east", "ns", "a").key == Key("ns", "a")


@pytest.mark.parametrize("text", ["v1 ConfigMap", "apps/v1 Deployment", "example.com/v1alpha1 Widget"])
def test_a_kind_reads_what_it_writes(text: str) -> None:
    assert str(GVK.parse(text)) == text


def test_a_kind_without_its_version_is_written_as_kubernetes_writes_it() -> None:
    assert GVK("", "v1", "Pod").group_kind == "Pod"
    assert GVK("apps", "v1", "Deployment").group_kind == "Deployment.apps"


def test_the_core_group_has_no_slash() -> None:
    assert GVK("", "v1", "Pod").api_version == "v1"
    assert GVK("apps", "v1", "Deployment").api_version == "apps/v1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ConfigMap",
        "v1",
        "v1 configMap",
        "v1 Config Map",
        "a/b/v1 X",
        "/v1 X",
        "v1/ X",
        "v1 X\n/..",
        "../v1 X",
        "1 X",
    ],
)
def test_a_malformed_kind_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a kind; write it like 'apps/v1 Deployment'"):
        GVK.parse(text)


def test_a_resource_is_written_as_in_messages_of_rbac() -> None:
    assert str(ResourceMapping(GVK("apps", "v1", "Deployment"), "deployments", namespaced=True)) == "deployments.apps"
    assert str(ResourceMapping(GVK("", "v1", "Pod"), "pods", namespaced=True)) == "pods"
