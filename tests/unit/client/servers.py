"""Two stand-ins for an API server: one below the transport, one below the client."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from kcontroller.api.codec import encode, gvk_of
from kcontroller.api.keys import Key
from kcontroller.client.client import Client
from kcontroller.client.writes import Ports
from kcontroller.errors import AlreadyExists, Conflict, Invalid, NotFound
from kcontroller.transport.messages import HttpResponse
from tests.unit.merge_patches import merge_apply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.client.ports import Selection, Write
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.messages import HttpRequest

Answer = tuple[int, Any]


class ScriptedSender:
    """A `Sender` that answers by a function of the request and keeps the requests.

    The function returns (status, body); a body that is not bytes is written as JSON.
    """

    def __init__(self, script: Callable[[HttpRequest], Answer], **headers: str) -> None:
        self.script = script
        self.headers = headers
        self.requests: list[HttpRequest] = []
        self.waits: list[tuple[float, StopToken | None]] = []
        self.guards: list[Callable[[], None] | None] = []

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = -1.0,
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,
    ) -> HttpResponse:
        self.requests.append(request)
        self.waits.append((timeout, stop))
        self.guards.append(guard)
        status, body = self.script(request)
        return HttpResponse(status, self.headers, body if isinstance(body, bytes) else json.dumps(body).encode())

    @property
    def targets(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.requests]


class MemoryServer:
    """A `Reader` and `Writer` over objects in memory, with the API server's rules for versions, uids and status.

    Attributes:
        writes: every write that arrived, in order, whether it was accepted or not.
        reads: every key that was read.
        meanwhile: called before each write is served: what others do in between.
    """

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.stored: dict[Key, dict[str, Any]] = {}
        self.version = 100
        self.writes: list[Write] = []
        self.reads: list[Key] = []
        self.meanwhile: Callable[[], None] = lambda: None
        for each in objects:
            self.put(each)

    @property
    def client(self) -> Client:
        return Client(Ports(self, self, self, cluster="east"))

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The bodies of the writes."""
        return [json.loads(write.body) for write in self.writes]

    def put(self, data: dict[str, Any]) -> dict[str, Any]:
        """Store an object as a new version, as another writer would."""
        self.version += 1
        data = copy.deepcopy(data)
        data["metadata"]["resourceVersion"] = str(self.version)
        data["metadata"].setdefault("uid", f"uid-{self.version}")
        self.stored[Key(data["metadata"].get("namespace", ""), data["metadata"]["name"])] = data
        return data

    def get(self, kind: KindRef, key: Key, subresource: str = "") -> bytes:
        self.reads.append(key)
        if key not in self.stored:
            raise NotFound("gone", status=404, reason="NotFound")
        return encode(self.stored[key])

    def list(self, kind: KindRef, selection: Selection) -> Sequence[bytes]:
        return [
            encode(each)
            for each in self.stored.values()
            if selection.labels.matches(each["metadata"].get("labels") or {})
        ]

    def write(self, write: Write) -> bytes:
        self.writes.append(write)
        self.meanwhile()
        assert gvk_of(write.kind)
        current = self.stored.get(write.key)
        body = json.loads(write.body)
        if write.verb == "create":
            if current is not None:
                raise AlreadyExists("exists", status=409, reason="AlreadyExists")
            return encode(self.put(body))
        if current is None:
            raise NotFound("gone", status=404, reason="NotFound")
        if write.verb == "delete":
            wanted = body.get("preconditions", {}).get("uid")
            if wanted not in {None, current["metadata"]["uid"]}:
                raise Conflict("uid", status=409, reason="Conflict")
            return encode(self.stored.pop(write.key))
        after = merge_apply(current, body) if write.verb == "patch" else body
        if after["metadata"].get("resourceVersion") not in {None, current["metadata"]["resourceVersion"]}:
            raise Conflict("the object has been modified", status=409, reason="Conflict")
        if after["metadata"].get("uid") not in {None, current["metadata"]["uid"]}:
            raise Invalid("metadata.uid: field is immutable", status=422, reason="Invalid")
        merged = {**current, "status": after.get("status")} if write.subresource == "status" else after
        if write.subresource != "status":
            merged = {**after, "status": current.get("status")}
        merged = {name: value for name, value in merged.items() if value is not None}
        if merged == current:
            return encode(current)
        return encode(self.put(merged))
