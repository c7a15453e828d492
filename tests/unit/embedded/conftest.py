"""An API without HTTP: requests are calls, and the control loops run when the test says so."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from kcontroller.embedded import calls, recorded
from kcontroller.embedded.boot import boot
from kcontroller.embedded.milo import place_of
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views.representation import negotiate

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.milo import Milo

WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Widget", "plural": "widgets"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"replicas": {"type": "integer", "default": 1}}},
                            "status": {"type": "object", "properties": {"ready": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}


class Server:
    """Sends requests to an `Api` and runs its control loops after each, as the event loop would."""

    def __init__(self, *, controllers: bool = True, window: int = 1000, options: Milo | None = None) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self._soon: deque[Callable[[], None]] = deque()
        self.api = boot(
            recorded.load(),
            now=lambda: self.time,
            soon=self._soon.append,
            window=window,
            controllers=controllers,
            options=options,
        )
        self.settle()

    def settle(self) -> None:
        for _ in range(1000):
            if not self._soon:
                assert not self.api.loops.failures
                return
            self._soon.popleft()()
        pytest.fail("the control loops do not come to rest")

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def call(self, method: str, path: str) -> calls.Call:
        parts = urlsplit(path)
        place = place_of(parts.path)
        query = place.confined(dict(parse_qsl(parts.query, keep_blank_values=True)))
        user = calls.User("admin", ("system:masters",))
        return calls.parse(
            self.api.backend.catalog, method, place.path, query, user, plane=place.plane, agent="test/1.0"
        )

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
        """Send one request; answers with status and document."""
        try:
            call = self.call(method, path)
            representation = negotiate("application/json")
            if call.verb == "get":
                return 200, msgspec.json.decode(self.api.get(call, representation))
            if call.verb == "list":
                return 200, msgspec.json.decode(self.api.list(call, representation))
            raw = b"" if body is None else msgspec.json.encode(body)
            answer = self.api.write(call, raw, content_type, representation)
        except Refusal as refusal:
            return refusal.code, refusal.document()
        self.settle()
        return answer.code, msgspec.json.decode(answer.body)

    def done(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send one request that must succeed."""
        code, document = self.ask(method, path, body, content_type)
        assert code in {200, 201}, document
        return document

    def merge(self, path: str, patch: Any) -> Any:
        return self.done("PATCH", path, patch, "application/merge-patch+json")

    def names(self, path: str) -> list[str]:
        return [item["metadata"]["name"] for item in self.done("GET", path)["items"]]

    def watch(self, path: str, count: int, *, frozen: Callable[[], int | None] = lambda: None) -> list[dict[str, Any]]:
        """Read events of a watch: `count`, or those there are before it ends or waits."""

        async def read() -> list[dict[str, Any]]:
            events: list[dict[str, Any]] = []
            stream = self.api.watch(self.call("GET", path), negotiate("application/json"), frozen=frozen)
            async with aclosing(stream) as chunks:
                try:
                    async with asyncio.timeout(0.02):
                        async for chunk in chunks:
                            events += [msgspec.json.decode(line) for line in chunk.splitlines()]
                            if len(events) >= count:
                                break
                except TimeoutError:
                    pass
            return events

        return asyncio.run(read())


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def widgets(server: Server) -> Server:
    """A server that serves Widgets."""
    server.done("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    return server


@pytest.fixture
def new_server() -> type[Server]:
    return Server


CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": {"a": "1"}}


@pytest.fixture
def new_config_map() -> Callable[..., dict[str, Any]]:
    return config_map
