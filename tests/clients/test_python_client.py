"""The official Python client, unmodified: typed, custom and dynamic."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.clients.conftest import embedded, within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clients.conftest import Server

GROUP = {"group": "clients.example.com", "version": "v1", "plural": "widgets"}


@pytest.fixture
def api(server: Server) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(server.kubeconfig)) as api_client:
        yield api_client


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"of": "test"}), data=data)


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "clients.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1, **spec},
    }


def refused(caught: pytest.ExceptionInfo[ApiException]) -> tuple[int, str, str]:
    status = json.loads(caught.value.body)
    return caught.value.status, status["reason"], status["message"]


def test_an_object_is_made_read_replaced_and_deleted(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    assert made.metadata.uid
    assert made.metadata.creation_timestamp.tzinfo is not None
    made.data["k"] = "2"
    replaced = core.replace_namespaced_config_map("a", namespace, made)
    assert int(replaced.metadata.resource_version) > int(made.metadata.resource_version)
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "2"}
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_config_map("a", namespace)
    assert refused(caught) == (404, "NotFound", 'configmaps "a" not found')


def test_a_deployment_gets_its_defaults_and_a_scale(api: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="web")]),
    )
    spec = client.V1DeploymentSpec(selector=client.V1LabelSelector(match_labels={"app": "web"}), template=template)
    deployment = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    made = apps.create_namespaced_deployment(namespace, deployment)
    assert (made.spec.replicas, made.spec.strategy.type, made.metadata.generation) == (1, "RollingUpdate", 1)
    assert made.spec.template.spec.containers[0].image_pull_policy == "Always"
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 5}})
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 5
    assert apps.read_namespaced_deployment("web", namespace).metadata.generation == 2
    apps.patch_namespaced_deployment_status("web", namespace, {"spec": {"replicas": 9}, "status": {"replicas": 4}})
    after = apps.read_namespaced_deployment("web", namespace)
    assert (after.spec.replicas, after.status.replicas, after.metadata.generation) == (5, 4, 2)


def test_a_list_comes_in_pages_and_by_label(core: client.CoreV1Api, namespace: str) -> None:
    for name in "edcba":
        core.create_namespaced_config_map(namespace, config_map(name))
    names, token, pages = [], None, 0
    while token != "":
        page = core.list_namespaced_config_map(namespace, label_selector="of=test", limit=2, _continue=token or None)
        names += [item.metadata.name for item in page.items]
        token, pages = page.metadata._continue or "", pages + 1
    assert (names, pages) == (list("abcde"), 3)
    by_name = core.list_namespaced_config_map(namespace, field_selector="metadata.name=c")
    assert [item.metadata.name for item in by_name.items] == ["c"]
    everywhere = core.list_config_map_for_all_namespaces(label_selector="of=test")
    assert {"a", "e"} <= {item.metadata.name for item in everywhere.items if item.metadata.namespace == namespace}


def test_a_watch_goes_on_where_it_was_left(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("b"))
    core.patch_namespaced_config_map("b", namespace, {"data": {"k": "1"}})
    core.delete_namespaced_config_map("b", namespace)
    first = watch.Watch()
    seen = []
    for event in first.stream(
        core.list_namespaced_config_map, namespace, resource_version=start, label_selector="of=test", timeout_seconds=10
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            first.stop()
    assert seen == [("ADDED", "b"), ("MODIFIED", "b")]
    second = watch.Watch()
    for event in second.stream(
        core.list_namespaced_config_map, namespace, resource_version=first.resource_version, timeout_seconds=10
    ):
        assert (event["type"], event["object"].metadata.name) == ("DELETED", "b")
        assert event["object"].data == {"k": "1"}
        second.stop()


def test_a_watch_sees_what_happens_while_it_waits(core: client.CoreV1Api, namespace: str) -> None:
    timer = threading.Timer(0.1, core.create_namespaced_config_map, (namespace, config_map("late")))
    timer.start()
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, namespace, label_selector="of=test", timeout_seconds=10
    ):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "late")
        stream.stop()
    timer.join()


def test_a_watch_from_too_long_ago_is_gone(tmp_path: Path) -> None:
    with embedded(tmp_path, window=5) as small, config.new_client_from_config(str(small.kubeconfig)) as api:
        core = client.CoreV1Api(api)
        for number in range(10):
            core.create_namespaced_config_map("default", config_map(f"a{number}"))
        stream = watch.Watch()
        with pytest.raises(ApiException) as caught:
            list(stream.stream(core.list_namespaced_config_map, "default", resource_version="1", timeout_seconds=2))
        assert caught.value.status == 410


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/json-patch+json", [{"op": "replace", "path": "/data/k", "value": "2"}]),
        ("application/merge-patch+json", {"data": {"k": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"k": "2"}}),
        ("application/apply-patch+yaml", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "2"}}),
    ],
)
def test_every_type_of_patch(core: client.CoreV1Api, namespace: str, content_type: str, patch: Any) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", k="1", other="x"))
    options = {"field_manager": "me", "force": True} if "apply" in content_type else {}
    core.patch_namespaced_config_map("a", namespace, patch, _content_type=content_type, **options)
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "2", "other": "x"}


def test_refusals_have_their_codes(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a"))
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_config_map(namespace, config_map("a"))
    assert refused(caught) == (409, "AlreadyExists", 'configmaps "a" already exists')
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "1"}})
    with pytest.raises(ApiException) as caught:
        core.replace_namespaced_config_map("a", namespace, made)
    assert refused(caught)[:2] == (409, "Conflict")
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_config_map(namespace, config_map("A b"))
    assert refused(caught)[:2] == (422, "Invalid")
    with pytest.raises(ApiException) as caught:
        core.delete_namespaced_config_map("a", namespace, body={"preconditions": {"uid": "another"}})
    assert refused(caught)[:2] == (409, "Conflict")
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_config_map("no-such", config_map("a"))
    assert refused(caught) == (404, "NotFound", 'namespaces "no-such" not found')


def test_a_collection_is_deleted(core: client.CoreV1Api, namespace: str) -> None:
    for name in "ab":
        core.create_namespaced_config_map(namespace, config_map(name))
    core.delete_collection_namespaced_config_map(namespace, label_selector="of=test")
    assert core.list_namespaced_config_map(namespace, label_selector="of=test").items == []


def test_custom_objects(api: client.ApiClient, namespace: str, widgets: str) -> None:
    custom = client.CustomObjectsApi(api)
    made = custom.create_namespaced_custom_object(**GROUP, namespace=namespace, body=widget("w", note="a"))
    assert made["metadata"]["generation"] == 1
    status = {"status": {"ready": True}, "spec": {"size": 9}}
    custom.patch_namespaced_custom_object_status(**GROUP, namespace=namespace, name="w", body=status)
    patched = custom.patch_namespaced_custom_object(**GROUP, namespace=namespace, name="w", body={"spec": {"size": 2}})
    assert (patched["spec"], patched["status"]) == ({"size": 2, "note": "a"}, {"ready": True})
    with pytest.raises(ApiException) as caught:
        custom.create_namespaced_custom_object(**GROUP, namespace=namespace, body=widget("x", size="big"))
    assert refused(caught)[:2] == (422, "Invalid")
    listed = custom.list_namespaced_custom_object(**GROUP, namespace=namespace)
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == ("WidgetList", ["w"])
    custom.delete_namespaced_custom_object(**GROUP, namespace=namespace, name="w")
    assert custom.list_namespaced_custom_object(**GROUP, namespace=namespace)["items"] == []


def test_definitions_are_typed_too(api: client.ApiClient, namespace: str, widgets: str) -> None:
    extensions = client.ApiextensionsV1Api(api)
    definition = extensions.read_custom_resource_definition("widgets.clients.example.com")
    assert definition.status.accepted_names.list_kind == "WidgetList"
    within(
        lambda: (
            {"Established", "NamesAccepted"}
            <= {
                condition.type
                for condition in extensions.read_custom_resource_definition(
                    "widgets.clients.example.com"
                ).status.conditions
                if condition.status == "True"
            }
        )
    )


def test_the_dynamic_client_discovers_and_works(
    api: client.ApiClient, namespace: str, widgets: str, tmp_path: Path
) -> None:
    found = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery"))
    resource = found.resources.get(api_version="clients.example.com/v1", kind="Widget")
    made = resource.create(body=widget("w", note="a"), namespace=namespace)
    assert made.metadata.name == "w"
    applied = resource.server_side_apply(
        body=widget("w", size=3), namespace=namespace, field_manager="me", force_conflicts=True
    )
    assert applied.spec.size == 3
    patched = resource.patch(
        body={"metadata": {"labels": {"x": "1"}}},
        name="w",
        namespace=namespace,
        content_type="application/merge-patch+json",
    )
    assert patched.metadata.labels.x == "1"
    assert [item.metadata.name for item in resource.get(namespace=namespace, label_selector="x=1").items] == ["w"]
    with pytest.raises(dynamic.exceptions.NotFoundError):
        resource.get(name="no", namespace=namespace)
    for event in resource.watch(namespace=namespace, timeout=5):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "w")
        break
    config_maps = found.resources.get(api_version="v1", kind="ConfigMap")
    assert config_maps.get(namespace=namespace).kind == "ConfigMapList"


def test_who_one_is_and_what_one_may(api: client.ApiClient) -> None:
    review = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert "system:masters" in review.status.user_info.groups
    may = client.AuthorizationV1Api(api).create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    )
    assert may.status.allowed
    assert client.VersionApi(api).get_code().major == "1"
