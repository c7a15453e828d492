"""``kcontroller`` commands in processes of their own, as their users see them."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_QUIET = ("--metrics-bind-address", "0", "--log-format", "text")
_NO_HEALTH = ("--health-probe-bind-address", "0")
_ANY_PORT = ("--health-probe-bind-address", "127.0.0.1:0")
_TOKEN = re.compile(r"token: *(\S+)")


class Daemon:
    """One command; what it writes goes into a file."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        command = [sys.executable, "-m", "kcontroller", *arguments]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    @property
    def text(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def says(self, pattern: str) -> bool:
        if self.process.poll() is not None and not re.search(pattern, self.text):
            pytest.fail(f"ended with {self.process.returncode} without saying {pattern!r}:\n{self.text}")
        return re.search(pattern, self.text) is not None

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def troubles(self) -> list[str]:
        """The lines above INFO, without those of failing probes, which repeat what stands in others."""
        lines = [line for line in self.text.splitlines() if " WARNING " in line or " ERROR " in line]
        return [line for line in lines if "serving.health: " not in line]

    def ask(self, path: str) -> tuple[int, str]:
        """Ask the health server; it has said on which port it is."""
        (port,) = re.findall(r"serving .*name=health.* port=(\d+)", self.text)
        with closing(http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


class Daemons:
    """Starts commands, ends what is left of them, and looks for what none of them may say."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Daemon] = []
        self._secrets: set[str] = set()

    def __call__(self, *arguments: str | Path, health: bool = False) -> Daemon:
        """``kcontroller run`` on no ports, or with a health server on any."""
        return self.start("run", *map(str, arguments), *_QUIET, *(_ANY_PORT if health else _NO_HEALTH))

    def start(self, *arguments: str) -> Daemon:
        """Start any command."""
        for before, path in pairwise(arguments):
            if before == "--kubeconfig":
                self.hide_tokens(path)
        daemon = Daemon(self._folder / f"log-{len(self._started)}", *arguments)
        self._started.append(daemon)
        return daemon

    def hide_tokens(self, kubeconfig: str | Path) -> None:
        """Let no command say what is a token in this file."""
        with open(kubeconfig, encoding="utf-8") as file:  # noqa: PTH123 - a name or a path
            self._secrets.update(token.strip("\"'") for token in _TOKEN.findall(file.read()))

    def end(self) -> None:
        """End what still runs."""
        for each in self._started:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()
        for each in self._started:
            assert "Traceback" not in each.text
            assert [secret for secret in self._secrets if secret in each.text] == []
