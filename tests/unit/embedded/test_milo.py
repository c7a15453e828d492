from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded.milo import ColdStorage, Milo, control_plane_path, place_of
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
INSIDE = f"{PROJECTS}/one/control-plane"


@pytest.fixture
def milo(new_server: Any) -> Any:
    return new_server(options=Milo(projects=("one", "two"), cold_storage=False))


def condition(project: dict[str, Any], kind: str) -> str:
    return next(c["status"] for c in project["status"]["conditions"] if c["type"] == kind)


def test_a_path_leads_to_the_control_plane_of_its_first_project() -> None:
    assert place_of(f"{INSIDE}/api/v1/namespaces").plane == "one"
    assert place_of(f"{INSIDE}/api/v1/namespaces").path == "/api/v1/namespaces"
    assert place_of("/gateway/projects/one/control-plane/api").plane == "one"
    assert place_of("/projects/one/control-plane/projects/two/control-plane/api").plane == "one"
    assert place_of("/projects/one/control-plane/x").extra["iam.miloapis.com/parent-name"] == ("one",)


def test_without_the_slash_the_path_is_that_of_a_subresource() -> None:
    assert place_of(INSIDE).plane == ""
    assert place_of(PROJECTS).plane == ""


def test_a_path_is_built_for_a_project_and_empty_for_the_root() -> None:
    assert control_plane_path("one") == INSIDE
    assert control_plane_path("") == ""


def test_the_path_of_an_organization_leads_to_the_root_unless_a_project_follows() -> None:
    theirs = "/apis/resourcemanager.miloapis.com/v1alpha1/organizations/acme/control-plane"
    place = place_of(f"{theirs}{PROJECTS}")

    assert (place.plane, place.path, place.organization) == ("", PROJECTS, "acme")
    assert place.extra["iam.miloapis.com/parent-type"] == ("Organization",)
    assert place_of(f"/gateway{theirs}{INSIDE}/api").plane == "one"
    assert place_of(f"{theirs}{INSIDE}/api").extra["iam.miloapis.com/parent-type"] == ("Project",)


def test_an_organization_lists_its_own_projects_and_watches_those_of_all(new_server: Any) -> None:
    server = new_server(options=Milo(projects=("ours",), organization="acme", cold_storage=False))
    stranger = {
        "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
        "kind": "Project",
        "metadata": {"name": "theirs", "labels": {"resourcemanager.miloapis.com/organization-name": "evil"}},
        "spec": {"ownerRef": {"kind": "Organization", "name": "evil"}},
    }
    server.done("POST", PROJECTS, stranger)
    theirs = f"/apis/resourcemanager.miloapis.com/v1alpha1/organizations/acme/control-plane{PROJECTS}"

    assert server.names(PROJECTS) == ["ours", "theirs"]
    assert server.names(theirs) == ["ours"]
    assert server.names(f"{theirs}?labelSelector=resourcemanager.miloapis.com/organization-name=evil") == []
    assert server.done("GET", f"{theirs}/theirs")["metadata"]["name"] == "theirs"


def test_projects_become_ready_with_a_control_plane_object_and_a_default_namespace(milo: Any) -> None:
    project = milo.done("GET", f"{PROJECTS}/one")

    assert condition(project, "Ready") == "True"
    assert project["metadata"]["finalizers"] == ["resourcemanager.miloapis.com/project-controller"]
    plane = milo.done("GET", "/apis/infrastructure.miloapis.com/v1alpha1/projectcontrolplanes/one")
    assert condition(plane, "ControlPlaneReady") == "False"
    assert milo.names(f"{INSIDE}/api/v1/namespaces") == ["default"]


def test_a_suspended_project_takes_no_writes_but_those_that_let_a_deletion_end(
    milo: Any, new_config_map: Callable[..., Any]
) -> None:
    maps = f"{INSIDE}/api/v1/namespaces/default/configmaps"
    milo.done("POST", maps, new_config_map("kept"))
    going = new_config_map("going")
    going["metadata"]["finalizers"] = ["example.com/x"]
    milo.done("POST", maps, going)
    milo.done("DELETE", f"{maps}/going")
    suspend(milo, "one", "True")

    code, status = milo.ask("POST", maps, new_config_map("b"))
    assert (code, status["reason"]) == (403, "Forbidden")
    assert [cause["reason"] for cause in status["details"]["causes"]] == ["ProjectSuspended"]
    patch = {"data": {"a": "b"}}
    assert milo.ask("PATCH", f"{maps}/kept", patch, "application/merge-patch+json")[0] == 403
    assert milo.names(maps) == ["going", "kept"]
    free = {"metadata": {"finalizers": None}}
    milo.done("PATCH", f"{maps}/going", free, "application/merge-patch+json")
    milo.done("DELETE", f"{maps}/kept")
    assert milo.names(maps) == []
    milo.done("POST", f"{PROJECTS}/two/control-plane/api/v1/namespaces/default/configmaps", new_config_map("b"))

    suspend(milo, "one", "False")
    milo.done("POST", maps, new_config_map("b"))


def suspend(server: Any, name: str, status: str) -> None:
    project = server.done("GET", f"{PROJECTS}/{name}")
    conditions = [each for each in project["status"]["conditions"] if each["type"] != "Suspended"]
    told = {"type": "Suspended", "status": status, "reason": "Test", "message": ""}
    conditions.append({**told, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    body = {"status": {"conditions": conditions}}
    server.done("PATCH", f"{PROJECTS}/{name}/status", body, "application/merge-patch+json")


def test_by_hand_a_new_project_has_no_condition_that_says_ready(new_server: Any) -> None:
    server = new_server(options=Milo(projects=("one",), readiness="manual"))
    project = server.done("GET", f"{PROJECTS}/one")
    assert "status" not in project

    status = {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Test",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    }
    server.done("PATCH", f"{PROJECTS}/one/status", {"status": status}, "application/merge-patch+json")
    assert condition(server.done("GET", f"{PROJECTS}/one"), "Ready") == "True"


def test_projects_share_definitions_and_versions_but_no_objects(milo: Any, new_config_map: Callable[..., Any]) -> None:
    first = milo.done("POST", f"{INSIDE}/api/v1/namespaces/default/configmaps", new_config_map("a"))
    second = milo.done("POST", "/api/v1/namespaces/default/configmaps", new_config_map("a"))

    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert milo.names(f"{PROJECTS}/two/control-plane/api/v1/configmaps") == []
    definitions = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert milo.names(f"{INSIDE}/{definitions}") == milo.names(f"/{definitions}")


def test_a_control_plane_answers_without_a_project(milo: Any) -> None:
    assert milo.names(f"{PROJECTS}/never-made/control-plane/api/v1/namespaces") == []


def test_a_project_that_goes_takes_its_namespaces_but_not_what_is_cluster_scoped(milo: Any) -> None:
    milo.done(
        "POST", f"{INSIDE}/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    )

    milo.done("DELETE", f"{PROJECTS}/one")

    assert milo.names(PROJECTS) == ["two"]
    assert milo.names(f"{INSIDE}/api/v1/namespaces") == ["default"]


def test_a_finalizer_inside_holds_the_project(milo: Any, new_config_map: Callable[..., Any]) -> None:
    milo.done(
        "POST", f"{INSIDE}/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    )
    inside = f"{INSIDE}/api/v1/namespaces/n/configmaps"
    milo.done("POST", inside, new_config_map("a", finalizers=["example.com/wait"]))

    milo.done("DELETE", f"{PROJECTS}/one")
    project = milo.done("GET", f"{PROJECTS}/one")
    assert (condition(project, "ResourceCleanup"), condition(project, "Ready")) == ("True", "True")

    milo.merge(f"{inside}/a", {"metadata": {"finalizers": None}})
    assert milo.names(PROJECTS) == ["two"]


def test_a_project_needs_an_organization(milo: Any) -> None:
    project = {
        "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
        "kind": "Project",
        "metadata": {"name": "x"},
        "spec": {"ownerRef": {"kind": "User", "name": "x"}},
    }

    assert milo.ask("POST", PROJECTS, project)[0] == 422


def test_projects_serve_a_small_part_of_the_core(milo: Any) -> None:
    assert milo.ask("GET", f"{INSIDE}/api/v1/pods")[0] == 404
    assert milo.ask("GET", "/api/v1/pods")[0] == 200


def test_the_first_list_of_cold_storage_is_answered_with_429(milo: Any) -> None:
    times = iter([100.0, 100.005, 100.02])
    cold = ColdStorage(lambda: next(times))
    call = milo.call("GET", f"{INSIDE}/api/v1/namespaces")
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            cold.check(call)
        assert (refused.value.code, refused.value.headers["Retry-After"]) == (429, "1")

    cold.check(call)
    cold.check(milo.call("GET", "/api/v1/namespaces"))


def test_readiness_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match="'controller' or 'manual'"):
        Milo(readiness="auto")
