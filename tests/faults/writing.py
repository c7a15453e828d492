"""Random writes to ConfigMaps, by the thousand: on the embedded server's own loop, or over kept connections."""

from __future__ import annotations

import http.client
import json
import random
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

from kcontroller.embedded import calls
from kcontroller.embedded.server import EmbeddedServer
from kcontroller.embedded.views.representation import negotiate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from tests.faults.watched import Server

ADMIN = calls.User("admin", ("system:masters",))
LANES = 4
BATCH = 20
DELETED = 0.3  # The share of the writes to what is there that delete it.


class Churn:
    """Creates, updates, deletes and makes again objects of a few names, each name in one lane.

    Attributes:
        deleted: the uids of what was deleted.
        newest: the version of the last object that was written.
    """

    def __init__(self, server: Server, namespaces: Sequence[str], *, names: int = 40, seed: int = 1) -> None:
        self.deleted: list[str] = []
        self.newest = 0
        self._alive: list[dict[str, str]] = [{} for _ in range(LANES)]
        paths = [f"/api/v1/namespaces/{namespace}/configmaps" for namespace in namespaces]
        places = [(path, f"c{number}") for path in paths for number in range(names)]
        self._lanes = [places[lane::LANES] for lane in range(LANES)]
        self._random = [random.Random(f"{seed}/{lane}") for lane in range(LANES)]  # noqa: S311 - to be repeated
        self._writers = [
            InTheLoop(server) if isinstance(server, EmbeddedServer) else _Line(server) for _ in range(LANES)
        ]
        self._pool = ThreadPoolExecutor(LANES, "kc-churn")

    def write(self, count: int, between: Callable[[], None]) -> None:
        """Make so many writes; `between` is called every few of them."""
        for _ in range(0, count, BATCH * LANES):
            list(self._pool.map(self._batch, range(LANES)))
            between()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        for writer in self._writers:
            writer.close()

    def _batch(self, lane: int) -> None:
        chance, alive = self._random[lane], self._alive[lane]
        plan = [(*chance.choice(self._lanes[lane]), chance.random(), chance.randbytes(40).hex()) for _ in range(BATCH)]
        for step, status, answer in self._writers[lane].do(_steps(plan, alive)):
            assert status in {200, 201}, answer
            if step.method == "DELETE":
                self.deleted.append(alive.pop(step.where))
            else:
                alive[step.where] = answer["metadata"]["uid"]
                self.newest = max(self.newest, int(answer["metadata"]["resourceVersion"]))


class Step(NamedTuple):
    """One write."""

    method: str
    where: str
    body: bytes

    @classmethod
    def of(cls, method: str, path: str, name: str, data: str) -> Step:
        """Make one of a collection's path."""
        body = {"metadata": {"name": name}, "data": {"x": data}}
        return cls(method, f"{path}/{name}", b"" if method == "DELETE" else json.dumps(body).encode())

    @property
    def path(self) -> str:
        return self.where.rpartition("/")[0] if self.method == "POST" else self.where


class InTheLoop:
    """Writes as calls on the loop of the embedded server, to a control plane of it."""

    def __init__(self, server: EmbeddedServer, plane: str = "") -> None:
        self._server = server
        self._plane = plane
        self._shown = negotiate("application/json")

    def do(self, steps: Sequence[Step]) -> list[tuple[Step, int, Any]]:
        """Write at once: nobody reads in between."""
        return self._server.call(lambda: [(step, *self._one(step)) for step in steps])

    def close(self) -> None:
        """Nothing is open."""

    def _one(self, step: Step) -> tuple[int, Any]:
        catalog = self._server.api.backend.catalog
        call = calls.parse(catalog, step.method, step.path, {}, ADMIN, agent="churn", plane=self._plane)
        done = self._server.api.write(call, step.body, "application/json", self._shown)
        return done.code, json.loads(done.body)


class _Line:
    """Writes over a connection that is kept."""

    def __init__(self, server: Server) -> None:
        tls = ssl.create_default_context(cadata=server.ca_pem)
        address = urlsplit(server.url)
        self._connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=10, context=tls)
        self._headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}

    def do(self, steps: Sequence[Step]) -> list[tuple[Step, int, Any]]:
        return [(step, *self._one(step)) for step in steps]

    def close(self) -> None:
        self._connection.close()

    def _one(self, step: Step) -> tuple[int, Any]:
        self._connection.request(step.method, step.path, body=step.body, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())


def _steps(plan: list[tuple[str, str, float, str]], alive: dict[str, str]) -> list[Step]:
    known, steps = set(alive), []
    for path, name, chance, data in plan:
        where = f"{path}/{name}"
        method = "POST" if where not in known else "DELETE" if chance < DELETED else "PUT"
        steps.append(Step.of(method, path, name, data))
        known ^= {where} if method != "PUT" else set()
    return steps
