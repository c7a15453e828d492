"""Kubeconfig files: read, merged by kubectl's rules, and turned into a `Config`.

Only the chosen context's entries are looked at closely, so that a broken entry of another context is nobody's problem.
Every error is one line that names the file, the entry and the remedy, and never holds a value.
"""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import yaml

from kcontroller.errors import ConfigError
from kcontroller.process.logs import Log, one_line
from kcontroller.process.spelling import did_you_mean
from kcontroller.transport import kubeconfig_entries as entries
from kcontroller.transport.config import Config
from kcontroller.transport.exec_plugin import ExecPolicy
from kcontroller.transport.files import read_file
from kcontroller.transport.kubeconfig_shape import FROM_ELSEWHERE, LOADER, MANY_CONTEXTS, check_shape
from kcontroller.transport.proxies import check_proxy, is_loopback, proxy_from_environ
from kcontroller.transport.urls import normalise_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from kcontroller.process.clock import Clock

_log: Final = Log("kcontroller.transport.kubeconfig")

_SECTIONS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
_KNOWN_LIMIT: Final = 10
Kind = TypeVar("Kind", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class _Found:
    """One named entry, the file it stands in, and the folder its paths are relative to; None where it may have none."""

    value: object = field(repr=False)
    file: str
    folder: Path | None


@dataclass(slots=True)
class _Merged:
    """What several files say together: per name, and for the current context, the first file wins."""

    files: list[str] = field(default_factory=list)
    current: str = ""
    sections: dict[str, dict[str, _Found]] = field(default_factory=lambda: {name: {} for name in _SECTIONS})

    def add(self, document: dict[str, object], *, file: str, folder: Path | None) -> None:
        self.files.append(file)
        current = document.get("current-context")
        if current is not None and not isinstance(current, str):
            msg = f"{file}: current-context must be a string; quote it"
            raise ConfigError(msg)
        self.current = self.current or current or ""
        for section, key in _SECTIONS.items():
            for name, value in _named(document.get(section), section=section, key=key, file=file):
                self.sections[section].setdefault(name, _Found(value, file, folder))

    @property
    def where(self) -> str:
        return ", ".join(self.files)


def load(paths: Iterable[Path], *, context: str | None, policy: ExecPolicy) -> Config:
    """Read files and build the configuration of a context, by default the current one.

    With several paths, those that do not exist are passed over, as kubectl does; one at least must. Raises ConfigError.
    """
    wanted = [path.expanduser().absolute() for path in paths]
    present = [path for path in wanted if path.exists()]
    if not present:
        msg = f"kubeconfig {', '.join(map(str, wanted))} does not exist; correct the path"
        raise ConfigError(msg)
    merged = _Merged()
    for path in present:
        data = read_file(path, what="kubeconfig")
        _warn_if_writable(path)
        merged.add(_parse(data, file=str(path)), file=str(path), folder=path.parent)
    return _build(merged, context=context, policy=policy)


def load_data(data: bytes, *, source: str, context: str | None, clock: Clock) -> Config:
    """Read a kubeconfig that must be data only: no programs, no paths, https alone. Raises ConfigError.

    Whoever wrote it may mean harm, so that its size and depth have a limit, and nothing in it may stand for more.
    """
    check_shape(data, FROM_ELSEWHERE, file=source)
    merged = _Merged()
    merged.add(_parse(data, file=source), file=source, folder=None)
    return _build(merged, context=context, policy=ExecPolicy(allow=(), clock=clock))


def load_contexts(
    data: bytes, path: Path, *, policy: ExecPolicy, wanted: Callable[[str], bool]
) -> dict[str, Config | ConfigError]:
    """Build the configuration of each context of one file that is wanted; what is wrong with one is its own problem.

    Args:
        data: what was read from the file.
        path: of the file, absolute; relative paths in it are relative to its folder.
        policy: whether and how plugins run.
        wanted: whether to look at the context of a name.

    Raises:
        ConfigError: it is no kubeconfig, or larger than 4 MiB.
    """
    check_shape(data, MANY_CONTEXTS, file=str(path))
    merged = _Merged()
    merged.add(_parse(data, file=str(path)), file=str(path), folder=path.parent)
    with suppress(OSError):  # It may be gone by now.
        _warn_if_writable(path)
    found: dict[str, Config | ConfigError] = {}
    for name in filter(wanted, filter(None, merged.sections["contexts"])):
        try:
            found[name] = _build(merged, context=name, policy=policy)
        except ConfigError as error:
            found[name] = error
    return found


def _parse(data: bytes, *, file: str) -> dict[str, object]:
    try:
        document = _document(data)
    except yaml.MarkedYAMLError as error:
        # The parser quotes the text it stumbled over, and that may be a password.
        problem = re.sub(r"['\"].*['\"]", "...", one_line(error.problem or "cannot be parsed"))
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        msg = f"kubeconfig {file}{line}: not YAML: {problem}; correct the line"
        raise ConfigError(msg) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        msg = f"kubeconfig {file}: not YAML, or not UTF-8; is it the right file?"
        raise ConfigError(msg) from None
    if document is None:
        msg = f"kubeconfig {file} is empty; write it again, for example with your provider's tool"
        raise ConfigError(msg)
    if not isinstance(document, dict):
        msg = f"kubeconfig {file}: must be a mapping with clusters, contexts and users; is it the right file?"
        raise ConfigError(msg)
    return document


def _document(data: bytes) -> object:
    if data.startswith(b"{"):  # What programs write is JSON more often than not, and read in a fiftieth of the time.
        try:
            document = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass  # YAML finds the words.
        else:
            return _without_nulls(document) if b"null" in data else document
    return _without_nulls(yaml.load(data, Loader=LOADER))  # noqa: S506 - one of the safe loaders


def _without_nulls(node: object, known: dict[int, Any] | None = None) -> Any:
    """Drop keys without a value: kubectl takes ``args: null`` as if it were not there.

    What several aliases stand for is copied once: a few hundred bytes of them can stand for billions of values.
    """
    known = {} if known is None else known
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, dict):
        known[id(node)] = {key: _without_nulls(value, known) for key, value in node.items() if value is not None}
    elif isinstance(node, list):
        known[id(node)] = [_without_nulls(value, known) for value in node]
    else:
        return node
    return known[id(node)]


def _named(items: object, *, section: str, key: str, file: str) -> list[tuple[str, object]]:
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        msg = f"kubeconfig {file}: {section} must be a list of mappings with name and {key}"
        raise ConfigError(msg)
    found = [(item.get("name"), item.get(key, {})) for item in items]
    for number, (name, _) in enumerate(found, 1):
        if not isinstance(name, str):
            msg = f"kubeconfig {file}: the name of entry {number} of {section} must be a string; add or quote it"
            raise ConfigError(msg)
    return [(name, value) for name, value in found if isinstance(name, str)]


def _build(merged: _Merged, *, context: str | None, policy: ExecPolicy) -> Config:
    name = context or merged.current
    known = merged.sections["contexts"]
    if not name and not known:
        msg = f"kubeconfig {merged.where} has no contexts; is it the right file?"
        raise ConfigError(msg)
    if not name:
        msg = f"kubeconfig {merged.where} has no current-context; choose one with --context: {_listed(known)}"
        raise ConfigError(msg)
    if name not in known:
        msg = f"kubeconfig {merged.where} has no context {name!r}{did_you_mean(name, known)}; it has: {_listed(known)}"
        raise ConfigError(msg)
    source = one_line(f'context "{name}" of {known[name].file}')
    chosen = _convert(known[name], entries.ContextEntry, where=source)
    cluster, cluster_place = _entry(merged, "clusters", chosen.cluster, entries.ClusterEntry, source=source)
    user, user_place = entries.UserEntry(), entries.Place(source, None)
    if chosen.user:
        user, user_place = _entry(merged, "users", chosen.user, entries.UserEntry, source=source)
    server = _server_of(cluster, cluster_place)
    tls = entries.tls_of(cluster, cluster_place, clock=policy.clock)
    told = entries.exec_cluster_of(cluster, tls)
    proxy = proxy_from_environ(server, policy.environ)
    if cluster.proxy_url:
        if cluster_place.folder is None:
            msg = f"{cluster_place.where}: proxy-url is refused here, since it says where to connect; remove it"
            raise ConfigError(msg)
        proxy = check_proxy(cluster.proxy_url, what=f"{cluster_place.where}: proxy-url")
    return Config(
        server,
        entries.credentials_of(user, user_place, cluster=told, policy=policy),
        tls=tls,
        proxy=proxy,
        namespace=chosen.namespace or "default",
        source=source,
        extra_headers=entries.impersonation_of(user, user_place),
    )


def _server_of(cluster: entries.ClusterEntry, place: entries.Place) -> str:
    if not cluster.server:
        msg = f"{place.where} has no server; add server: https://host:port"
        raise ConfigError(msg)
    server = normalise_server(cluster.server, where=place.where)
    if place.folder is None and not server.startswith("https:"):
        msg = f"{place.where}: server {server} is refused here; use https"
        raise ConfigError(msg)
    if server.startswith("http:") and not is_loopback(server):
        _log.warning("%s: server %s is not https: anybody on the way can read the credentials", place.where, server)
    return server


def _entry(merged: _Merged, section: str, name: str, kind: type[Kind], *, source: str) -> tuple[Kind, entries.Place]:
    found = _look_up(merged, section, name, source=source)
    where = one_line(f'{_SECTIONS[section]} "{name}" in {found.file}')
    return _convert(found, kind, where=where), entries.Place(where, found.folder)


def _look_up(merged: _Merged, section: str, name: str, *, source: str) -> _Found:
    key, known = _SECTIONS[section], merged.sections[section]
    if not name:
        msg = f"{source} names no {key}; add {key}: with one of: {_listed(known)}"
        raise ConfigError(msg)
    if name not in known:
        close = did_you_mean(name, known)
        msg = f"{source} names the {key} {name!r}, which is not there{close}; it has: {_listed(known)}"
        raise ConfigError(msg)
    return known[name]


def _convert(found: _Found, kind: type[Kind], *, where: str) -> Kind:
    try:
        return msgspec.convert(found.value, kind)
    except msgspec.ValidationError as error:
        msg = f"{where}: {error}; correct the entry (quote what is to be a string)"
        raise ConfigError(msg) from None


def _listed(known: Iterable[str]) -> str:
    names = sorted(known)
    more = f" and {len(names) - _KNOWN_LIMIT} more" if len(names) > _KNOWN_LIMIT else ""
    return one_line(", ".join(names[:_KNOWN_LIMIT]) + more) or "none"


def _warn_if_writable(path: Path) -> None:
    if path.stat().st_mode & stat.S_IWOTH:
        _log.warning("everybody may write %s, and so choose what runs with your rights; chmod 600 it", path)
