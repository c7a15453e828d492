"""The OpenAPI documents that kubectl reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kcontroller.embedded import recorded
from kcontroller.embedded.kinds import Catalog, Kind, Subresource
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views.openapi import OpenApi

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = {
    "type": "object",
    "description": "A widget",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "color": {"type": "string", "description": "the color", "default": "red", "nullable": True},
                "default": {"type": "string"},
            },
        }
    },
}
PLACE = "/openapi/v3/apis/example.com/v1"
ITEM = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"


def _widget(node: dict[str, Any]) -> Kind:
    status = Subresource("Widget", "example.com", "v1", ("get", "patch", "update"))
    subresources = {"status": status, "scale": Subresource("Scale", "autoscaling", "v1", ("get", "patch", "update"))}
    return Kind(
        *("example.com", "v1", "Widget", "widgets", "widget"),
        namespaced=True,
        storage_version="v1",
        schema=Schema(node),
        subresources=subresources,
        builtin=False,
    )


@pytest.fixture(name="catalog")
def _catalog() -> Catalog:
    catalog = Catalog(recorded.load().kinds, recorded.load().groups)
    catalog.replace("widgets.example.com", [_widget(NODE)])
    return catalog


@pytest.fixture(name="openapi")
def _openapi(catalog: Catalog) -> OpenApi:
    return OpenApi(catalog, recorded.load())


def _everything(_kind: Kind) -> bool:
    return True


def _get(openapi: OpenApi, path: str) -> Any:
    answer = openapi.answer(path, "application/json", _everything)
    assert answer is not None
    return msgspec.json.decode(answer[0])


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def test_the_index_names_every_group_and_version_with_a_hash(openapi: OpenApi) -> None:
    answer = openapi.answer("/openapi/v3", "application/json, */*", _everything)
    assert answer is not None
    assert answer[1] == "text/plain; charset=utf-8"
    paths = msgspec.json.decode(answer[0])["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/autoscaling/v1", "apis/autoscaling/v2", "apis/example.com/v1"} <= set(paths)
    url = paths["apis/example.com/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/example.com/v1?hash=")


def test_the_hash_follows_the_schema_and_nothing_else(catalog: Catalog, openapi: OpenApi) -> None:
    before = _get(openapi, "/openapi/v3")["paths"]
    catalog.replace("widgets.example.com", [_widget(dict(NODE))])
    assert _get(openapi, "/openapi/v3")["paths"] == before
    catalog.replace("widgets.example.com", [_widget({**NODE, "description": "Another"})])
    after = _get(openapi, "/openapi/v3")["paths"]
    assert {place for place in before if before[place] != after[place]} == {"apis/example.com/v1"}
    assert _get(openapi, PLACE)["components"]["schemas"]["com.example.v1.Widget"]["description"] == "Another"


@pytest.mark.parametrize("place", ["api/v1", "apis/apps/v1", "apis/batch/v1", "apis/apiextensions.k8s.io/v1"])
def test_every_reference_of_a_document_is_inside_it(openapi: OpenApi, place: str) -> None:
    document = _get(openapi, f"/openapi/v3/{place}")
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(_references(document))
    assert found
    assert found <= known


def test_a_custom_schema_is_the_one_of_its_definition(openapi: OpenApi) -> None:
    schema = _get(openapi, PLACE)["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert schema["required"] == ["spec"]
    assert schema["properties"]["spec"] == NODE["properties"]["spec"]  # type: ignore[index]
    meta = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert schema["properties"]["metadata"] == {"$ref": meta}
    assert schema["properties"]["kind"] == {"type": "string"}


def test_a_reference_with_company_is_wrapped(openapi: OpenApi) -> None:
    spec = _get(openapi, "/openapi/v3/apis/apps/v1")["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]
    strategy = spec["properties"]["strategy"]
    assert strategy["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"


def test_a_default_of_one_place_does_not_split_the_type(openapi: OpenApi) -> None:
    pod = _get(openapi, "/openapi/v3/api/v1")["components"]["schemas"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"] == {"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}


def test_the_paths_tell_kubectl_what_may_be_asked(openapi: OpenApi) -> None:
    paths = _get(openapi, PLACE)["paths"]
    assert set(paths) == {
        "/apis/example.com/v1/widgets",
        "/apis/example.com/v1/namespaces/{namespace}/widgets",
        ITEM,
        f"{ITEM}/status",
        f"{ITEM}/scale",
    }
    assert set(paths[ITEM]) == {"get", "put", "patch", "delete", "parameters"}
    patch = paths[ITEM]["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "example.com", "version": "v1", "kind": "Widget"}
    assert [parameter["name"] for parameter in patch["parameters"]] == [
        "dryRun",
        "fieldManager",
        "fieldValidation",
        "force",
    ]
    assert [parameter["name"] for parameter in paths[ITEM]["parameters"]] == ["name", "namespace"]
    listing = paths["/apis/example.com/v1/widgets"]
    assert set(listing) == {"get"}
    assert listing["get"]["x-kubernetes-action"] == "list"


def test_only_built_in_kinds_take_a_strategic_merge_patch(openapi: OpenApi) -> None:
    strategic = "application/strategic-merge-patch+json"
    assert strategic not in _get(openapi, PLACE)["paths"][ITEM]["patch"]["requestBody"]["content"]
    pods = _get(openapi, "/openapi/v3/api/v1")["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]
    assert strategic in pods["patch"]["requestBody"]["content"]


def test_an_operation_that_is_not_served_is_not_told(openapi: OpenApi) -> None:
    paths = _get(openapi, "/openapi/v3/api/v1")["paths"]
    assert "delete" not in paths["/api/v1/namespaces"]
    assert set(paths["/api/v1/namespaces/{namespace}/bindings"]) == {"post", "parameters"}
    assert "/api/v1/namespaces/{namespace}/bindings/{name}" not in paths
    assert set(paths["/api/v1/namespaces/{name}/finalize"]) == {"put", "parameters"}


def test_version_2_holds_everything_in_its_own_words(openapi: OpenApi) -> None:
    document = _get(openapi, "/openapi/v2")
    assert document["swagger"] == "2.0"
    definitions = document["definitions"]
    assert {"io.k8s.api.core.v1.Pod", "com.example.v1.Widget"} <= set(definitions)
    assert set(_references(document)) <= {f"#/definitions/{name}" for name in definitions}
    spec = definitions["com.example.v1.Widget"]["properties"]["spec"]["properties"]
    assert spec == {"color": {"type": "string", "description": "the color"}, "default": {"type": "string"}}
    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == {
        "type": "string",
        "format": "int-or-string",
    }
    patch = document["paths"][ITEM]["patch"]
    assert "application/merge-patch+json" in patch["consumes"]


def test_a_control_plane_tells_only_what_is_visible_there(openapi: OpenApi) -> None:
    def visible(kind: Kind) -> bool:
        return not kind.builtin

    index = openapi.answer("/openapi/v3", "", visible)
    assert index is not None
    assert set(msgspec.json.decode(index[0])["paths"]) == {"apis/example.com/v1"}
    assert openapi.answer("/openapi/v3/apis/apps/v1", "", visible) is None


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v4", "/openapi/v3/apis/nothing/v1", "/openapi/v2/x", "/api"])
def test_what_is_no_document_is_left_to_others(openapi: OpenApi, path: str) -> None:
    assert openapi.answer(path, "application/json", _everything) is None


def test_version_3_is_json_alone(openapi: OpenApi) -> None:
    with pytest.raises(Refusal) as caught:
        openapi.answer(PLACE, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf", _everything)
    assert caught.value.code == 406


def test_version_2_comes_as_protobuf_to_who_asks_for_it(openapi: OpenApi) -> None:
    found = openapi.answer("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", _everything)
    assert found is not None
    assert found[1] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def test_a_document_is_made_once_for_the_same_kinds(catalog: Catalog, openapi: OpenApi) -> None:
    first = openapi.answer("/openapi/v3/apis/apps/v1", "", _everything)
    catalog.replace("widgets.example.com", [])
    second = openapi.answer("/openapi/v3/apis/apps/v1", "", _everything)
    assert first is not None
    assert second is not None
    assert first[0] is second[0]
