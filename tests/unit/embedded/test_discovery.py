"""What clients are told is served."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from kcontroller.embedded import recorded
from kcontroller.embedded.kinds import Catalog, Kind, Subresource
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views.discovery import AGGREGATED, Discovery, etag, version_priority

KUBECTL = f"{AGGREGATED},{AGGREGATED.replace('v=v2', 'v=v2beta1')},application/json"
OWN = ("get", "patch", "update")


def _widget(version: str, plural: str = "widgets") -> Kind:
    return Kind(
        "example.com",
        version,
        "Widget",
        plural,
        "widget",
        True,
        "v1",
        Schema({}),
        short_names=("wd",),
        categories=("all",),
        subresources={
            "status": Subresource("Widget", "example.com", version, OWN),
            "scale": Subresource("Scale", "autoscaling", "v1", OWN),
        },
        builtin=False,
    )


@pytest.fixture(name="catalog")
def _catalog() -> Catalog:
    catalog = Catalog(recorded.load().kinds, recorded.load().groups)
    catalog.replace("widgets.example.com", [_widget("v1alpha1"), _widget("v1")])
    return catalog


@pytest.fixture(name="discovery")
def _discovery(catalog: Catalog) -> Discovery:
    return Discovery(catalog, recorded.load())


def _everything(_kind: Kind) -> bool:
    return True


def _get(discovery: Discovery, path: str, accept: str = "application/json") -> Any:
    answer = discovery.answer(path, accept, _everything)
    assert answer is not None
    return msgspec.json.decode(answer[0])


def test_the_core_group_has_one_version(discovery: Discovery) -> None:
    document = _get(discovery, "/api")
    assert (document["kind"], document["versions"]) == ("APIVersions", ["v1"])
    assert document["serverAddressByClientCIDRs"][0]["clientCIDR"] == "0.0.0.0/0"


def test_groups_are_listed_in_order_with_their_preferred_version(discovery: Discovery) -> None:
    document = _get(discovery, "/apis")
    assert (document["kind"], document["apiVersion"]) == ("APIGroupList", "v1")
    names = [group["name"] for group in document["groups"]]
    assert names[:2] == ["apiregistration.k8s.io", "apps"]
    assert names[-1] == "example.com"
    assert "" not in names
    assert document["groups"][-1]["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}


def test_a_group_lists_its_versions_best_first(discovery: Discovery) -> None:
    document = _get(discovery, "/apis/example.com")
    assert (document["kind"], document["name"]) == ("APIGroup", "example.com")
    assert [version["version"] for version in document["versions"]] == ["v1", "v1alpha1"]
    assert [version["version"] for version in _get(discovery, "/apis/autoscaling")["versions"]] == ["v2", "v1"]


def test_versions_are_sorted_as_kubernetes_sorts_them() -> None:
    best_first = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    assert sorted(sorted(best_first), key=version_priority, reverse=True) == best_first


def test_the_resources_of_a_custom_group_read_as_the_real_ones(discovery: Discovery) -> None:
    document = _get(discovery, "/apis/example.com/v1")
    assert (document["kind"], document["apiVersion"], document["groupVersion"]) == (
        "APIResourceList",
        "v1",
        "example.com/v1",
    )
    verbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
    below = {"singularName": "", "namespaced": True, "verbs": list(OWN)}
    assert document["resources"] == [
        {
            "name": "widgets",
            "singularName": "widget",
            "namespaced": True,
            "kind": "Widget",
            "verbs": verbs,
            "shortNames": ["wd"],
            "categories": ["all"],
            "storageVersionHash": "gIwvi5rymmg=",  # As the real server has it for this kind.
        },
        {"name": "widgets/status", "kind": "Widget", **below},
        {"name": "widgets/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", **below},
    ]


def test_the_core_list_has_no_api_version_of_its_own(discovery: Discovery) -> None:
    document = _get(discovery, "/api/v1")
    assert "apiVersion" not in document
    assert document["groupVersion"] == "v1"
    names = [resource["name"] for resource in document["resources"]]
    assert names[:2] == ["bindings", "componentstatuses"]
    assert "pods/eviction" in names


def test_kubectl_gets_aggregated_discovery(discovery: Discovery) -> None:
    answer = discovery.answer("/apis", KUBECTL, _everything)
    assert answer is not None
    body, content_type = answer
    assert content_type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    document = msgspec.json.decode(body)
    assert (document["kind"], document["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    group = document["items"][-1]
    assert group["metadata"] == {"name": "example.com"}
    assert [version["version"] for version in group["versions"]] == ["v1", "v1alpha1"]
    assert group["versions"][0]["freshness"] == "Current"
    (resource,) = group["versions"][0]["resources"]
    assert resource["responseKind"] == {"group": "example.com", "version": "v1", "kind": "Widget"}
    assert (resource["scope"], resource["singularResource"]) == ("Namespaced", "widget")
    assert [below["subresource"] for below in resource["subresources"]] == ["status", "scale"]
    assert resource["subresources"][1]["responseKind"]["group"] == "autoscaling"


def test_the_core_group_is_aggregated_apart(discovery: Discovery) -> None:
    (group,) = _get(discovery, "/api", KUBECTL)["items"]
    assert group["metadata"] == {}
    pods = next(one for one in group["versions"][0]["resources"] if one["resource"] == "pods")
    assert pods["responseKind"] == {"group": "", "version": "", "kind": "Pod"}
    eviction = next(one for one in pods["subresources"] if one["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_plain_json_that_stands_first_wins(discovery: Discovery) -> None:
    assert _get(discovery, "/apis", f"application/json,{AGGREGATED}")["kind"] == "APIGroupList"


def test_the_beta_of_aggregated_discovery_is_no_longer_there(discovery: Discovery) -> None:
    with pytest.raises(Refusal) as caught:
        discovery.answer("/apis", AGGREGATED.replace("v=v2", "v=v2beta1"), _everything)
    assert caught.value.code == 406


def test_below_the_groups_nothing_is_aggregated(discovery: Discovery) -> None:
    assert _get(discovery, "/apis/apps/v1", KUBECTL)["kind"] == "APIResourceList"
    with pytest.raises(Refusal):
        discovery.answer("/apis/apps/v1", AGGREGATED, _everything)


def test_discovery_is_had_in_yaml(discovery: Discovery) -> None:
    answer = discovery.answer("/apis", "application/yaml", _everything)
    assert answer is not None
    assert answer[1] == "application/yaml"
    assert yaml.safe_load(answer[0])["kind"] == "APIGroupList"


def test_the_version_is_the_recorded_one(discovery: Discovery) -> None:
    assert _get(discovery, "/version")["gitVersion"] == "v1.36.3"
    assert discovery.answer("/version/", "", _everything) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/apis/nothing",
        "/apis/apps/v9",
        "/api/v2",
        "/api/v1/pods",
        "/apis/apps/v1/deployments",
        "/apis//v1",
        "/openapi",
    ],
)
def test_what_is_no_discovery_document_is_left_to_others(discovery: Discovery, path: str) -> None:
    assert discovery.answer(path, "application/json", _everything) is None


def test_a_control_plane_shows_only_what_is_visible_there(discovery: Discovery) -> None:
    def visible(kind: Kind) -> bool:
        return kind.resource in {"pods", "widgets.example.com"}

    for accept in ("application/json", KUBECTL):
        answer = discovery.answer("/apis", accept, visible)
        assert answer is not None
        assert b"example.com" in answer[0]
        assert b"apps" not in answer[0]
    core = discovery.answer("/api/v1", "", visible)
    assert core is not None
    assert {one["name"].partition("/")[0] for one in msgspec.json.decode(core[0])["resources"]} == {"pods"}
    assert discovery.answer("/apis/apps", "", visible) is None
    assert discovery.answer("/apis/apps", "", _everything) is not None


def test_a_new_kind_is_told_at_once_and_one_that_went_no_more(catalog: Catalog, discovery: Discovery) -> None:
    before = discovery.answer("/apis", KUBECTL, _everything)
    assert before is not None
    catalog.replace("gadgets.example.com", [_widget("v1", "gadgets")])
    after = discovery.answer("/apis", KUBECTL, _everything)
    assert after is not None
    assert etag(before[0]) != etag(after[0])
    names = [one["name"] for one in _get(discovery, "/apis/example.com/v1")["resources"]]
    assert [name for name in names if "/" not in name] == ["gadgets", "widgets"]
    catalog.replace("gadgets.example.com", [])
    assert discovery.answer("/apis", KUBECTL, _everything) == before


def test_a_document_is_made_once_for_each_catalog(discovery: Discovery) -> None:
    first, second = (discovery.answer("/apis", KUBECTL, _everything) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first[0] is second[0]


def test_an_etag_is_quoted_and_tells_bodies_apart() -> None:
    assert etag(b"a") != etag(b"b")
    assert etag(b"a").startswith('"')
    assert len(etag(b"a")) == 130
