from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cache.store import Change
from kcontroller.cluster import Source
from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.kubeconfig import KubeconfigProvider
from kcontroller.process.repeats import NAMED
from kcontroller.testing.polling import eventually
from kcontroller.testing.providers import Told
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.controller.fakes import FakeCluster
from tests.unit.multicluster.providers.told import LABELS, SECRET, kubeconfig, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.cache.projection import Entry

CANARY = "canary-5f3a"


class World:
    """A provider on a hub whose Secrets are what the test says."""

    def __init__(self, **options: Any) -> None:
        self.told = Told()
        self.hub = FakeCluster()
        self.hub.config = Config("https://hub.test", StaticCredentials(), namespace="fleet")  # type: ignore[attr-defined]
        self.provider = KubeconfigProvider(**options)
        self.provider.start(self.told, hub=self.hub)  # type: ignore[arg-type]
        self._before: dict[str, Entry] = {}

    def see(self, *entries: Entry) -> list[str]:
        """Let these states be seen, and wait until the provider has looked."""
        for entry in entries:
            name = entry.key.name
            self.hub.tell("v1 Secret", Change(self._before.get(name), entry))
            self._before[name] = entry
        return self.settled()

    def lose(self, name: str = "east") -> list[str]:
        self.hub.tell("v1 Secret", Change(self._before.pop(name), None))
        return self.settled()

    def settled(self) -> list[str]:
        mark = self.told.said.count("(listed)")
        self.provider._mailbox.post(self.told.listed)
        eventually(lambda: self.told.said.count("(listed)") > mark)
        return [said for said in self.told.said if said != "(listed)"]


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(**options))
        return made[-1]

    yield make
    for each in made:
        each.provider.stop()


def why(said: list[str]) -> str:
    return said[-1].partition(": ")[2]


def test_a_secret_is_a_cluster_with_its_name_uid_and_labels(world: Callable[..., World]) -> None:
    made = world()
    made.see(secret(labels={**LABELS, "tier": "gold"}))
    (spec,) = made.told.specs

    assert (spec.name, spec.uid, spec.config.server) == ("east", "u1", "https://east.test")
    assert spec.labels == (("kcontroller.dev/kubeconfig", "true"), ("tier", "gold"))
    assert spec.source == Source("v1", "Secret", "east", "fleet", "u1")


def test_only_secrets_of_one_namespace_with_the_label_are_asked_for(world: Callable[..., World]) -> None:
    (holding,) = world().hub.kinds[SECRET].holdings
    assert holding is not None
    assert (holding.namespaces, str(holding.labels)) == (("fleet",), "kcontroller.dev/kubeconfig=true")

    (holding,) = world(namespace="other", selector="a in (b,c)").hub.kinds[SECRET].holdings
    assert holding is not None
    assert (holding.namespaces, str(holding.labels)) == (("other",), "a in (b,c)")


def test_it_is_listed_when_every_secret_has_been_looked_at(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = world()
    made.see(secret(), secret("west", "nonsense"))
    made.told.said.clear()
    made.hub.synced()
    made.settled()

    assert made.told.said.count("(listed)") == 2
    text = "2 Secrets with kcontroller.dev/kubeconfig=true in namespace fleet found; 1 can be used"
    assert text in [record.getMessage() for record in caplog.records]


def test_many_changes_in_a_row_are_looked_at_once(world: Callable[..., World]) -> None:
    made = world()
    busy = threading.Event()
    made.provider._mailbox.post(lambda: bool(busy.wait(10)))
    for number in range(100):
        made.hub.tell("v1 Secret", Change(None, secret(version=str(number + 1))))
    busy.set()

    assert made.settled() == ["east"]


def test_a_rotated_secret_is_the_same_cluster_with_another_configuration(world: Callable[..., World]) -> None:
    made = world()
    made.see(secret())
    made.see(secret(text=kubeconfig(user={"token": "new"}), version="2"))
    first, second = made.told.specs[0], made.told.specs[-1]

    assert (first.name, first.uid) == (second.name, second.uid)
    assert second.config.credentials.authorization() == "Bearer new"
    assert first.identity != second.identity


def test_other_labels_are_the_same_connection(world: Callable[..., World]) -> None:
    made = world()
    made.see(secret())
    made.see(secret(version="2", labels={**LABELS, "tier": "gold"}))
    first, second = made.told.specs

    assert first.config is second.config
    assert dict(second.labels)["tier"] == "gold"


def test_a_secret_that_loses_the_label_or_goes_is_a_cluster_that_leaves(world: Callable[..., World]) -> None:
    gone = "east: its Secret is gone, or does not have the labels any more"
    made = world()
    made.see(secret())

    assert made.lose()[-1] == gone
    made.see(secret())
    assert made.see(secret(version="2", labels={}))[-1] == gone


def test_another_key_and_context_may_be_named(world: Callable[..., World]) -> None:
    two = kubeconfig(
        contexts=[{"name": name, "context": {"cluster": name, "user": "u"}} for name in ("c", "d")],
        clusters=[{"name": name, "cluster": {"server": f"https://{name}.test"}} for name in ("c", "d")],
    )
    made = world(key="value", context="d")
    made.see(secret(text=two, key="value"))
    assert made.told.specs[0].config.server == "https://d.test"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (kubeconfig(user={"exec": {"command": "x"}}), "exec runs a program, which is refused here; use a token"),
        (kubeconfig(user={"auth-provider": {"name": "gcp"}}), "auth-provider 'gcp' is not supported"),
        (kubeconfig(user={"tokenFile": "/t"}), "tokenFile names a file, which is refused here; use token instead"),
        (kubeconfig(user={"client-certificate": "/c", "client-key": "/k"}), "client-certificate names a file"),
        (kubeconfig(cluster={"certificate-authority": "/ca"}), "certificate-authority names a file"),
        (kubeconfig(cluster={"proxy-url": "http://10.0.0.1"}), "proxy-url is refused here"),
        (kubeconfig(cluster={"insecure-skip-tls-verify": True}), "insecure-skip-tls-verify is refused here"),
        (kubeconfig(cluster={"server": "http://east.test"}), "server http://east.test is refused here; use https"),
        (kubeconfig(cluster={"server": "https://169.254.169.254"}), "169.254.169.254 is this machine, its link or"),
        (kubeconfig(cluster={"tls-server-name": "kubernetes"}), "tls-server-name is refused here"),
        ("nonsense", "must be a mapping with clusters, contexts and users"),
        ("", "is empty"),
    ],
)
def test_what_is_more_than_data_is_refused_in_one_line_and_once(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    made = world()
    said = made.see(secret(text=text))
    said = made.see(secret(text=text, version="2"))

    assert reason in why(said)
    assert "Secret fleet/east" in why(said)
    assert made.told.specs == []
    assert made.told.refusals == {"east": (why(said), Source("v1", "Secret", "east", "fleet", "u1"))}
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [why(said)]


def test_a_secret_that_is_fit_and_unfit_by_turns_is_no_flood_of_lines(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = world()
    for number in range(1, 61):
        said = made.see(secret(text="nonsense" if number % 2 else None, version=str(number)))

    lines = [record.getMessage() for record in caplog.records]
    assert len(said) == 60
    assert len(lines) == 2 * (NAMED + 1)
    assert lines[-1] == "Secret fleet/east can be used again, and so by turns, which is not said for now"


def test_a_secret_without_the_key_is_told_with_those_that_it_has(world: Callable[..., World]) -> None:
    assert why(world().see(secret(key="value"))) == "Secret fleet/east has no 'kubeconfig' in its data; it has: value"


def test_row_02_a_secret_is_engaged_only_while_it_can_be_used(world: Callable[..., World]) -> None:
    made = world()
    assert made.see(secret(text="nonsense"))[-1].startswith("east: ")
    assert made.see(secret(version="2"))[-1] == "east"
    assert made.see(secret(text="nonsense", version="3"))[-1].startswith("east: ")
    assert (list(made.told.clusters), list(made.told.refusals)) == ([], ["east"])
    assert made.see(secret(version="4"))[-1] == "east"
    assert (list(made.told.clusters), list(made.told.refusals)) == (["east"], [])


def test_a_secret_that_cannot_be_used_and_goes_is_refused_no_more(world: Callable[..., World]) -> None:
    made = world()
    made.see(secret(text="nonsense"))
    made.lose()

    assert made.told.refusals == {}


@pytest.mark.parametrize(
    "server", ["east.test:6443", "east.test", "//east.test", "https://", "ftp://east.test", "https:/x"]
)
def test_row_12_a_server_without_scheme_or_host_is_refused(world: Callable[..., World], server: str) -> None:
    made = world()
    made.see(secret(text=kubeconfig(cluster={"server": server})))

    assert made.told.specs == []


def test_hosts_may_be_allowed_by_pattern(world: Callable[..., World]) -> None:
    made = world(allow_hosts=["*.test", "10.0.0.0/8"])
    for number, (host, allowed) in enumerate(
        [("a.test", True), ("test", False), ("a.test.evil.com", False), ("10.1.2.3", True), ("11.1.2.3", False)]
    ):
        made.see(secret(f"s{number}", kubeconfig(cluster={"server": f"https://{host}"})))
        assert (f"s{number}" in made.told.clusters) is allowed, host


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a b", "a\nb"])
def test_a_name_that_no_object_has_is_left_out(world: Callable[..., World], name: str) -> None:
    made = world()
    assert "is left out, since its name is no DNS subdomain" in made.see(secret(name))[-1]
    assert made.told.specs == []


def test_an_odd_secret_harms_neither_the_hub_nor_the_others(world: Callable[..., World]) -> None:
    made = world()

    assert made.see(secret("odd", data="nonsense")) == ["odd: Secret fleet/odd cannot be read: ValidationError"]
    assert made.see(secret())[-1] == "east"


def test_no_content_of_a_secret_reaches_a_repr_a_reason_or_the_log(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = world()
    texts = [
        kubeconfig(user={"token": CANARY}),
        kubeconfig(user={"token": f"{CANARY} {CANARY}"}),
        kubeconfig(user={"token": [CANARY]}),
        kubeconfig(user={"username": "a", "password": CANARY, "exec": {"command": CANARY, "args": [CANARY]}}),
        kubeconfig(user={"client-key-data": CANARY, "client-certificate-data": CANARY}),
        kubeconfig(cluster={"server": f"https://me:{CANARY}@east.test"}),
        kubeconfig(cluster={"certificate-authority-data": CANARY}),
        f"token: {CANARY}: [",
        CANARY,
    ]
    for number, text in enumerate(texts):
        made.see(secret(text=text, version=str(number + 1)))

    shown = [repr(made.told.specs), repr(made.provider), *made.told.said, caplog.text]
    assert len(made.told.said) >= len(texts)
    assert CANARY not in "".join(shown)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"selector": ""}, "provider kubeconfig: an empty selector would read every Secret; write one such as"),
        ({"selector": "a = = b"}, "provider kubeconfig: label selector 'a = = b' is malformed"),
        ({"allow_hosts": ["https://x"]}, "provider kubeconfig: 'https://x' is no host; write api.example.com"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        KubeconfigProvider(**options)


def test_it_needs_a_hub() -> None:
    with pytest.raises(ConfigError, match="provider kubeconfig needs the API server that has the Secrets"):
        KubeconfigProvider().start(Told(), hub=None)
