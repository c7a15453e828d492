"""Writes that kube-apiserver carries out while its answer is lost, and what its admission makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Object
from kcontroller.api.objects import key_of
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports
from kcontroller.errors import Conflict, OutcomeUnknown
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, bearer
from kcontroller.transport.messages import HttpResponse
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing import ControlPlane
    from kcontroller.transport.messages import HttpRequest

CLAIM = "v1 PersistentVolumeClaim"
POLICY = "networking.k8s.io/v1 NetworkPolicy"


class Road:
    """A `Sender` that loses the answer of the next write, which may have been carried out or not."""

    def __init__(self, requester: Requester) -> None:
        self.requester = requester
        self.lose = self.serve = False
        self.answer: HttpResponse | None = None

    def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        if request.read_only or not self.lose:
            return self.requester.send(request, **options)
        self.lose = False
        if self.serve:
            self.requester.send(request, **options)
        if self.answer is None:
            raise OutcomeUnknown("lost")
        return self.answer

    def loses(self, *, serve: bool, answer: HttpResponse | None = None) -> None:
        self.lose, self.serve, self.answer = True, serve, answer


@pytest.fixture
def road(control_plane: ControlPlane) -> Iterator[Road]:
    server = control_plane.servers[0]
    credentials = StaticCredentials(bearer(server.token, what="test"))
    requester = Requester(Config(server.url, credentials, TLSConfig(ca=server.ca_pem.encode()), source="test"))
    yield Road(requester)
    requester.close()


def client_of(road: Road) -> Client:
    direct = DirectPort(road, RestMapper(road.requester))
    return Client(Ports(reader=direct, live=direct, writer=direct))


@pytest.mark.parametrize(
    "answer", [None, HttpResponse(500, {"retry-after": "2"}, b'{"kind":"Status","reason":"ServerTimeout"}')]
)
def test_a_claim_to_which_admission_adds_a_finalizer_is_made_once(road: Road, answer: HttpResponse | None) -> None:
    metadata = {"generateName": "claim-", "namespace": "default", "finalizers": ["example.com/a"]}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    client = client_of(road)
    road.loses(serve=True, answer=answer)
    made = client.create(
        Object({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    )
    there = client.list(CLAIM, namespace="default")
    for each in there:
        client.delete(each)
        each.metadata.finalizers = []
        client.patch(each)

    assert [each.metadata.name for each in there] == [made.metadata.name]
    assert set(made.metadata.finalizers) == {"example.com/a", "kubernetes.io/pvc-protection"}


def test_an_update_of_an_empty_selector_is_not_done_until_it_shows(road: Road) -> None:
    client = client_of(road)
    metadata = {"generateName": "policy-", "namespace": "default"}
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}
    policy = client.create(
        Object({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
    )
    key = key_of(policy)
    policy["spec"]["ingress"] = [{"from": [{"namespaceSelector": {}}]}]
    road.loses(serve=False)
    client.update(policy)
    read = client.get(POLICY, key)
    assert read["spec"]["ingress"] == [{"from": [{"namespaceSelector": {}}]}]

    other = client.get(POLICY, key)
    other.metadata.labels = {"by": "another"}
    client.update(other)
    read["spec"]["ingress"] = [{"from": [{"podSelector": {}}]}]
    road.loses(serve=False)
    with pytest.raises(Conflict):
        client.update(read)
    client.delete(other)
