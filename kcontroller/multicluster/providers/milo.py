"""Milo: every ready Project of an API server is a cluster.

External mode: the Projects are watched at the hub, and each control plane is reached through the same kind of server,
below ``/apis/resourcemanager.miloapis.com/v1alpha1/projects/NAME/control-plane``. The path is answered whether the
Project exists or not, so only the Project object tells that a cluster is there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.models import Model, Resource
from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.projection import pairs
from kcontroller.errors import ConfigError
from kcontroller.multicluster.provider import ClusterSpec
from kcontroller.process.logs import Log, one_line

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry
    from kcontroller.cache.store import Change
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.multicluster.provider import Sink
    from kcontroller.transport.config import Config

GROUP: Final = "resourcemanager.miloapis.com"
_LONGEST_NAME: Final = 253
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_A_PROJECT: Final = re.compile(r"/projects/[^/]+/control-plane/?$")
_REASON_LIMIT: Final = 128

_log: Final = Log("kcontroller.multicluster")


class Project(
    Resource[Model, Model], group=GROUP, version="v1alpha1", plural="projects", kind="Project", namespaced=False
):
    """A Project; plural and scope are stated, because Milo's discovery hides kinds that do answer."""


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""
    reason: str = ""


class _Status(msgspec.Struct):
    conditions: tuple[_Condition, ...] | None = None


class _ReadyPart(msgspec.Struct):
    status: _Status | None = None


_decode = msgspec.json.Decoder(_ReadyPart).decode


class MiloProvider:
    """The Projects of a Milo API server whose condition ``Ready`` is True.

    A Project without status, or with any other Ready, is not engaged; one that is being deleted stays engaged until it
    is gone, so that finalizers inside of it can be worked off. Another uid under the same name is another cluster.

    Args:
        selector: only Projects with these labels; decided here on every change, so that one that loses them is let go.
        projects: how control planes are reached; by default as the hub is. Their path is joined to that of its server.

    Raises:
        ConfigError: the selector is malformed.
    """

    name = "milo"
    patience: float | None = 30.0

    def __init__(self, *, selector: str | LabelSelector = "", projects: Config | None = None) -> None:
        try:
            self._selector = LabelSelector.of(selector)
        except ValueError as error:
            msg = f"provider milo: {error}"
            raise ConfigError(msg) from error
        self._projects = projects
        self._sink: Sink | None = None
        self._cache: CacheHandle | None = None
        self._refused: set[str] = set()
        self._first: dict[str, bool] = {}  # Until all are listed: whether each Project fits.
        self._is_listed = False

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:
        """Watch the Projects, on the hub's thread.

        Raises:
            ConfigError: there is no hub, or it or the server for control planes is one project already.
        """
        if hub is None:
            msg = "provider milo needs the API server that has the Projects; give the manager a config"
            raise ConfigError(msg)
        self._projects = self._projects or hub.config
        for config in (hub.config, self._projects):
            _must_not_be_a_project(config)
        self._sink = sink
        self._cache = hub.cache(Project)
        self._cache.subscribe(self._hear, self._listed)

    def stop(self) -> None:
        """Hear nothing more."""
        if self._cache is not None:
            self._cache.close()

    def _hear(self, change: Change) -> None:
        if self._sink is None or self._projects is None:
            return
        name = change.entry.key.name
        if not _is_subdomain(name):
            self._refuse(name)
            return
        why = "its Project is gone" if change.new is None else self._unfit(change.new)
        if not self._is_listed:
            self._first[name] = not why
        if why:
            self._sink.absent(name, why)
        else:
            config = self._projects.with_server(self._projects.server + control_plane_path(name))
            self._sink.present(ClusterSpec(name, config, change.entry.uid))

    def _listed(self) -> None:
        """Say what the first list has brought: that nothing is to be done must not look like silence."""
        if self._sink is not None:
            fit = f"ready and match {self._selector}" if str(self._selector) else "ready"
            _log.info("%d Projects found; %d are %s", len(self._first), sum(self._first.values()), fit)
            self._is_listed = True
            self._first.clear()
            self._sink.listed()

    def _unfit(self, project: Entry) -> str:
        """Why a Project is not to be engaged; "" if it is."""
        if not self._selector.matches(pairs(project.labels)):
            return f"its labels do not match {self._selector}"
        ready = _ready_of(project.raw)
        if ready.status == "True":
            return ""
        return f"not ready: {one_line(ready.reason[:_REASON_LIMIT]) or 'it has no condition Ready'}"

    def _refuse(self, name: str) -> None:
        if name not in self._refused:
            self._refused.add(name)
            _log.warning("a Project is left out, since its name cannot stand in a path: %r", name[:_REASON_LIMIT])


def control_plane_path(project: str) -> str:
    """Give the path of a Project's control plane, below that of the server."""
    return f"/apis/{GROUP}/v1alpha1/projects/{project}/control-plane"


def _must_not_be_a_project(config: Config) -> None:
    if _A_PROJECT.search(config.server):
        msg = f"provider milo: {config.server} is one project; name a context of the API that has the Projects"
        raise ConfigError(msg)


def _ready_of(raw: bytes) -> _Condition:
    try:
        status = _decode(raw).status
    except msgspec.ValidationError:
        return _Condition(reason="its status is malformed")
    conditions = () if status is None else status.conditions or ()
    return next((condition for condition in conditions if condition.type == "Ready"), _Condition())


def _is_subdomain(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _SUBDOMAIN.fullmatch(name) is not None
