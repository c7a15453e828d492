"""Contexts of kubeconfig files, as they come and go."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from kcontroller.errors import ConfigError, Stopped
from kcontroller.multicluster.provider import ClusterSpec
from kcontroller.multicluster.providers.kubeconfig_files import KubeconfigFiles, names_of
from kcontroller.multicluster.providers.names import name_problem
from kcontroller.multicluster.providers.options import Option, ProviderType
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described
from kcontroller.process.repeats import BY_TURNS, Repeats
from kcontroller.process.stop import StopToken
from kcontroller.process.threads import ThreadGroup
from kcontroller.transport import kubeconfig
from kcontroller.transport.exec_plugin import ExecPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.provider import Sink
    from kcontroller.multicluster.providers.kubeconfig_files import Contexts
    from kcontroller.multicluster.providers.options import ProviderContext
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

LOOK_SECONDS: Final = 2.0
"""Between two looks at the files, which take some 5 ms for a thousand of them."""

_STOP_SECONDS: Final = 5.0
_ALL: Final = "what the files say"
"""The place of a problem that concerns all of them."""

_log: Final = Log("kcontroller.multicluster")


class FileProvider:
    """Every context of the kubeconfig files at some paths, as they are now.

    A cluster is named after its context, or ``FILE+CONTEXT`` where several files have one of this name. A context that
    changes is the same cluster with another configuration; one that goes is gone. Files may be replaced, rewritten, or
    be links that are swapped, as in a mounted Secret: see `KubeconfigFiles`. A file or context that cannot be used is
    refused under its own name, also while its clusters go on as they were.

    Args:
        paths: files, folders and globs.
        contexts: only contexts that match one of these patterns (``*``, ``?``, ``[...]``).
        exec_allow: see `transport.loading.load_config`.
        clock: the time.

    Raises:
        ConfigError: there is no path.
    """

    name = "file"
    patience: float | None = 30.0
    needs_hub = False

    def __init__(
        self,
        paths: Iterable[str],
        *,
        contexts: Iterable[str] = ("*",),
        exec_allow: Iterable[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        wanted = tuple(paths)
        if not wanted:
            msg = "provider file needs a path: a kubeconfig, a folder of them, or a glob"
            raise ConfigError(msg)
        self._patterns = tuple(contexts) or ("*",)
        self._policy = ExecPolicy(None if exec_allow is None else tuple(exec_allow), environ=os.environ, clock=clock)
        self._stopping = StopToken(clock=clock)
        self._files = KubeconfigFiles(wanted, load=self._load, stop=self._stopping, clock=clock)
        self._threads = ThreadGroup(on_failure=_note_failure)
        self._told: dict[str, Config] = {}
        self._said: dict[str, str] = {}
        self._repeats = Repeats(clock=clock, more=BY_TURNS)

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:  # noqa: ARG002 - the protocol's
        """Look at the files on a thread of their own, which may be on a disk that hangs."""
        self._threads.spawn("provider", self.name, lambda: self._run(sink))

    def stop(self) -> None:
        """End the thread."""
        self._stopping.stop("the provider is stopped")
        self._threads.join(_STOP_SECONDS)

    def _run(self, sink: Sink) -> None:
        self._look(sink)
        if not self._stopping.stopped:
            _log.info("%d contexts found", len(self._told), provider=self.name)
            sink.listed()
        while not self._stopping.wait(LOOK_SECONDS):
            self._look(sink)

    def _look(self, sink: Sink) -> None:
        try:
            if not self._files.look() and _ALL not in self._said:
                return
            problems = self._files.problems()
            self._tell(sink, self._usable(problems))
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001 - one odd file must not end the looking
            problems = {**self._said, _ALL: f"the files cannot be looked at: {described(error)}"}
        if not self._stopping.stopped:
            self._say(sink, problems)

    def _load(self, data: bytes, path: Path) -> Contexts:
        names: list[str] = []

        def is_wanted(context: str) -> bool:
            names.append(context)
            return self._is_wanted(context)

        found = kubeconfig.load_contexts(data, path, policy=self._policy, wanted=is_wanted)
        if not names:  # The first half of a file may be YAML too.
            msg = f"kubeconfig {path} has no contexts; write it whole again, or remove the file"
            raise ConfigError(msg)
        return found

    def _is_wanted(self, context: str) -> bool:
        return any(fnmatchcase(context, pattern) for pattern in self._patterns)

    def _usable(self, problems: dict[str, str]) -> dict[str, Config]:
        usable: dict[str, Config] = {}
        for name, config in names_of(self._files.contexts()).items():
            if isinstance(config, ConfigError):
                continue
            if problem := name_problem(name):
                place = f"context {name!r}"
                problems[place] = f"{place} is left out: {problem}; rename it"
            else:
                usable[name] = config
        return usable

    def _tell(self, sink: Sink, wanted: Mapping[str, Config]) -> None:
        for name in [name for name in self._told if name not in wanted]:
            if self._stopping.stopped:
                return
            del self._told[name]
            sink.absent(name, "no file has its context any more")
        for name, config in wanted.items():
            if self._stopping.stopped:
                return
            if self._told.get(name) != config:
                self._told[name] = config
                sink.present(ClusterSpec(name, config))

    def _say(self, sink: Sink, problems: dict[str, str]) -> None:
        """Say each problem once, and when it is over; what comes and goes is said a few times in the log."""
        for place, text in problems.items():
            if self._said.get(place) != text:
                sink.refused(place, text)
                if told := self._repeats.told(text):
                    _log.warning("%s", told, provider=self.name)
        for place in [place for place in self._said if place not in problems]:
            over = "can be used again" if place == _ALL or self._files.has(place) else "is gone"
            sink.absent(place, over)
            if told := self._repeats.told(f"{place} {over}"):
                _log.info("%s", told, provider=self.name)
        self._said = problems


def _note_failure(name: str, error: BaseException) -> None:
    _log.exception_of(error, "thread %s has failed: %s", name, described(error))


def _make(options: Mapping[str, Any], context: ProviderContext) -> FileProvider:
    return FileProvider(options["path"], contexts=options.get("contexts", ()), clock=context.clock)


PROVIDER: Final = ProviderType(
    "Every context of kubeconfig files, as they come, change and go",
    (
        Option("path", "a kubeconfig, a folder of them, or a glob; a comma list", many=True, required=True),
        Option("contexts", "only contexts that match one of these patterns, such as prod-*; a comma list", many=True),
    ),
    _make,
)
