"""The verbs of the API, on one backend: what the HTTP application calls once a request is parsed.

One request's way: `calls.parse` -> `Api.write` -> `bodies.decode` -> `patching` or `managed` (for a patch) ->
`writes` or `deletion` -> `store` -> every `watches.Watch` on that topic -> `representation`. The control loops that a
cluster needs to feel alive (`loops`) observe the store and act after the request.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.embedded import (
    bodies,
    deletion,
    intake,
    options,
    reads,
    scale,
    statuses,
    subresources,
    watches,
    writes,
)
from kcontroller.embedded.ownership import managed
from kcontroller.embedded.patches import patching
from kcontroller.embedded.store import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.loops.runner import Loops
    from kcontroller.embedded.milo import ColdStorage, Suspensions
    from kcontroller.embedded.views.representation import Representation

_APPLY: Final = "application/apply-patch+yaml"
_OF_A_NODE: Final = frozenset({"log", "exec", "attach", "portforward", "proxy"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: status, body, warnings."""

    code: int
    body: bytes
    warnings: tuple[str, ...] = ()


@contextmanager
def _warning(warnings: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except statuses.Refusal as refusal:
        refusal.warnings = warnings
        raise


class Api:
    """Get, list, watch and the writes, for every control plane. Used from the server's loop only."""

    def __init__(
        self, backend: Backend, loops: Loops, cold: ColdStorage | None, suspensions: Suspensions | None = None
    ) -> None:
        self.backend = backend
        self.loops = loops
        self._cold = cold
        self._suspensions = suspensions

    def get(self, call: Call, representation: Representation, *, frozen: int | None = None) -> bytes:
        """Answer a GET of one object or of its scale.

        Raises:
            Refusal: it is not there, or the options are wrong.
        """
        if call.subresource == "scale":
            stored = self._existing(call)
            return msgspec.json.encode(scale.scale_of(call.kind, stored.document()))
        if call.kind.storage == "pods" and call.subresource in _OF_A_NODE:
            self._existing(call)
            raise statuses.bad_request(f"pod {call.name} does not have a host assigned")
        return reads.get(self.backend, call, representation, frozen=frozen)

    def list(self, call: Call, representation: Representation, *, frozen: int | None = None) -> bytes:
        """Answer a GET of a collection.

        Raises:
            Refusal: the options are wrong, or the version asked for is not kept.
        """
        self._warm_up(call)
        return reads.list_objects(self.backend, call, representation, frozen=frozen)

    def watch(
        self, call: Call, representation: Representation, *, frozen: Callable[[], int | None] = lambda: None
    ) -> AsyncIterator[bytes]:
        """Start a watch; each chunk holds whole lines.

        Raises:
            Refusal: the options are wrong.
        """
        self._warm_up(call)
        return watches.open_watch(self.backend, call, representation, frozen=frozen)

    def write(self, call: Call, body: bytes, content_type: str, representation: Representation) -> Answer:
        """Do a create, update, patch, delete or deletecollection.

        Raises:
            Refusal: nothing was stored.
        """
        options.check(call, content_type)
        if self._suspensions is not None:
            self._suspensions.check(call)
        match call.verb:
            case "create" if call.subresource:
                answer = subresources.create(self.backend, call, body, content_type)
                return Answer(201, msgspec.json.encode(answer))
            case "create":
                document, warnings = intake.from_body(self.backend.catalog, call, body, content_type)
                with _warning(warnings):
                    outcome = writes.create(self.backend, call, document, warnings)
            case "update":
                outcome = self._update(call, body, content_type)
            case "patch":
                outcome = self._patch(call, body, content_type)
            case "delete":
                return self._delete(call, body, content_type, representation)
            case _:
                return self._delete_collection(call, body, content_type, representation)
        if call.subresource == "scale":
            shown = scale.scale_of(call.kind, outcome.stored.document())
            return Answer(outcome.code, msgspec.json.encode(shown), outcome.warnings)
        return Answer(outcome.code, representation.one(call.kind, outcome.stored), outcome.warnings)

    def _warm_up(self, call: Call) -> None:
        if self._cold is not None:
            self._cold.check(call)

    def _existing(self, call: Call) -> Stored:
        stored = self.backend.find(call.plane, call.kind, Key(call.namespace, call.name))
        if stored is None:
            raise statuses.not_found(call.kind, call.name)
        return stored

    def _update(self, call: Call, body: bytes, content_type: str) -> writes.Outcome:
        if call.subresource == "scale":
            old = self._existing(call)
            stated = bodies.decode(body, content_type)
            intake.check_address(call, stated)
            document = scale.with_scale(call.kind, old.document(call.kind.api_version), stated)
            return writes.update(self.backend, call, document, old=old)
        document, warnings = intake.from_body(self.backend.catalog, call, body, content_type)
        with _warning(warnings):
            intake.check_address(call, document)
            known = self.backend.find(call.plane, call.kind, Key(call.namespace, call.name))
            if known is not None:
                return writes.update(self.backend, call, document, warnings, old=known)
            if writes.may_create(call):
                return writes.create_by_update(self.backend, call, document, warnings)
            raise statuses.not_found(call.kind, call.name)

    def _patch(self, call: Call, body: bytes, content_type: str) -> writes.Outcome:
        if content_type.partition(";")[0].strip() == _APPLY:
            return self._apply(call, body)
        patching.check_type(call.kind, content_type)
        old = self._existing(call)
        before = old.document(call.kind.api_version)
        if call.subresource == "scale":
            shown = patching.patched(call.kind, scale.scale_of(call.kind, before), body, content_type)
            return writes.update(self.backend, call, scale.with_scale(call.kind, before, shown), old=old)
        document = patching.patched(call.kind, before, body, content_type)
        warnings = intake.from_patch(call, document, body, content_type)
        with _warning(warnings):
            return writes.update(self.backend, call, document, warnings, old=old)

    def _apply(self, call: Call, body: bytes) -> writes.Outcome:
        config = bodies.decode_apply(body)
        old = self.backend.find(call.plane, call.kind, Key(call.namespace, call.name))
        if old is None and call.subresource:
            raise statuses.not_found(call.kind, call.name)
        merged = managed.apply(
            call.kind,
            old.document(call.kind.api_version) if old is not None else None,
            config,
            manager=call.manager,
            force=call.flag("force"),
            subresource=call.subresource,
            now=self.backend.timestamp(),
        )
        intake.from_apply(call, merged)
        intake.check_address(call, merged)
        if old is None:
            return writes.create(self.backend, call, merged, tracked=False)
        return writes.update(self.backend, call, merged, old=old, tracked=False)

    def _delete(self, call: Call, body: bytes, content_type: str, representation: Representation) -> Answer:
        chosen = self._delete_options(call, body, content_type)
        done = deletion.delete(self.backend, call, self._existing(call), chosen)
        if isinstance(done, Stored):
            return Answer(200, representation.one(call.kind, done))
        return Answer(200, msgspec.json.encode(done))

    def _delete_collection(self, call: Call, body: bytes, content_type: str, representation: Representation) -> Answer:
        chosen = self._delete_options(call, body, content_type)
        version = str(self.backend.store.version)
        gone = deletion.delete_collection(self.backend, call, chosen)
        return Answer(200, representation.listing(call.kind, gone, {"resourceVersion": version}))

    @staticmethod
    def _delete_options(call: Call, body: bytes, content_type: str) -> deletion.Options:
        return deletion.Options.of(call, bodies.decode(body, content_type) if body.strip() else None)
