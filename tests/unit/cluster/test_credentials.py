from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cluster.credentials import PluginsInUse
from kcontroller.errors import ConnectFailed
from kcontroller.process.stop import StopToken
from kcontroller.transport.credentials import StaticCredentials
from kcontroller.transport.exec_plugin import ExecCredentials, ExecEntry, ExecPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANSWER = (
    '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "from-plugin"}}'
)


class Plugin:
    """A plugin that answers once it may, and one thread that waits for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # It waits until something is written there.
        os.mkfifo(folder / "may")
        (folder / "plugin").write_text(f"#!/bin/sh\n: > {folder}/runs\nread _ < {folder}/may\necho '{ANSWER}'\n")
        (folder / "plugin").chmod(0o755)
        entry = ExecEntry(command="./plugin", api_version="client.authentication.k8s.io/v1")
        policy = ExecPolicy(environ={"PATH": os.environ["PATH"]})
        self.credentials = ExecCredentials(entry, where="the test", folder=folder, cluster={}, policy=policy)
        self.outcome: str | Exception | None = None
        self._may: int | None = None
        self._thread = threading.Thread(target=self._ask)

    def ask(self, eventually: Callable[[Any], Any]) -> None:
        self._thread.start()
        eventually((self._folder / "runs").exists)

    def answer(self) -> None:
        # Opened for both, so that nobody waits for a plugin that is gone.
        self._may = os.open(self._folder / "may", os.O_RDWR)
        os.write(self._may, b"go\n")

    def end(self) -> str | Exception | None:
        self._thread.join(10)
        if self._may is not None:
            os.close(self._may)
        return self.outcome

    def _ask(self) -> None:
        try:
            self.outcome = self.credentials.authorization()
        except ConnectFailed as error:
            self.outcome = error


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def test_a_run_outlives_the_exchange_for_credentials_of_the_same_plugin(plugin: Plugin, eventually: Any) -> None:
    used = PluginsInUse(plugin.credentials, StopToken())
    plugin.ask(eventually)
    used.exchange(plugin.credentials)
    plugin.answer()

    assert plugin.end() == "Bearer from-plugin"


def test_it_ends_with_the_exchange_for_other_credentials(plugin: Plugin, eventually: Any) -> None:
    used = PluginsInUse(plugin.credentials, StopToken())
    plugin.ask(eventually)
    used.exchange(StaticCredentials())

    assert "nobody waits for it any more" in str(plugin.end())
    assert used.trouble == ""


def test_it_ends_when_the_cluster_leaves(plugin: Plugin, eventually: Any) -> None:
    leaving = StopToken()
    PluginsInUse(plugin.credentials, leaving).exchange(plugin.credentials)
    plugin.ask(eventually)
    leaving.stop("over")

    assert "nobody waits for it any more" in str(plugin.end())
