"""Tracked reads on the real API server, with the rights to one object and no others of its kind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Manager, ManagerOptions, Reconciler, load_config
from kcontroller.testing import eventually
from tests.integration.conftest import config_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller import Builder, Context, Request
    from kcontroller.testing.control_plane import ApiServer, ControlPlane

SECRET = "v1 Secret"
USER = "nobody"  # May do nothing but what a test grants.


class Follower(Reconciler):
    """Notes what the one Secret says whenever it is called."""

    name = "follower"

    def __init__(self, secret: Key) -> None:
        self.secret = secret
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self._lock = threading.Lock()

    def setup(self, builder: Builder) -> None:
        builder.for_("v1 ConfigMap")

    def reconcile(self, ctx: Context, request: Request) -> None:
        secret = ctx.client.get_or_none(SECRET, self.secret, track=True)
        says = "" if secret is None else secret["metadata"]["labels"]["says"]
        with self._lock:
            self.seen.append((says, ctx.reasons))

    @property
    def last(self) -> tuple[str, tuple[str, ...]]:
        return self.seen[-1] if self.seen else ("-", ())


class Stage:
    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.secrets = f"/api/v1/namespaces/{namespace}/secrets"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.server.request(method, path, body)
        assert status < 300, (status, answer)
        return answer

    def say(self, text: str, *, create: bool = False) -> None:
        body = {"metadata": {"name": "one", "labels": {"says": text}}}
        self.ask("POST" if create else "PUT", self.secrets if create else f"{self.secrets}/one", body)

    def grant(self, verbs: list[str]) -> None:
        """Let the user see ConfigMaps, and of Secrets the one."""
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        rules = [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": verbs},
        ]
        role = {"metadata": {"name": "one"}, "rules": rules}
        self.ask("POST", f"{base}/roles", role)
        subjects = [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}]
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"}
        self.ask("POST", f"{base}/rolebindings", {"metadata": {"name": "one"}, "roleRef": ref, "subjects": subjects})


@pytest.fixture
def stage(server: ApiServer, namespace: str) -> Stage:
    made = Stage(server, namespace)
    made.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map(namespace, "a"))
    return made


@pytest.fixture
def follow(
    control_plane: ControlPlane, server: ApiServer, stage: Stage, tmp_path: Path
) -> Iterator[Callable[[], tuple[Manager, Follower]]]:
    managers: list[Manager] = []

    def begin() -> tuple[Manager, Follower]:
        config = load_config(kubeconfig=str(server.write_kubeconfig(tmp_path / "kubeconfig", user=USER)))
        manager = Manager(
            config,
            options=ManagerOptions(
                metrics_bind_address="0", health_probe_bind_address="0", namespaces=(stage.namespace,)
            ),
        )
        follower = Follower(Key(stage.namespace, "one"))
        manager.add(follower)
        managers.append(manager)
        manager.start()
        assert manager.wait_ready(15), manager.pending()
        return manager, follower

    yield begin
    for manager in managers:
        manager.stop(grace=5)


def test_the_rights_to_one_object_are_enough_to_follow_it(
    stage: Stage, follow: Callable[[], tuple[Manager, Follower]]
) -> None:
    stage.grant(["get", "list", "watch"])
    _manager, follower = follow()
    eventually(lambda: follower.last[0] == "", within=10)
    stage.say("hello", create=True)
    eventually(lambda: follower.last == ("hello", ("tracked Secret created",)), within=10)
    stage.say("again")
    eventually(lambda: follower.last == ("again", ("tracked Secret updated",)), within=10)
    stage.ask("DELETE", f"{stage.secrets}/one")
    eventually(lambda: follower.last == ("", ("tracked Secret deleted",)), within=10)


def test_without_the_right_to_watch_it_is_read_live_and_the_missing_right_is_named(
    stage: Stage, follow: Callable[[], tuple[Manager, Follower]]
) -> None:
    stage.say("hello", create=True)
    stage.grant(["get"])
    manager, follower = follow()
    eventually(lambda: follower.last[0] == "hello", within=10)
    cluster = manager.clusters.get("")
    eventually(cluster.troubles, within=10)
    (text,) = cluster.troubles().values()

    assert "grant this user the verbs get, list and watch on secrets" in text
    assert f"no reconcile hears of changes of {stage.namespace}/one" in text
    assert manager.pending() == ()
