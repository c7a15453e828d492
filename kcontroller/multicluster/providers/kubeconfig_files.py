"""Kubeconfig files that come, change and go, and the names of the clusters in them.

Files are looked at by ``stat`` from time to time: what notifies of changes (inotify and the like) sees nothing on
network file systems, must be set up anew for the swapped links of a mounted Secret, and costs threads of its own.
"""

from __future__ import annotations

import glob
import math
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Config

Contexts: TypeAlias = "Mapping[str, Config | ConfigError]"
_Signature: TypeAlias = tuple[int, ...]

RETRY_SECONDS: Final = 30.0
"""A file or context that cannot be used is tried again so often: what it names may be there by then."""

_NAMED: Final = 3
_RECURSIVE: Final = re.compile(r"(/\*\*)+(?=/|$)")
_GONE: Final[_Signature] = ()


@dataclass(slots=True)
class _File:
    """What is known of one file.

    Attributes:
        signature: of what was read; another one counts when it is `seen` twice in a row.
        seen: at the last look.
        contexts: of what was read last and could be used.
        problem: why the newest content cannot be used.
        retry_at: when to read it again, although it is the same.
    """

    signature: _Signature = _GONE
    seen: _Signature = _GONE
    contexts: dict[str, Config | ConfigError] = field(default_factory=dict)
    problem: str = ""
    retry_at: float = math.inf


class KubeconfigFiles:
    """The files of some paths.

    A change counts when two looks in a row have seen it: a file that is being written, or is away for a moment, changes
    nothing. Content that is no kubeconfig leaves that of before in force, and so does an entry that cannot be used, and
    a path without wildcards at which nothing is any more: it may be a volume that is mounted again.

    Args:
        paths: files, folders (the files in them, without those that begin with a dot or end in ``~``) and globs.
        load: makes the contexts of a file's content; raises ConfigError if it is no kubeconfig.
        stop: ends a look.
        clock: the time.
    """

    def __init__(
        self,
        paths: Iterable[str],
        *,
        load: Callable[[bytes, Path], Contexts],
        stop: StopToken,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._paths = tuple(str(Path(path).expanduser().absolute()) for path in paths)
        self._load = load
        self._stop = stop
        self._clock = clock
        self._files: dict[str, _File] = {}
        self._looked = False
        self._unseen: dict[str, str] = {}

    def look(self) -> bool:
        """Look at every file once; returns whether contexts or problems may be others than before.

        Raises:
            Stopped: it was asked to stop in the middle.
        """
        unseen = self._unseen
        found = self._signatures()
        changed = [self._look_at(path, found.get(path, _GONE)) for path in {*found, *self._files}]
        self._looked = True
        return any(changed) or self._unseen != unseen

    def contexts(self) -> dict[Path, Contexts]:
        """The contexts of each file, by its path; one that cannot be used and never could is an error."""
        return {Path(path): known.contexts for path, known in sorted(self._files.items())}

    def has(self, place: str) -> bool:
        """Whether it is one of the paths, or a file that is there."""
        return place in self._paths or place in self._files

    def problems(self) -> dict[str, str]:
        """What is wrong now, by the path that it is wrong with."""
        files = {path: known.problem for path, known in sorted(self._files.items()) if known.problem}
        return {**files, **self._unseen}

    def _look_at(self, path: str, signature: _Signature) -> bool:
        self._stop.raise_if_stopped()
        known = self._files.setdefault(path, _File())
        settled = signature == known.seen or not self._looked
        known.seen = signature
        if not settled or (signature == known.signature and self._clock.monotonic() < known.retry_at):
            if signature == known.signature == _GONE:
                del self._files[path]
            return False
        known.signature = signature
        if signature == _GONE:
            del self._files[path]
            return True
        known.retry_at = math.inf
        try:
            self._take(known, self._load(read_file(Path(path), what="kubeconfig"), Path(path)))
        except Exception as error:  # noqa: BLE001 - one odd file must not harm the others
            is_ours = isinstance(error, ConfigError)
            known.problem = str(error) if is_ours else f"kubeconfig {path} cannot be read: {type(error).__name__}"
            known.retry_at = self._clock.monotonic() + RETRY_SECONDS
        return True

    def _take(self, known: _File, contexts: Contexts) -> None:
        # Several contexts may have one user that cannot be used.
        errors = list(dict.fromkeys(str(value) for value in contexts.values() if isinstance(value, ConfigError)))
        more = f"; and {len(errors) - _NAMED} more like these" if len(errors) > _NAMED else ""
        known.problem = "; ".join(errors[:_NAMED]) + more
        if errors:
            known.retry_at = self._clock.monotonic() + RETRY_SECONDS
        before = known.contexts
        known.contexts = {
            name: before.get(name, value) if isinstance(value, ConfigError) else value
            for name, value in contexts.items()
        }

    def _signatures(self) -> dict[str, _Signature]:
        self._unseen = {}
        found: dict[str, _Signature] = {}
        for path in self._paths:
            try:
                files = self._files_of(path)
            except OSError as error:
                found.update(self._kept(path, error))
                continue
            for file in files:
                self._stop.raise_if_stopped()
                try:
                    signature = _signature(file)
                except OSError as error:
                    found.update(self._kept(file, error))
                else:
                    if signature != _GONE:
                        found[file] = signature
            if path not in self._unseen and found.keys().isdisjoint(files) and not _is_folder(path):
                found.update(self._missed(path))
        return found

    def _missed(self, path: str) -> dict[str, _Signature]:
        """What was at a path where nothing is; with a wildcard nobody can say that something has to be there."""
        kept = {} if glob.has_magic(path) else self._below(path)
        what = "nothing at {} any more; what was there goes on" if kept else "no file at {}"
        self._unseen[path] = f"there is {what.format(path)}; it is looked for again"
        return kept

    def _files_of(self, path: str) -> list[str]:
        if _is_folder(path):
            with os.scandir(path) as entries:
                return [entry.path for entry in entries if not entry.name.startswith(".") and entry.name[-1] != "~"]
        return list(dict.fromkeys(self._matching(path))) if glob.has_magic(path) else [path]

    def _matching(self, pattern: str) -> Iterator[str]:
        """As ``glob.iglob``, but ``**`` goes through no link: one that leads back has no end."""
        recursive = _RECURSIVE.search(pattern)
        if recursive is None:
            yield from glob.iglob(pattern)  # noqa: PTH207 - pathlib's finds dot files
            return
        rest = pattern[recursive.end() :].lstrip("/") or "*"
        for root in glob.iglob(pattern[: recursive.start()] or "/"):  # noqa: PTH207
            for folder, folders, _ in os.walk(root):
                self._stop.raise_if_stopped()
                folders[:] = [name for name in folders if not name.startswith(".")]
                yield from self._matching(f"{glob.escape(folder.rstrip('/'))}/{rest}")

    def _kept(self, path: str, error: OSError) -> dict[str, _Signature]:
        """What cannot be seen now is not gone: a file, or those of a folder."""
        what = error.strerror or type(error).__name__
        self._unseen[path] = f"cannot look into {path}: {what}; correct the path or its rights"
        return self._below(path)

    def _below(self, path: str) -> dict[str, _Signature]:
        return {file: known.seen for file, known in self._files.items() if path in {file, str(Path(file).parent)}}


def names_of(contexts: Mapping[Path, Contexts]) -> dict[str, Config | ConfigError]:
    """Give each context the name of its cluster.

    That is its own name. Where several files have a context of this name each is ``FILE+CONTEXT``, and with the whole
    path of the file if that is not enough: which file was there first makes no difference.
    """
    places = [(path, name) for path, found in contexts.items() for name in found]
    names = {place: place[1] for place in places}
    for prefixes in ({path: path.name for path in contexts}, {path: str(path) for path in contexts}):
        count = Counter(names.values())
        names = {
            place: f"{prefixes[place[0]]}+{place[1]}" if count[name] > 1 else name for place, name in names.items()
        }
    return {name: contexts[path][context] for (path, context), name in names.items()}


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - pathlib's raises for one without rights, which `_signature` tells


def _signature(path: str) -> _Signature:
    """What changes when a file does, also through links; `_GONE` for what is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a thousand times in each look
    except (FileNotFoundError, NotADirectoryError):
        return _GONE
    if not stat.S_ISREG(status.st_mode):
        return _GONE
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
