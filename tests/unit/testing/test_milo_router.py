from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded.faults import Cut, Delay, Hang, Refuse
from kcontroller.testing import EmbeddedServer, MiloRouter
from tests.unit.transport.scripted import AUTHORITY, Call, Server, tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CA = AUTHORITY.cert_pem.bytes().decode()
CANONICAL = "/apis/resourcemanager.miloapis.com/v1alpha1/projects/{}/control-plane"
CONFIG_MAPS = CANONICAL + "/api/v1/configmaps"


def act(call: Call) -> None:
    """Watch until the test says something, or echo."""
    if "watch=1" in call.request.target:
        call.begin()
        call.chunk(b"first\n")
        call.hold()
    else:
        what = {"target": call.request.target, "body": call.request.body.decode(), "headers": call.request.headers}
        call.reply(201, json.dumps(what).encode())


@dataclass
class Place:
    """A scripted server and its authority, as the router wants them."""

    server: Server
    ca_pem: str = CA

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="module")
def serving() -> ssl.SSLContext:
    return tls()


@pytest.fixture
def servers(serving: ssl.SSLContext) -> Iterator[list[Server]]:
    """The root, p1's and p2's."""
    with ExitStack() as stack:
        yield [stack.enter_context(Server(act, serving)) for _ in range(3)]


@pytest.fixture
def router(servers: list[Server]) -> Iterator[MiloRouter]:
    root, one, two = (Place(server) for server in servers)
    with MiloRouter(root, {"p1": one, "p2": two}) as made:
        yield made


@pytest.fixture
def connect(router: MiloRouter) -> Iterator[Callable[[], http.client.HTTPSConnection]]:
    trust = ssl.create_default_context(cadata=router.ca_pem)
    made: list[http.client.HTTPSConnection] = []

    def connect() -> http.client.HTTPSConnection:
        made.append(http.client.HTTPSConnection("127.0.0.1", router.port, timeout=10, context=trust))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


@pytest.fixture
def ask(connect: Callable[[], http.client.HTTPSConnection]) -> Callable[..., tuple[int, Any]]:
    connection = connect()

    def ask(path: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
        connection.request(method, path, body=body, headers={"Authorization": "Bearer t"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    return ask


def targets(servers: list[Server]) -> list[list[str]]:
    return [[seen.target for seen in server.seen] for server in servers]


@pytest.mark.parametrize(
    ("path", "where", "there"),
    [
        pytest.param(CANONICAL.format("p1") + "/api/v1/pods?limit=1", 1, "/api/v1/pods?limit=1", id="canonical"),
        pytest.param("/projects/p2/control-plane/api", 2, "/api", id="short"),
        pytest.param("/gateway/projects/p2/control-plane/api", 2, "/api", id="behind a gateway's prefix"),
        pytest.param(CANONICAL.format("p1") + "/api/a%2Fb?s=a%3Db", 1, "/api/a%2Fb?s=a%3Db", id="encoded"),
        pytest.param("/api/v1/nodes", 0, "/api/v1/nodes", id="root"),
        pytest.param(CANONICAL.format("p1"), 0, CANONICAL.format("p1"), id="without a slash it is a subresource"),
        pytest.param("/api?a=/projects/p1/control-plane/x", 0, "/api?a=/projects/p1/control-plane/x", id="in a query"),
    ],
)
def test_a_path_leads_to_the_server_of_its_project_and_the_rest_to_the_root(
    path: str, where: int, there: str, ask: Callable[..., tuple[int, Any]], servers: list[Server]
) -> None:
    status, answer = ask(path, "POST", "hello")

    assert (status, answer["target"], answer["body"]) == (201, there, "hello")
    assert answer["headers"]["authorization"] == "Bearer t"
    assert targets(servers) == [[there] if number == where else [] for number in range(3)]


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("", "?labelSelector=resourcemanager.miloapis.com%2Forganization-name%3Dacme"),
        (
            "?labelSelector=a&limit=1",
            "?labelSelector=a%2Cresourcemanager.miloapis.com%2Forganization-name%3Dacme&limit=1",
        ),
        ("?watch=true&limit=1", "?watch=true&limit=1"),
    ],
)
def test_an_organization_lists_its_own_projects_and_watches_those_of_all(
    query: str, there: str, ask: Callable[..., tuple[int, Any]], servers: list[Server]
) -> None:
    projects = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
    theirs = "/apis/resourcemanager.miloapis.com/v1alpha1/organizations/acme/control-plane"
    ask(theirs + projects + query)
    ask(f"{theirs}{CANONICAL.format('p1')}/api")

    assert targets(servers) == [[projects + there], ["/api"], []]


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("", None),
        (CANONICAL.format("p1"), ["Project", "p1"]),
        ("/projects/p1/control-plane", ["Project", "p1"]),
        ("/organizations/acme/control-plane", ["Organization", "acme"]),
    ],
)
def test_a_review_shows_by_whose_path_it_came(path: str, parent: Any, api_server: EmbeddedServer) -> None:
    with MiloRouter(api_server, {"p1": api_server}) as router:
        trust = ssl.create_default_context(cadata=router.ca_pem)
        connection = http.client.HTTPSConnection("127.0.0.1", router.port, timeout=10, context=trust)
        headers = {"Authorization": f"Bearer {api_server.token}", "Content-Type": "application/json"}
        connection.request("POST", f"{path}/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}", headers)
        answer = connection.getresponse()
        user = json.loads(answer.read())["status"]["userInfo"]
        connection.close()

    extra = user.get("extra", {})
    found = [extra.get(f"iam.miloapis.com/parent-{part}", [None])[0] for part in ("type", "name")]
    assert (answer.status, user["username"]) == (201, "admin")
    assert found == (parent or [None, None])


def test_a_project_without_a_server_is_not_found_until_it_gets_one(
    router: MiloRouter, ask: Callable[..., tuple[int, Any]], servers: list[Server]
) -> None:
    path = CONFIG_MAPS.format("p3")
    status, answer = ask(path)
    assert (status, answer["kind"], answer["reason"]) == (404, "Status", "NotFound")
    assert targets(servers) == [[], [], []]

    router.assign("p3", Place(servers[1]))
    assert ask(path)[0] == 201
    assert targets(servers) == [[], ["/api/v1/configmaps"], []]


def test_a_watch_of_a_project_arrives_at_once_and_stands_still_while_its_project_hangs(
    router: MiloRouter, connect: Callable[[], http.client.HTTPSConnection], serving: ssl.SSLContext
) -> None:
    go_on = threading.Event()

    def drip(call: Call) -> None:
        call.begin()
        call.chunk(b"first\n")
        go_on.wait(10)
        call.chunk(b"second\n")
        call.end()

    with Server(drip, serving) as dripping:
        router.assign("p1", Place(dripping))
        watch = connect()
        watch.request("GET", CONFIG_MAPS.format("p1") + "?watch=1")
        answer = watch.getresponse()
        assert answer.readline() == b"first\n"

        hang = router.add(Hang(), project="p1")
        go_on.set()
        reader, lines = threading.Thread(target=lambda: lines.append(answer.readline())), []
        reader.start()
        reader.join(0.05)
        assert lines == []
        hang.remove()
        reader.join(10)
        assert lines == [b"second\n"]


def test_a_fault_of_one_project_is_none_of_the_others(
    router: MiloRouter, ask: Callable[..., tuple[int, Any]], servers: list[Server]
) -> None:
    rule = router.add(Refuse(429, retry_after=1), project="p1")
    router.add(Delay(0.001), project="p2")

    assert [ask(path)[0] for path in (CONFIG_MAPS.format("p1"), CONFIG_MAPS.format("p2"), "/api")] == [429, 201, 201]
    assert targets(servers) == [["/api"], [], ["/api/v1/configmaps"]]
    rule.remove()
    assert ask(CONFIG_MAPS.format("p1"))[0] == 201


def test_a_connection_to_a_refused_project_ends(
    router: MiloRouter, connect: Callable[[], http.client.HTTPSConnection]
) -> None:
    router.add(Cut(), project="p1")
    connection = connect()
    connection.request("GET", CONFIG_MAPS.format("p1"))

    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()


def test_what_is_under_way_in_one_project_can_be_cut_alone(
    router: MiloRouter, connect: Callable[[], http.client.HTTPSConnection]
) -> None:
    first, second = connect(), connect()
    for connection, project in ((first, "p1"), (second, "p2")):
        connection.request("GET", CONFIG_MAPS.format(project) + "?watch=1")
    cut, kept = first.getresponse(), second.getresponse()
    assert [cut.readline(), kept.readline()] == [b"first\n", b"first\n"]

    assert router.cut(project="p1", watch=True) == 1
    with pytest.raises(http.client.IncompleteRead):
        cut.read()
    assert select.select([second.sock], [], [], 0.01)[0] == []


def test_each_project_may_be_a_whole_server_with_an_authority_of_its_own() -> None:
    with EmbeddedServer() as root, EmbeddedServer() as one, MiloRouter(root, {"p1": one}) as router:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", router.port, timeout=10, context=ssl.create_default_context(cadata=router.ca_pem)
        )
        name = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}
        path = CANONICAL.format("p1") + "/api/v1/namespaces"
        headers = {"Authorization": f"Bearer {one.token}", "Content-Type": "application/json"}
        connection.request("POST", path, body=json.dumps(name), headers=headers)
        assert connection.getresponse().status == 201
        connection.close()

        assert one.request("GET", "/api/v1/namespaces/mine")[0] == 200
        assert root.request("GET", "/api/v1/namespaces/mine")[0] == 404
