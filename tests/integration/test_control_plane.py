from __future__ import annotations

import os
from io import BytesIO
from typing import TYPE_CHECKING

import pycurl
import pytest
import yaml

from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    from kcontroller.testing.control_plane import ApiServer, ControlPlane

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def create_config_map(server: ApiServer, name: str) -> None:
    status, answer = server.request("POST", CONFIG_MAPS, {"metadata": {"name": name}})
    assert status == 201, answer


def test_the_admin_token_may_do_everything(control_plane: ControlPlane) -> None:
    status, answer = control_plane.servers[0].request("GET", "/api/v1/namespaces")
    assert status == 200
    assert "default" in {item["metadata"]["name"] for item in answer["items"]}


def test_the_user_nobody_is_forbidden(control_plane: ControlPlane) -> None:
    status, answer = control_plane.servers[0].request("GET", CONFIG_MAPS, user="nobody")
    assert (status, answer["reason"]) == (403, "Forbidden")


def test_an_unknown_user_is_refused_by_name(control_plane: ControlPlane) -> None:
    with pytest.raises(ControlPlaneError, match=r"no user 'eve'; there are admin, nobody"):
        control_plane.servers[0].user_token("eve")


def test_a_token_of_one_server_is_unknown_to_the_other(control_plane: ControlPlane) -> None:
    first, second = control_plane.servers
    assert curl(second, authority=second.ca_pem, token=second.token) == 200
    assert curl(second, authority=second.ca_pem, token=first.token) == 401


def test_servers_do_not_see_each_others_objects(control_plane: ControlPlane) -> None:
    first, second = control_plane.servers
    create_config_map(first, "only-on-the-first")
    assert second.request("GET", f"{CONFIG_MAPS}/only-on-the-first")[0] == 404


def test_libcurl_verifies_the_certificate_by_the_authority_alone(control_plane: ControlPlane) -> None:
    first, second = control_plane.servers
    assert curl(first, authority=first.ca_pem, token=first.token) == 200
    with pytest.raises(pycurl.error) as failure:
        curl(first, authority=second.ca_pem, token=first.token)
    assert failure.value.args[0] == pycurl.E_PEER_FAILED_VERIFICATION


def curl(server: ApiServer, *, authority: str, token: str) -> int:
    handle = pycurl.Curl()
    try:
        handle.setopt(pycurl.URL, f"{server.url}/api/v1/namespaces")
        handle.setopt(pycurl.CAINFO_BLOB, authority)
        handle.setopt(pycurl.HTTPHEADER, [f"Authorization: Bearer {token}"])
        handle.setopt(pycurl.WRITEDATA, BytesIO())
        handle.perform()
        return handle.getinfo(pycurl.RESPONSE_CODE)
    finally:
        handle.close()


def test_the_kubeconfig_has_one_private_context_per_server(control_plane: ControlPlane) -> None:
    document = yaml.safe_load(control_plane.kubeconfig.read_text())
    assert [context["name"] for context in document["contexts"]] == ["envtest-0", "envtest-1"]
    assert document["current-context"] == "envtest-0"
    assert control_plane.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_a_crash_keeps_address_data_and_credentials(fresh_control_plane: ControlPlane) -> None:
    server = fresh_control_plane.servers[0]
    create_config_map(server, "kept")
    fresh_control_plane.kill(0)
    with pytest.raises(ConnectionRefusedError):
        server.request("GET", "/readyz")
    fresh_control_plane.start(0)
    assert server.request("GET", f"{CONFIG_MAPS}/kept")[0] == 200


def test_a_restart_and_a_pause_leave_a_ready_server(fresh_control_plane: ControlPlane) -> None:
    before = fresh_control_plane.process(0).pid
    fresh_control_plane.restart(0)
    assert fresh_control_plane.process(0).pid != before
    fresh_control_plane.pause(0)
    fresh_control_plane.resume(0)
    assert fresh_control_plane.servers[0].request("GET", "/readyz") == (200, "ok")


def test_the_end_leaves_no_process_and_no_file(fresh_control_plane: ControlPlane) -> None:
    numbers = [fresh_control_plane.etcd.pid, fresh_control_plane.process(0).pid]
    fresh_control_plane.stop()
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert not fresh_control_plane.directory.exists()
