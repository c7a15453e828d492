"""The provider: what it is told, and what it watches on the hub."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, get_args

from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.scope import Holding
from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo.admission import Admission, Terminating
from kcontroller.multicluster.providers.milo.external import External, organization_of
from kcontroller.multicluster.providers.milo.parents import other_parent
from kcontroller.multicluster.providers.milo.projects import Projects

if TYPE_CHECKING:
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.multicluster.provider import Sink
    from kcontroller.multicluster.providers.milo.endpoints import Mode
    from kcontroller.transport.config import Config

_EXTERNAL: Final = External()


class MiloProvider:
    """The projects of a Milo API server whose condition says that they are ready.

    One without status, or whose condition is anything but True, is not engaged. Another uid under the same name is
    another cluster. The labels of what stands for a project are those of its cluster.

    Args:
        mode: what stands for the projects, and how their control planes are reached.
        selector: only projects with these labels. The server leaves the others out, and one that loses them leaves.
        organization: only Projects of this Organization; by default that whose control plane the hub is, if it is one.
        terminating: ``drain`` keeps a project that is being deleted until it is gone, so that finalizers inside of it
            can be worked off; ``disengage`` lets it go at once.
        ready_condition: the type of the condition that must be True; "" is that of the mode.
        unready_grace: seconds for which a project may be not ready until it is let go.
        verify_parent: engage a Project only if its server says that we are inside of it; see `parents`.

    Raises:
        ConfigError: the selector is malformed, or what is asked for does not go together.
    """

    name = "milo"
    patience: float | None = 30.0

    def __init__(
        self,
        mode: Mode = _EXTERNAL,
        *,
        selector: str | LabelSelector = "",
        organization: str = "",
        terminating: Terminating = "drain",
        ready_condition: str = "",
        unready_grace: float = 0.0,
        verify_parent: bool = False,
    ) -> None:
        try:
            labels = LabelSelector.of(selector)
        except ValueError as error:
            msg = f"provider milo: {error}"
            raise ConfigError(msg) from error
        if terminating not in get_args(Terminating):
            msg = f"provider milo: terminating is {' or '.join(get_args(Terminating))}, not {terminating!r}"
            raise ConfigError(msg)
        if not isinstance(mode, External) and (organization or verify_parent):
            option = "organization" if organization else "verify-parent"
            msg = f"provider milo: {option} is for Projects; a {mode.kind.__name__} does not say it, so leave it out"
            raise ConfigError(msg)
        self._mode = mode
        self._admission = Admission(labels, organization, ready_condition or mode.condition, terminating)
        self._grace = unready_grace
        self._check = other_parent if verify_parent else None
        self._cache: CacheHandle | None = None

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:
        """Watch what stands for the projects, on the hub's thread.

        Raises:
            ConfigError: there is no hub, or what it leads to are not its projects.
        """
        if hub is None:
            what = f"{self._mode.kind.__name__}s"
            msg = f"provider milo needs the API server that has the {what}; give the manager a config"
            raise ConfigError(msg)
        admission = self._admission_of(hub.config)
        self._cache = hub.cache(self._mode.kind, Holding.of(labels=admission.labels))
        projects = Projects(
            sink,
            mode=self._mode,
            endpoints=self._mode.endpoints(hub.config),
            admission=admission,
            grace=self._grace,
            check=self._check,
            call_later=self._cache.call_later,
        )
        self._cache.subscribe(projects.hear, projects.listed)

    def stop(self) -> None:
        """Hear nothing more."""
        if self._cache is not None:
            self._cache.close()

    def _admission_of(self, hub: Config) -> Admission:
        found = organization_of(hub) if isinstance(self._mode, External) else ""
        wanted = self._admission.organization
        if found and wanted and found != wanted:
            msg = f"provider milo: organization {wanted!r} is not that of {hub.server}; leave it out"
            raise ConfigError(msg)
        return replace(self._admission, organization=wanted or found)
