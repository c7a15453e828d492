from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.cases import part

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("create, update, patch")


@case
def a_deployment_has_defaults(api: Dialogue) -> None:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    api.post(api.path("deployments", "apps/v1"), body)


@case
def a_pod_has_defaults(api: Dialogue) -> None:
    api.post(api.path("pods"), {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})


@case
def a_headless_service_has_defaults(api: Dialogue) -> None:
    spec = {"clusterIP": "None", "selector": {"app": "a"}, "ports": [{"port": 80}]}
    api.post(api.path("services"), {"metadata": {"name": "a"}, "spec": spec})


@case
def a_secret_has_defaults(api: Dialogue) -> None:
    api.post(api.path("secrets"), {"metadata": {"name": "a"}, "stringData": {"k": "v"}, "data": {"l": "dg=="}})
    api.post(api.path("secrets"), {"metadata": {"name": "b"}, "data": {"l": "v"}}, expect=400)
