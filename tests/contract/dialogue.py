"""Requests to one API server by the standard library, and the record of what was asked and answered."""

from __future__ import annotations

import copy
import http.client
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias
from urllib.parse import quote, urlencode

from tests.contract.objects import CRDS, Defined, config_map, crd, namespace
from tests.contract.targets import EVENT_SECONDS, JSON, Line, Stream
from tests.contract.transcripts import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.contract.cases import Case
    from tests.contract.targets import Target

Transcript: TypeAlias = list[dict[str, Any]]
"""What was asked and answered in one case, masked."""
PATCHES: Final = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_SECONDS: Final = 10.0
_FORGETTING_SECONDS: Final = 40.0
_PAUSE: Final = 0.01
_GOOD: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; indexing reads the body."""

    code: int
    body: Any

    def __getitem__(self, field: str) -> Any:
        return self.body[field]

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def more(self) -> str:
        """The continue token of a list."""
        return str(self.body["metadata"].get("continue", ""))

    def but(self, **changes: Any) -> dict[str, Any]:
        """Give a copy with these fields merged in; None takes a field away."""
        return _merged(copy.deepcopy(self.body), changes)


def _merged(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for field, value in changes.items():
        if value is None:
            document.pop(field, None)
        elif isinstance(value, dict):
            document[field] = _merged(document.get(field) or {}, value)
        else:
            document[field] = value
    return document


class Dialogue:
    """What a case speaks through. Every request is recorded unless it says otherwise.

    Attributes:
        namespace: made for the case, and nothing else is in it.
        group: an API group for the case's own CustomResourceDefinitions.
        exchanges: what was asked and answered.
        surprises: the answers whose code is not the one that the case expects.
        unrecorded: the bodies of answers that are not recorded.
    """

    def __init__(self, target: Target, name: str) -> None:
        self.namespace = name
        self.group = f"{name}.contract.test"
        self.exchanges: list[dict[str, Any]] = []
        self.surprises: list[str] = []
        self.unrecorded: list[Any] = []
        self._line = Line(target)
        self._streams: list[Stream] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.close()
        self._line.close()

    def path(self, plural: str, api_version: str = "v1") -> str:
        """Name a collection in the case's namespace."""
        return f"/{'apis' if '/' in api_version else 'api'}/{api_version}/namespaces/{self.namespace}/{plural}"

    @property
    def config_maps(self) -> str:
        return self.path("configmaps")

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: object, **more: Any) -> Answer:
        return self.request("POST", path, body, **more)

    def put(self, path: str, body: object, **more: Any) -> Answer:
        return self.request("PUT", path, body, **more)

    def patch(self, path: str, body: object, kind: str = "merge", **more: Any) -> Answer:
        """Patch; `kind` is ``merge``, ``json``, ``strategic`` or ``apply``."""
        return self.request("PATCH", path, body, content_type=PATCHES[kind], **more)

    def apply(self, path: str, body: object, manager: str = "one", **more: Any) -> Answer:
        return self.patch(path, body, "apply", fieldManager=manager, **more)

    def delete(self, path: str, body: object = None, **more: Any) -> Answer:
        return self.request("DELETE", path, body, **more)

    def watch(self, path: str, *, user: str = "admin", accept: str = JSON, expect: int = 200, **query: Any) -> Stream:
        """Open a watch; the events are recorded with it. A query value of None takes the parameter away."""
        asked = _query({"watch": 1, **query})
        connection = self._line.connect(EVENT_SECONDS)
        connection.request("GET", path + _joined(asked), headers=self._line.headers(user, {"Accept": accept}))
        response = connection.getresponse()
        record = _record("GET", path, asked, response)
        self.exchanges.append(record)
        stream = Stream(connection, response, record)
        self._streams.append(stream)
        if response.status != http.HTTPStatus.OK:
            record["body"] = _decoded(response.read())
        self._meet(record, expect, record.get("body"))
        return stream

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        expect: int | None = None,
        user: str = "admin",
        accept: str = JSON,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
        only: Callable[[Any], Any] | None = None,
        **query: Any,
    ) -> Answer:
        """Ask and record.

        Args:
            method: of HTTP.
            path: without the query.
            body: a document, or text or bytes that are sent as they are.
            expect: the status; by default any that means success.
            user: ``admin``, ``nobody``, ``stranger`` (a wrong token) or empty (none).
            accept: the media types wanted.
            content_type: of the body.
            headers: further ones.
            only: what of the body is recorded, where the rest belongs to other cases; of an expected answer alone.
            query: its parameters; a trailing underscore is dropped (``continue_``).
        """
        asked = _query(query)
        given = {"Accept": accept, **({} if body is None else {"Content-Type": content_type}), **(headers or {})}
        response, document = self._exchange(method, path + _joined(asked), body, self._line.headers(user, given))
        record = _record(method, path, asked, response)
        met = self._meet(record, expect, document)
        record["body"] = only(document) if only and met else document
        self.unrecorded.append(document)
        self.exchanges.append(record)
        return Answer(response.status, document)

    def quietly(self, method: str, path: str, body: object = None, *, accept: str = JSON, **query: Any) -> Answer:
        """Ask without a record: for what prepares a case and is not what it is about."""
        headers = self._line.headers("admin", {"Content-Type": JSON, "Accept": accept})
        response, document = self._exchange(method, path + _joined(_query(query)), body, headers)
        answer = Answer(response.status, document)
        self.unrecorded.append(answer.body)
        return answer

    def until(
        self, path: str, holds: Callable[[Answer], bool], *, accept: str = JSON, seconds: float = _SECONDS
    ) -> Answer:
        """Ask without a record until the answer is the wanted one: for what a server does a moment later."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.quietly("GET", path, accept=accept)
            if holds(answer):
                return answer
            assert time.monotonic() < deadline, f"GET {path} did not come to what the case waits for: {answer}"
            time.sleep(_PAUSE)

    def define(self, **how: Any) -> Defined:
        """Install a CustomResourceDefinition without a record and wait until it is served; see `objects.crd`."""
        definition = crd(self.group, **how)
        made = self.quietly("POST", CRDS, definition)
        assert made.code == http.HTTPStatus.CREATED, made
        defined = Defined(definition, self.namespace)
        self.served(defined)
        return defined

    def served(self, defined: Defined) -> None:
        """Wait until a resource answers."""
        self.until(defined.path, lambda answer: answer.code == http.HTTPStatus.OK)

    def outdate(self, version: str) -> None:
        """Write elsewhere until the server has forgotten a version."""
        elsewhere = f"/api/v1/namespaces/default/configmaps/{self.namespace}"
        self.quietly("POST", elsewhere.rpartition("/")[0], config_map(self.namespace))

        def forgotten(answer: Answer) -> bool:
            self.quietly("PUT", elsewhere, config_map(self.namespace, {"at": str(time.monotonic())}))
            return answer.code == http.HTTPStatus.GONE

        exact = f"{self.config_maps}?resourceVersion={version}&resourceVersionMatch=Exact"
        self.until(exact, forgotten, seconds=_FORGETTING_SECONDS)

    def note(self, what: str, seen: object) -> None:
        """Record something that the answers show only before they are masked, such as whether two times are equal."""
        self.exchanges.append({"note": what, "seen": seen})

    def _exchange(
        self, method: str, target: str, body: object, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, Any]:
        """Ask, and again while the storage of a changed definition is made anew, as every client does after a 429."""
        deadline = time.monotonic() + _SECONDS
        while True:
            response, text = self._line.exchange(method, target, _encoded(body), headers)
            document = _decoded(text)
            if response.status != http.HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() > deadline:
                return response, document
            time.sleep(_PAUSE)

    def _meet(self, record: dict[str, Any], expect: int | None, said: Any) -> bool:
        met: bool = record["code"] in ((expect,) if expect else _GOOD)
        if not met:
            message = said.get("message", said) if isinstance(said, dict) else said
            self.surprises.append(f"{record['ask']}: {record['code']}, not {expect or 'a success'}: {message}")
        return met


def _query(given: Mapping[str, Any]) -> dict[str, str]:
    return {
        name.rstrip("_"): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }


def _joined(query: Mapping[str, str]) -> str:
    return f"?{urlencode(query, quote_via=quote)}" if query else ""


def _encoded(body: object) -> bytes | None:
    match body:
        case None:
            return None
        case bytes():
            return body
        case str():
            return body.encode()
        case _:
            return json.dumps(body).encode()


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="backslashreplace")


def _record(method: str, path: str, query: dict[str, str], response: http.client.HTTPResponse) -> dict[str, Any]:
    record: dict[str, Any] = {"ask": f"{method} {path}", "code": response.status}
    if query:
        record["query"] = query
    for name in ("Content-Type", "Retry-After", "Warning"):
        values = response.headers.get_all(name)
        if values:
            record[name] = values if name == "Warning" else values[0]
    return record


def transcript(case: Case, target: Target, *, may_break: bool = False) -> Transcript:
    """Hold a dialogue.

    With `may_break` a failure in the case's own code is part of the transcript: an answer lacked what it needs. Without
    it answers must have the codes that the case expects.
    """
    with Dialogue(target, case.namespace) as dialogue:
        try:
            made = dialogue.quietly("POST", "/api/v1/namespaces", namespace(case.namespace))
            assert made.code == http.HTTPStatus.CREATED, made
            case.speak(dialogue)
        except Exception as error:
            if not may_break:
                raise
            dialogue.exchanges.append({"the case broke off": f"{type(error).__name__}: {error}"})
        assert may_break or not dialogue.surprises, "\n".join(dialogue.surprises)
    return normalised(dialogue.exchanges, dialogue.unrecorded, case.namespace)
