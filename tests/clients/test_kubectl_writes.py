"""kubectl, unmodified: every way to change things."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Kubectl


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(*containers: dict[str, Any], replicas: int | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": list(containers)}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "clients.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1, **spec},
    }


def test_create_says_what_it_made_and_once_only(kubectl: Kubectl) -> None:
    assert kubectl("create", "-f", "-", given=config_map("a", k="v")) == "configmap/a created\n"
    complaint = kubectl.fails("create", "-f", "-", given=config_map("a"))
    assert (
        complaint == 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "a" already exists\n'
    )
    assert kubectl("create", "deployment", "web", "--image=web:1") == "deployment.apps/web created\n"
    assert kubectl("create", "secret", "generic", "s", "--from-literal=k=v") == "secret/s created\n"
    assert kubectl.read("secret", "s")["data"] == {"k": "dg=="}


def test_a_dry_run_makes_nothing(kubectl: Kubectl) -> None:
    made = kubectl("create", "-f", "-", "--dry-run=server", "-o", "json", given=deployment({"name": "c", "image": "i"}))
    document = json.loads(made)
    assert document["spec"]["replicas"] == 1
    assert document["metadata"]["uid"]
    assert kubectl("get", "deployments", "-o", "name") == ""


def test_what_is_wrong_is_refused_with_its_field(kubectl: Kubectl, widgets: str) -> None:
    complaint = kubectl.fails("create", "-f", "-", given=widget("w", size=0))
    assert (
        'The Widget "w" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1'
        in complaint
    )
    unknown = kubectl.fails("create", "-f", "-", given=widget("w", colour="red"))
    assert 'strict decoding error: unknown field "spec.colour"' in unknown
    assert 'The ConfigMap "UPPER" is invalid: metadata.name: Invalid value: "UPPER"' in kubectl.fails(
        "create", "-f", "-", given=config_map("UPPER")
    )


def test_the_items_of_a_list_are_checked_by_kubectl_itself(kubectl: Kubectl) -> None:
    items = [{**config_map("a"), "colour": "red"}, widget("w", size=0)]
    complaint = kubectl.fails("create", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": items})
    assert 'ValidationError(ConfigMap): unknown field "colour" in io.k8s.api.core.v1.ConfigMap' in complaint


def test_apply_three_times_takes_away_what_it_had_set(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", given=config_map("a", one="1", two="2")) == "configmap/a created\n"
    kubectl("patch", "configmap", "a", "-p", '{"data":{"other":"x"}}')
    assert kubectl("apply", "-f", "-", given=config_map("a", two="3")) == "configmap/a configured\n"
    assert kubectl.read("configmap", "a")["data"] == {"two": "3", "other": "x"}
    assert kubectl("apply", "-f", "-", given=config_map("a", two="3")) == "configmap/a unchanged\n"


def test_apply_merges_the_lists_of_a_pod_template_by_name(kubectl: Kubectl) -> None:
    one, two = {"name": "one", "image": "one:1"}, {"name": "two", "image": "two:1"}
    kubectl("apply", "-f", "-", given=deployment(one, two))
    side = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    kubectl("patch", "deployment", "web", "-p", json.dumps(side))
    kubectl("apply", "-f", "-", given=deployment({**one, "image": "one:2"}, replicas=3))
    spec = kubectl.read("deployment", "web")["spec"]
    images = {container["name"]: container["image"] for container in spec["template"]["spec"]["containers"]}
    assert images == {"one": "one:2", "side": "side:1"}
    assert spec["replicas"] == 3


def test_apply_works_on_custom_resources(kubectl: Kubectl, widgets: str) -> None:
    kubectl("apply", "-f", "-", given=widget("w", size=1, note="a", replicas=2))
    assert (
        kubectl("apply", "-f", "-", given=widget("w", size=2, replicas=2))
        == "widget.clients.example.com/w configured\n"
    )
    assert kubectl.read("widget", "w")["spec"] == {"size": 2, "note": "none", "replicas": 2}


def test_server_side_apply_owns_fields_and_names_conflicts(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert kubectl(*apply, given=config_map("a", k="1", mine="x")) == "configmap/a serverside-applied\n"
    conflict = kubectl.fails(*apply, "--field-manager=other", given=config_map("a", k="2"))
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.k' in conflict
    kubectl(*apply, "--field-manager=other", "--force-conflicts", given=config_map("a", k="2"))
    assert kubectl.read("configmap", "a")["data"] == {"k": "2", "mine": "x"}
    kubectl(*apply, "--field-manager=other", given=config_map("a"))
    assert kubectl.read("configmap", "a")["data"] == {"mine": "x"}
    managers = kubectl.read("configmap", "a", "--show-managed-fields")["metadata"]["managedFields"]
    assert {(entry["manager"], entry["operation"]) for entry in managers} >= {("kubectl", "Apply")}


def test_apply_moves_from_client_side_to_server_side(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=deployment({"name": "c", "image": "i:1"}))
    moved = kubectl("apply", "--server-side", "-f", "-", given=deployment({"name": "c", "image": "i:2"}))
    assert moved == "deployment.apps/web serverside-applied\n"
    assert kubectl.read("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "i:2"


@pytest.mark.parametrize(
    ("sort", "patch"),
    [
        ("merge", {"data": {"a": None, "c": "3"}}),
        ("strategic", {"data": {"a": None, "c": "3"}}),
        ("json", [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/c", "value": "3"}]),
    ],
)
def test_every_type_of_patch(kubectl: Kubectl, sort: str, patch: object) -> None:
    kubectl("create", "-f", "-", given=config_map("a", a="1", b="2"))
    assert kubectl("patch", "configmap", "a", "--type", sort, "-p", json.dumps(patch)) == "configmap/a patched\n"
    assert kubectl.read("configmap", "a")["data"] == {"b": "2", "c": "3"}
    assert kubectl("patch", "configmap", "a", "-p", "{}") == "configmap/a patched (no change)\n"


def test_a_custom_resource_has_no_strategic_patch(kubectl: Kubectl, widgets: str) -> None:
    kubectl("create", "-f", "-", given=widget("w"))
    complaint = kubectl.fails("patch", "widget", "w", "--type", "strategic", "-p", '{"spec":{"size":2}}')
    assert "application/strategic-merge-patch+json is not supported by clients.example.com/v1, Kind=Widget" in complaint
    kubectl("patch", "widget", "w", "--type", "merge", "-p", '{"spec":{"size":2}}')
    kubectl("patch", "widget", "w", "--type", "merge", "--subresource=status", "-p", '{"status":{"replicas":1}}')
    document = kubectl.read("widget", "w")
    assert (document["spec"]["size"], document["status"], document["metadata"]["generation"]) == (2, {"replicas": 1}, 2)


def test_labels_and_annotations_come_and_go(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=config_map("a"))
    kubectl("label", "configmap", "a", "x=1", "y=2")
    assert "already has a value (1), and --overwrite is false" in kubectl.fails("label", "configmap", "a", "x=3")
    kubectl("label", "configmap", "a", "x=3", "y-", "--overwrite")
    kubectl("annotate", "configmap", "a", "note=it is")
    metadata = kubectl.read("configmap", "a")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"x": "3"}, {"note": "it is"})


def test_scale_goes_through_the_subresource(kubectl: Kubectl, widgets: str) -> None:
    kubectl("create", "-f", "-", given=deployment({"name": "c", "image": "i"}))
    assert kubectl("scale", "deployment", "web", "--replicas=4") == "deployment.apps/web scaled\n"
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "4"
    assert "Expected replicas to be 2, was 4" in kubectl.fails(
        "scale", "deployment", "web", "--current-replicas=2", "--replicas=5"
    )
    kubectl("create", "-f", "-", given=widget("w", replicas=1))
    kubectl("scale", "widget", "w", "--replicas=7")
    assert kubectl.read("widget", "w")["spec"]["replicas"] == 7


def test_edit_sends_what_the_editor_leaves(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("create", "-f", "-", given=config_map("a", k="before"))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/before/after/ "$1"\n', encoding="utf-8")
    editor.chmod(0o755)
    assert kubectl("edit", "configmap", "a", environment={"EDITOR": str(editor)}) == "configmap/a edited\n"
    assert kubectl.read("configmap", "a")["data"] == {"k": "after"}


def test_replace_writes_the_whole_object(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=config_map("a", k="1", other="2"))
    assert kubectl("replace", "-f", "-", given=config_map("a", k="3")) == "configmap/a replaced\n"
    assert kubectl.read("configmap", "a")["data"] == {"k": "3"}
    stale = {**config_map("a"), "metadata": {"name": "a", "resourceVersion": "1"}}
    assert "Error from server (Conflict)" in kubectl.fails("replace", "-f", "-", given=stale)
    before = kubectl.read("configmap", "a")["metadata"]["uid"]
    kubectl("replace", "--force", "-f", "-", given=config_map("a", k="4"))
    assert kubectl.read("configmap", "a")["metadata"]["uid"] != before


def test_delete_by_name_file_label_and_all(kubectl: Kubectl) -> None:
    for name in "abcd":
        kubectl("create", "-f", "-", given=config_map(name))
    kubectl("label", "configmap", "b", "x=1")
    said = kubectl("delete", "configmap", "a")
    assert said.startswith('configmap "a" deleted')
    assert kubectl("delete", "-l", "x=1", "configmaps").startswith('configmap "b" deleted')
    assert kubectl("delete", "-f", "-", given=config_map("c")).startswith('configmap "c" deleted')
    kubectl("delete", "configmaps", "--all")
    assert "d" not in kubectl("get", "configmaps", "-o", "name").split("/")
    assert kubectl("delete", "configmap", "a", "--ignore-not-found") == ""
    assert 'configmaps "a" not found' in kubectl.fails("delete", "configmap", "a")


def test_delete_waits_for_finalizers(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given={**config_map("a"), "metadata": {"name": "a", "finalizers": ["x.io/hold"]}})
    kubectl("delete", "configmap", "a", "--wait=false")
    assert kubectl.read("configmap", "a")["metadata"]["deletionTimestamp"]
    waiting = kubectl.start("wait", "--for=delete", "configmap/a", "--timeout=15s")
    kubectl("patch", "configmap", "a", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    said, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 0, said


def _owner_and_owned(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=config_map("owner"))
    uid = kubectl.read("configmap", "owner")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "blockOwnerDeletion": True}
    kubectl(
        "create",
        "-f",
        "-",
        given={**config_map("owned"), "metadata": {"name": "owned", "ownerReferences": [reference]}},
    )


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_a_cascading_delete_takes_what_is_owned(kubectl: Kubectl, cascade: str) -> None:
    _owner_and_owned(kubectl)
    if not kubectl.server.controllers:
        # Nobody collects: what was asked for is all that can be seen.
        kubectl("delete", "configmap", "owner", f"--cascade={cascade}", "--wait=false")
        left = kubectl.read("configmap", "owner", "--ignore-not-found") if cascade == "foreground" else None
        assert left is None or left["metadata"]["finalizers"] == ["foregroundDeletion"]
        return
    kubectl("delete", "configmap", "owner", f"--cascade={cascade}")
    kubectl("wait", "--for=delete", "configmap/owned", "--timeout=10s")


def test_an_orphaning_delete_leaves_what_is_owned(kubectl: Kubectl) -> None:
    _owner_and_owned(kubectl)
    kubectl("delete", "configmap", "owner", "--cascade=orphan", "--wait=false")
    if not kubectl.server.controllers:
        assert kubectl.read("configmap", "owner")["metadata"]["finalizers"] == ["orphan"]
        return
    kubectl("wait", "--for=delete", "configmap/owner", "--timeout=10s")
    assert "ownerReferences" not in kubectl.read("configmap", "owned")["metadata"]


def test_wait_sees_conditions_and_values(kubectl: Kubectl, widgets: str) -> None:
    kubectl("create", "-f", "-", given=widget("w"))
    ready = kubectl.start("wait", "--for=condition=Ready", "widget/w", "--timeout=15s")
    value = kubectl.start("wait", "--for=jsonpath={.status.phase}=Done", "widget/w", "--timeout=15s")
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Yes",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch = json.dumps({"status": {"conditions": [condition], "phase": "Done"}})
    kubectl("patch", "widget", "w", "--type=merge", "--subresource=status", "-p", patch)
    for process in (ready, value):
        said, _ = process.communicate(timeout=20)
        assert (process.returncode, said) == (0, "widget.clients.example.com/w condition met\n")
    assert "timed out waiting for the condition" in kubectl.fails(
        "wait", "--for=condition=Other", "widget/w", "--timeout=1s"
    )


def test_a_definition_and_an_object_of_it_in_one_file(kubectl: Kubectl) -> None:
    group = f"{kubectl.namespace}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    gadget = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "g"}}
    kubectl("api-resources")  # kubectl asks again for a kind it does not know only if what it knows is not fresh.
    first = kubectl.run("create", "-f", "-", given=json.dumps(definition) + json.dumps(gadget))
    assert f"customresourcedefinition.apiextensions.k8s.io/gadgets.{group} created" in first.stdout
    kubectl("wait", "--for=condition=Established", f"crd/gadgets.{group}", "--timeout=10s")
    if kubectl.server.name == "embedded":
        assert first.returncode == 0, first.stderr
    elif first.returncode:  # The real one takes seconds to serve a new kind.
        assert 'no matches for kind "Gadget"' in first.stderr
        kubectl("create", "-f", "-", given=gadget)
    assert kubectl("get", f"gadgets.{group}", "-o", "name") == f"gadget.{group}/g\n"
    kubectl("delete", "crd", f"gadgets.{group}")
    assert 'have a resource type "gadgets"' in kubectl.fails("get", f"gadgets.{group}")


def test_a_rollout_is_followed_and_has_a_history(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=deployment({"name": "c", "image": "i"}, replicas=1))
    waiting = kubectl.run("rollout", "status", "deployment/web", "--timeout=1s")
    assert "Waiting for deployment spec update to be observed" in waiting.stdout
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=10s")
    assert "deployment.apps/web" in kubectl("rollout", "history", "deployment/web")
    assert kubectl("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    assert kubectl("set", "image", "deployment/web", "c=i:2") == "deployment.apps/web image updated\n"


def test_diff_shows_what_apply_would_change(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=config_map("a", k="1"))
    assert kubectl("diff", "-f", "-", given=config_map("a", k="1")) == ""
    changed = kubectl.run("diff", "-f", "-", given=config_map("a", k="2"))
    assert changed.returncode == 1, changed.stderr
    assert '-  k: "1"\n+  k: "2"\n' in changed.stdout
    assert kubectl.read("configmap", "a")["data"] == {"k": "1"}


def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=config_map("a"))
    if not kubectl.server.controllers:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
        assert kubectl.read("namespace", kubectl.namespace)["status"]["phase"] == "Terminating"
        return
    kubectl("delete", "namespace", kubectl.namespace)
    assert "not found" in kubectl.fails("get", "namespace", kubectl.namespace)
    complaint = kubectl.fails("create", "-f", "-", given=config_map("a"))
    assert f'namespaces "{kubectl.namespace}" not found' in complaint
