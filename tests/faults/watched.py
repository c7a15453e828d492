"""An informer on a running server: real requests on a thread of its own, in a time that the test moves."""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING, Any, Protocol, Self

from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.cache.informer import Informer
from kcontroller.cache.reflector import Reflector, State
from kcontroller.cache.scope import Scope
from kcontroller.testing import HttpFaultProxy, VirtualClock, eventually
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, bearer
from kcontroller.transport.streams import StreamLoop
from tests.unit.cache.traces import Still, asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from kcontroller.cache.store import Change

CONFIG_MAPS = ResourceMapping(GVK("", "v1", "ConfigMap"), "configmaps", namespaced=True)
EXPIRED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410}
LONGEST_BACKOFF = 60.0


class Server(Protocol):
    """What `EmbeddedServer` and the real `ApiServer` have in common."""

    @property
    def url(self) -> str: ...
    @property
    def ca_pem(self) -> str: ...
    @property
    def token(self) -> str: ...

    def request(self, method: str, path: str, body: object = None, /) -> tuple[int, Any]: ...


def config_for(server: Server) -> Config:
    """The administrator's."""
    credentials = StaticCredentials(bearer(server.token, what="the token of the test"))
    return Config(server.url, credentials, TLSConfig(ca=server.ca_pem.encode()))


def event(type_: str, document: dict[str, Any]) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": type_, "object": document}).encode() + b"\n"


def bookmark(version: int, *, mark: str | None = None) -> bytes:
    """A line that says how far the watch has come; `mark` is what it says of the end of the initial events."""
    annotations = {} if mark is None else {"annotations": {"k8s.io/initial-events-end": mark}}
    metadata = {"resourceVersion": str(version), **annotations}
    return event("BOOKMARK", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


class Namespace:
    """ConfigMaps in a namespace of the test's own; a server may be shared by many tests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"watch-{uuid.uuid4().hex[:8]}"
        self.path = f"/api/v1/namespaces/{self.name}/configmaps"
        self._do("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}}, 201)

    def create(self, name: str, **data: str) -> dict[str, Any]:
        return self._do("POST", self.path, {"metadata": {"name": name}, "data": data}, 201)

    def update(self, name: str, **data: str) -> dict[str, Any]:
        return self._do("PUT", f"{self.path}/{name}", {"metadata": {"name": name}, "data": data}, 200)

    def delete(self, name: str) -> None:
        self._do("DELETE", f"{self.path}/{name}", None, 200)

    @property
    def version(self) -> int:
        """Where the server stands."""
        return int(self._do("GET", f"{self.path}?limit=1", None, 200)["metadata"]["resourceVersion"])

    def _do(self, method: str, path: str, body: object, expected: int) -> dict[str, Any]:
        status, answer = self.server.request(method, path, body)
        assert status == expected, answer
        found: dict[str, Any] = answer
        return found


class Hearing:
    """A subscriber that writes down what it hears, such as ``initial a``, ``add a``, ``delete a``, ``unseen a``."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.synced = False

    def hear(self, change: Change) -> None:
        self.changes.append(change)

    def on_synced(self) -> None:
        self.synced = True

    @property
    def heard(self) -> list[str]:
        return [f"{_verb(change)} {change.entry.key.name}" for change in tuple(self.changes)]


class Watched:
    """The informer, from `__enter__` to `__exit__`.

    Its backoff has no jitter, so that a test knows when a wait ends; nothing but `pass_time` and `rest` ends one.

    Attributes:
        hearing: what its first subscriber hears.

    Args:
        server: where to ask; through `proxy` if there is one.
        namespace: "" for all.
        options: of the reflector.
    """

    def __init__(
        self, server: Server, *, namespace: str = "", proxy: HttpFaultProxy | None = None, **options: Any
    ) -> None:
        self.clock = VirtualClock()
        config = config_for(server)
        self._loop = StreamLoop(
            config if proxy is None else proxy.config(config), name="watched", clock=self.clock, silence=1e9
        )
        place = f"/namespaces/{namespace}" if namespace else ""
        self.reflector = Reflector(f"/api/v1{place}/configmaps", **{"rng": Still(), **options})
        self.informer = Informer(
            CONFIG_MAPS, feed=self._loop, clock=self.clock, scope=Scope(namespace), reflector=self.reflector
        )
        self.hearing = Hearing()
        self._thread = threading.Thread(target=self._loop.run, name="kc-watched", daemon=True)

    def __enter__(self) -> Self:
        self.subscribe(self.hearing)
        self._loop.call(self.informer.start)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def subscribe(self, hearing: Hearing) -> None:
        self.call(lambda: self.informer.subscribe(hearing.hear, hearing.on_synced))

    def call(self, function: Callable[[], Any]) -> None:
        """Run a function on the informer's thread soon."""
        self._loop.call(lambda: (function(), None)[1])

    def pass_time(self, seconds: float) -> None:
        """Let seconds pass, on the informer's thread: in the middle of nothing."""
        passed = threading.Event()
        self._loop.call(lambda: (self.clock.advance(seconds), passed.set())[1])
        assert passed.wait(10)

    def rest(self) -> None:
        """End a wait if there is one."""
        waits = self.reflector.state is State.WAITING
        self._loop.call(lambda: self.clock.advance(LONGEST_BACKOFF if waits else 0.0))

    def until(self, check: Callable[[], Any], *, within: float = 10.0, resting: bool = False) -> Any:
        """Wait until a check holds; `resting` ends every wait of the reflector meanwhile."""

        def look() -> Any:
            if resting:
                self.rest()
            return check()

        return eventually(look, within)

    def until_synced(self) -> Watched:
        """Wait for the first list, and until the watch was accepted."""
        self.until(lambda: self.hearing.synced and self.reflector.state is State.WATCHING)
        return self

    @property
    def names(self) -> list[str]:
        """What the store holds."""
        return sorted(entry.key.name for entry in self.informer.store.entries())


def questions(proxy: HttpFaultProxy) -> list[str]:
    """What an informer asked through a proxy, in the words of the golden traces."""
    return [asked(exchange.target) for exchange in proxy.exchanges]


def _verb(change: Change) -> str:
    if change.new is None:
        return "unseen" if change.unseen else "delete"
    if change.old is None:
        return "initial" if change.initial else "add"
    return "update"
