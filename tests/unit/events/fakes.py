"""A cluster in memory that keeps events, and what may happen on the way to it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kcontroller import Key, Object
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports, WriteOptions
from kcontroller.events import RecordedEvent, recorded
from kcontroller.process.stop import StopToken
from kcontroller.testing.in_process import InProcessServer
from kcontroller.transport.messages import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import Deadline
    from kcontroller.transport.messages import HttpRequest

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACES = ("default", "kube-system", "team")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def pod(name: str = "a", *, namespace: str = "team", version: str = "7") -> Object:
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": version}
    return Object({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})


def node(name: str = "n1") -> Object:
    return Object({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": f"uid-{name}"}})


def event(message: str = "hello", *, obj: Object | None = None, type_: str = "Normal", reason: str = "Said") -> Any:
    made: RecordedEvent = recorded(obj or pod(), type_, reason, message)
    return made


def status(code: int, reason: str = "", *, cause: str = "", **headers: str) -> HttpResponse:
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"no: {reason}"}
    if cause:
        body["details"] = {"causes": [{"reason": cause}]}
    return HttpResponse(code, headers, json.dumps(body).encode())


class MemoryCluster:
    """A target. `asked` tells every write as ``POST /path``; `answer` may answer or raise in the server's place."""

    def __init__(
        self, clock: Clock, *, name: str = "eu", namespaces: tuple[str, ...] = NAMESPACES, core_only: bool = False
    ) -> None:
        self.name = name
        self.leaving = StopToken(clock=clock)
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.answer: Callable[[HttpRequest, StopToken | None], HttpResponse | None] = lambda _request, _stop: None
        self.core_only = core_only
        self._server = InProcessServer()
        self._mapper = RestMapper(self, clock=clock)
        known = {each["metadata"]["name"] for each in self._server.request("GET", "/api/v1/namespaces")[1]["items"]}
        self.hidden = known - set(namespaces)  # Those that a server has anyway cannot be deleted.
        for each in set(namespaces) - known:
            self._server.request("POST", "/api/v1/namespaces", {"metadata": {"name": each}})

    def client_for(
        self,
        field_owner: str,
        *,
        stop: StopToken | None = None,
        deadline: Deadline | None = None,
        guard: Callable[[], None] | None = None,
    ) -> Client:
        direct = DirectPort(self, self._mapper, stop=stop, deadline=deadline, guard=guard)
        return Client(Ports(reader=direct, live=direct, writer=direct), WriteOptions(field_owner=field_owner))

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = 30.0,
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,
    ) -> HttpResponse:
        path = request.target.partition("?")[0]
        if self.core_only and path.startswith("/apis/events.k8s.io"):
            return HttpResponse(404, {}, b"404 page not found\n")
        if request.read_only:
            return self._server.send(request, timeout=timeout, stop=stop)
        if guard is not None:
            guard()
        self.asked.append(f"{request.method} {path}")
        self.threads.add(threading.current_thread().name)
        for namespace in self.hidden:
            if f"/namespaces/{namespace}/" in path:
                return status(404, "NotFound")
        answer = self.answer(request, stop)
        return answer or self._server.send(request, timeout=timeout, stop=stop)

    def events(self, namespace: str = "") -> list[dict[str, Any]]:
        """What is stored, oldest first, as the API shows it through which it was written."""
        where = f"/namespaces/{namespace}" if namespace else ""
        items: list[dict[str, Any]] = self._server.request("GET", f"{self._api}{where}/events")[1]["items"]
        return sorted(items, key=lambda each: int(each["metadata"]["resourceVersion"]))

    def expire(self) -> None:
        """Delete every event, as the server does after an hour."""
        for each in self.events():
            key = Key(each["metadata"]["namespace"], each["metadata"]["name"])
            self._server.request("DELETE", f"{self._api}/namespaces/{key.namespace}/events/{key.name}")

    @property
    def _api(self) -> str:
        return "/api/v1" if self.core_only else "/apis/events.k8s.io/v1"
