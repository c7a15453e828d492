"""Informers that hold what the test puts into them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, ResourceMapping
from kcontroller.cache.projection import Entry, Projection
from kcontroller.cache.scope import Scope
from kcontroller.cache.store import Store
from kcontroller.errors import NotSynced, UnlistedNamespace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.client.ports import Selection, Write

CONFIG_MAP = "v1 ConfigMap"
GVK = gvk_of(CONFIG_MAP)
A = Key("default", "a")


def document(name: str, version: int, *, namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    given = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version), **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": given}


def dump(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


class HeldInformer:
    """What floors and readers ask of an informer, on a real store."""

    def __init__(self, namespace: str = "", *, paths: tuple[str, ...] = (), labels: Any = None) -> None:
        self.mapping = ResourceMapping(GVK, "configmaps", namespaced=True)
        self.scope = Scope(namespace)
        self.projection = Projection(GVK, paths)
        self.store = Store(self.projection)

    def entry(self, name: str, version: int, *, spec: Any = None, **metadata: Any) -> Entry:
        body = document(name, version, **metadata)
        return self.projection.entry(dump(body | {"spec": spec} if spec is not None else body))

    def put(self, name: str, version: int, **metadata: Any) -> None:
        self.store.upsert(self.entry(name, version, **metadata))

    def drop(self, name: str, version: int, **metadata: Any) -> None:
        self.store.delete(self.entry(name, version, **metadata))

    def covers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        return self.scope.namespace in ("", namespace)


class HeldKind:
    """What a reader asks of a cached kind."""

    def __init__(self, *informers: HeldInformer, synced: bool = True) -> None:
        self.held = informers or (HeldInformer(),)
        self.synced = synced

    def informers(
        self, namespace: str, *, metadata: bool = False, paths: Sequence[str] = ()
    ) -> tuple[HeldInformer, ...]:
        if not self.synced:
            raise NotSynced("not synced yet")
        if not namespace or not self.held:
            return self.held
        found = tuple(each for each in self.held if each.covers(namespace, {}))
        if not found:
            raise UnlistedNamespace(namespace)
        return found

    def showing(self, _gvk: object, key: Key, labels: Mapping[str, str]) -> list[HeldInformer]:
        return [each for each in self.held if each.covers(key.namespace, labels)]


class Wire:
    """The API server, as far as a reader or a writer notices."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.asked: list[tuple[str, KindRef, object]] = []
        self.error: Exception | None = None
        self.get_error: Exception | None = None

    def get(self, kind: KindRef, key: Key, subresource: str = "", *, metadata: bool = False) -> bytes:
        self.asked.append(("get metadata" if metadata else "get", kind, (key, subresource)))
        if self.get_error is not None:
            raise self.get_error
        return self.answer

    def list(self, kind: KindRef, selection: Selection, *, metadata: bool = False) -> Sequence[bytes]:
        self.asked.append(("list metadata" if metadata else "list", kind, selection))
        return [self.answer]

    def write(self, write: Write) -> bytes:
        self.asked.append((write.verb, write.kind, write.key))
        if self.error is not None:
            raise self.error
        return self.answer


class Call:
    """Something that runs on another thread."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._outcome: list[object] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._function())
        except Exception as error:  # noqa: BLE001 - told by `outcome`
            self._outcome.append(error)

    @property
    def over(self) -> bool:
        return bool(self._outcome)

    @property
    def outcome(self) -> object:
        """What it returned or raised."""
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self._outcome[0]
