"""What a sink hears from a provider of Milo, whose hub is a fake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kcontroller.cache.projection import Entry, Projection
from kcontroller.cache.store import Change
from kcontroller.multicluster.providers.milo import MiloProvider, Project, ProjectControlPlane
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.controller.fakes import FakeCluster

if TYPE_CHECKING:
    from kcontroller.multicluster import ClusterSpec, Source
    from tests.unit.controller.fakes import FakeTimer

HUB = Config("https://milo.test/gate/way", StaticCredentials(header="Bearer x"))
ORGANIZATION = "resourcemanager.miloapis.com/organization-name"
PROJECT_UID = "resourcemanager.miloapis.com/project-uid"
GONE = "its Project is gone"


def project(name: str = "p1", *, ready: Any = "True", reason: str = "Ready", uid: str = "u1", **metadata: Any) -> Entry:
    return _entry(Project, "Ready", name, ready, reason, uid, metadata)


def plane(name: str = "p1", *, ready: Any = "True", reason: str = "Ready", uid: str = "u1", **metadata: Any) -> Entry:
    return _entry(ProjectControlPlane, "ControlPlaneReady", name, ready, reason, uid, metadata)


def _entry(
    kind: type[Any], condition: str, name: str, ready: Any, reason: str, uid: str, metadata: dict[str, Any]
) -> Entry:
    other = {"type": "Other", "status": "True"}
    status = {"conditions": [other, {"type": condition, "status": ready, "reason": reason}]}
    gvk = kind.resource.gvk
    body = {
        "apiVersion": gvk.api_version,
        "kind": gvk.kind,
        "metadata": {"name": name, "uid": uid, "resourceVersion": "1", **metadata},
        **({"status": status} if isinstance(ready, str) else ready),
    }
    return Projection(gvk).entry(json.dumps(body).encode())


class Told:
    """A sink that notes what it is told, and the provider that tells."""

    def __init__(self, provider: MiloProvider, hub: Config = HUB, *, kind: Any = Project) -> None:
        self.specs: list[ClusterSpec] = []
        self.said: list[str] = []
        self.sources: list[Source] = []
        self.provider = provider
        self._hub = FakeCluster()
        self._hub.config = hub  # type: ignore[attr-defined]
        self._kind = kind
        self._seen: dict[str, Entry] = {}
        provider.start(self, hub=self._hub)  # type: ignore[arg-type]

    def present(self, spec: ClusterSpec) -> None:
        self.specs.append(spec)
        self.said.append(f"{spec.name} {spec.uid}")

    def absent(self, name: str, why: str) -> None:
        self.said.append(f"{name}: {why}")

    def refused(self, name: str, why: str, source: Source | None = None) -> None:
        assert source is not None
        self.sources.append(source)
        self.said.append(f"{name} is refused: {why}")

    def listed(self) -> None:
        self.said.append("listed")

    def see(self, *entries: Entry) -> list[str]:
        """The objects are like this now."""
        for entry in entries:
            self._hub.tell(self._kind, Change(self._seen.get(entry.name), entry))
            self._seen[entry.name] = entry
        return self.said

    def lose(self, name: str = "p1") -> list[str]:
        """It is not there any more."""
        self._hub.tell(self._kind, Change(self._seen.pop(name), None))
        return self.said

    def synced(self) -> None:
        self._hub.synced()

    @property
    def watched(self) -> Any:
        """What is kept of the kind on the hub."""
        (kind,) = self._hub.kinds.values()
        return kind

    @property
    def timers(self) -> list[FakeTimer]:
        return list(self.watched.timers)
