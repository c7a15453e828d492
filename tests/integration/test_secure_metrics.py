"""Metrics that a real API server guards: ServiceAccounts, their tokens and RBAC, and what goes wrong on the way.

The user ``nobody`` is the process; it is granted the two reviews, as the chart grants them.
"""

from __future__ import annotations

import http.client
import logging
import re
import ssl
import threading
import uuid
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kcontroller import Config, Manager, ManagerOptions, load_config
from kcontroller.embedded.faults import Hang, Refuse
from kcontroller.testing.http_faults import Answer
from kcontroller.testing.http_proxy import HttpFaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller.testing.control_plane import ApiServer
    from tests.integration.daemons import Daemons

    Eventually = Callable[..., Any]

pytestmark = [pytest.mark.real]

REVIEWS = {"authentication.k8s.io": "tokenreviews", "authorization.k8s.io": "subjectaccessreviews"}
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKENS = "/apis/authentication.k8s.io/"
RIGHTS = "/apis/authorization.k8s.io/"


class Accounts(NamedTuple):
    """The tokens of two ServiceAccounts."""

    reader: str
    other: str


@pytest.fixture
def accounts(server: ApiServer, namespace: str) -> Iterator[Accounts]:
    """One that may get /metrics, and one that may not."""
    where = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    tokens = []
    for name in ("reader", "other"):
        assert server.request("POST", where, {"metadata": {"name": name}})[0] == 201
        status, answer = server.request("POST", f"{where}/{name}/token", {"spec": {"expirationSeconds": 600}})
        assert status == 201
        tokens.append(answer["status"]["token"])
    role = f"test-{uuid.uuid4().hex[:10]}"
    rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    assert server.request("POST", f"{RBAC}/clusterroles", {"metadata": {"name": role}, "rules": rules})[0] == 201
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    assert server.request("POST", f"{RBAC}/clusterrolebindings", binding)[0] == 201
    yield Accounts(*tokens)
    for kind in ("clusterrolebindings", "clusterroles"):
        server.request("DELETE", f"{RBAC}/{kind}/{role}")


@pytest.fixture
def reviewer(grant: Callable[..., None]) -> None:
    """Let ``nobody`` review."""
    for group, resource in REVIEWS.items():
        grant("nobody", group=group, resource=resource, verbs=("create",))


@pytest.fixture
def proxy(server: ApiServer) -> Iterator[HttpFaultProxy]:
    with HttpFaultProxy(server.url, ca_pem=server.ca_pem, record=True) as made:
        yield made


@pytest.fixture
def config(server: ApiServer, proxy: HttpFaultProxy, tmp_path: Path) -> Config:
    """Of the process, through the proxy."""
    path = server.write_kubeconfig(tmp_path / "kubeconfig", user="nobody")
    return proxy.config(load_config(kubeconfig=str(path)))


class Page:
    """The metrics of a manager, and its health."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.port = manager._parts.servers.port("metrics")
        self._health = manager._parts.servers.port("health")

    def scrape(self, token: str | None = None, path: str = "/metrics") -> tuple[int, str]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=15, context=context)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def status(self, token: str | None = None) -> int:
        return self.scrape(token)[0]

    def is_alive(self) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self._health, timeout=1)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200


@pytest.fixture
def page(config: Config) -> Iterator[Page]:
    any_port = "127.0.0.1:0"
    options = ManagerOptions(metrics_bind_address=any_port, health_probe_bind_address=any_port, metrics_secure=True)
    with Manager(config, options=options) as manager:
        yield Page(manager)


def asked(proxy: HttpFaultProxy) -> Counter[str]:
    """How many reviews of each kind there were."""
    return Counter(each.target.rpartition("/")[2] for each in proxy.exchanges if each.method == "POST")


@pytest.mark.usefixtures("reviewer")
def test_metrics_are_shown_to_who_may_get_them_and_to_nobody_else(
    page: Page, accounts: Accounts, namespace: str, proxy: HttpFaultProxy
) -> None:
    assert page.scrape() == (401, "unauthorized: send a valid bearer token\n")
    assert page.status("wrong") == 401
    who = f"system:serviceaccount:{namespace}:other"
    assert page.scrape(accounts.other) == (403, f"forbidden: user '{who}' cannot get /metrics\n")
    status, text = page.scrape(accounts.reader)
    assert (status, 'kcontroller_metrics_access_total{result="forbidden"} 1.0' in text) == (200, True)
    assert page.scrape(accounts.reader, "/other")[0] == 404
    for token, answer in (("wrong", 401), (accounts.other, 403), (accounts.reader, 200)):
        assert [page.status(token) for _ in range(3)] == [answer] * 3
    assert asked(proxy) == {"tokenreviews": 3, "subjectaccessreviews": 2}


@pytest.mark.usefixtures("reviewer")
def test_the_token_of_an_account_that_was_deleted_is_nobodys(
    page: Page, accounts: Accounts, server: ApiServer, namespace: str
) -> None:
    assert server.request("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/reader")[0] == 200
    assert page.status(accounts.reader) == 401


def test_the_right_that_is_missing_is_named_in_the_log(
    page: Page, accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    assert page.scrape(accounts.reader) == (500, "it cannot be found out who you are\n")
    assert page.is_alive()
    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert 'User "nobody" cannot create resource "tokenreviews" in API group "authentication.k8s.io"' in said
    assert "grant create on tokenreviews.authentication.k8s.io and subjectaccessreviews.authorization.k8s.io" in said
    assert accounts.reader not in caplog.text


def test_the_second_right_that_is_missing_is_named_too(
    page: Page, accounts: Accounts, grant: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    grant("nobody", group="authentication.k8s.io", resource="tokenreviews", verbs=("create",))
    assert page.status(accounts.reader) == 500
    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert 'User "nobody" cannot create resource "subjectaccessreviews"' in said


@pytest.mark.usefixtures("reviewer")
@pytest.mark.parametrize("path", [TOKENS, RIGHTS], ids=["token", "access"])
def test_while_the_server_cannot_say_it_nothing_is_shown(
    page: Page, accounts: Accounts, proxy: HttpFaultProxy, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcontroller.serving.reviews._PAUSES", (0.01, 0.01))
    nonsense = (Answer(b"no json", code=201), Answer(b"[]", code=201), Answer(b'{"status": 1}', code=201))
    for fault in (Refuse(500), Refuse(503), Answer(b"{}", code=502), *nonsense):
        rule = proxy.add(fault, path_prefix=path)
        assert page.scrape(accounts.reader) == (503, "it cannot be found out who you are; try again later\n"), fault
        proxy.remove(rule)
    assert page.status(accounts.reader) == 200


@pytest.mark.usefixtures("reviewer")
def test_an_answer_that_says_nothing_lets_nobody_in(page: Page, accounts: Accounts, proxy: HttpFaultProxy) -> None:
    proxy.add(Answer(b'{"status": {"user": {"username": "admin"}}}', code=201), path_prefix=TOKENS)
    assert page.status(accounts.reader) == 401
    proxy.clear()
    proxy.add(Answer(b'{"status": {"authenticated": true, "user": {}}}', code=201), path_prefix=TOKENS)
    assert page.status("somebody") == 401
    proxy.clear()
    proxy.add(Answer(b'{"status": {"reason": "allowed"}}', code=201), path_prefix=RIGHTS)
    assert page.status(accounts.other) == 403


@pytest.mark.usefixtures("reviewer")
def test_a_server_that_hangs_or_is_gone_holds_up_neither_health_nor_who_is_known(
    page: Page, accounts: Accounts, proxy: HttpFaultProxy, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    assert page.status(accounts.reader) == 200
    monkeypatch.setattr("kcontroller.serving.reviews.REVIEW_SECONDS", 1.0)
    proxy.add(Hang(), path_prefix=TOKENS)
    answers: list[int] = []
    strangers = [threading.Thread(target=lambda: answers.append(page.status(uuid.uuid4().hex))) for _ in range(6)]
    for each in strangers:
        each.start()
    eventually(lambda: len(answers) == 4)  # Two hang; the others find no turn.
    assert page.status(accounts.reader) == 200
    assert page.is_alive()
    for each in strangers:
        each.join(5)
    proxy.stop()
    assert [*answers, page.status("stranger")] == [503] * 7
    assert page.status(accounts.reader) == 200
    assert page.is_alive()


@pytest.mark.usefixtures("reviewer")
def test_a_command_shows_them_by_https_and_never_a_token(
    run: Daemons, server: ApiServer, accounts: Accounts, tmp_path: Path, eventually: Eventually
) -> None:
    kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig", user="nobody")
    (tmp_path / "quiet.py").write_text(
        "from kcontroller import ObjectReconciler\n\n\n"
        "class QuietReconciler(ObjectReconciler):\n    kind = 'v1 ConfigMap'\n\n"
        "    def reconcile_object(self, ctx, obj):\n        pass\n",
        encoding="utf-8",
    )
    secure = ("--metrics-secure", "--metrics-kubeconfig", str(kubeconfig), "--log-level", "debug")
    where = ("--metrics-bind-address", "127.0.0.1:0", "--health-probe-bind-address", "0", "--log-format", "text")
    source = str(tmp_path / "quiet.py")
    daemon = run.start("run", source, "--kubeconfig", str(kubeconfig), *secure, *where)
    eventually(lambda: daemon.says("serving .*name=metrics"), within=20)
    (port,) = re.findall(r"name=metrics.* port=(\d+)", daemon.text)
    context = ssl.create_default_context(cadata=ssl.get_server_certificate(("127.0.0.1", int(port)), timeout=5))

    def scrape(token: str) -> int:
        connection = http.client.HTTPSConnection("localhost", int(port), timeout=15, context=context)
        with closing(connection):
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status

    assert [scrape(token) for token in (accounts.reader, accounts.other, "wrong")] == [200, 403, 401]
    assert daemon.stop() == 0
    assert [token for token in accounts if token in daemon.text] == []
