from __future__ import annotations

from typing import Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.cache.scope import Holding
from kcontroller.client.ports import Write
from kcontroller.cluster.floors import Floors, Promise
from kcontroller.cluster.writer import PromisingWriter, ReducedWriter
from kcontroller.errors import Forbidden, OutcomeUnknown, ServerError, Stopped
from kcontroller.testing.clock import VirtualClock
from tests.unit.cluster.held import CONFIG_MAP, GVK, A, HeldInformer, HeldKind, Wire, document, dump

DELETING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"uid": "uid-a"}}


def nobody(_gvk: object, _key: object, _labels: object) -> tuple[()]:
    return ()


def promised(
    answer: dict[str, Any] | bytes, *, kind: HeldKind | None = None, cached: bool = True, **write: Any
) -> dict[Key, Promise]:
    """What a write promises to later reads."""
    held = kind or HeldKind()
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    body = answer if isinstance(answer, bytes) else dump(answer)
    writer = PromisingWriter(Wire(body), floors, held.showing if cached else nobody)  # type: ignore[arg-type]
    given = {"verb": "patch", "kind": CONFIG_MAP, "key": A, **write}
    assert writer.write(Write(**given)) == body
    return {key: promise for (_, key), promise in floors._open.items()}


@pytest.mark.parametrize("verb", ["create", "update", "patch"])
@pytest.mark.parametrize("subresource", ["", "status"])
def test_a_write_promises_the_version_of_its_answer(verb: str, subresource: str) -> None:
    found = promised(document("a", 10), verb=verb, subresource=subresource)

    assert (found[A].version, found[A].uid) == (10, "")


class Leaving(Wire):
    """Writes go to another server before this one answers."""

    def __init__(self, floors: Floors, kind: HeldKind, answer: bytes) -> None:
        super().__init__(answer)
        self.floors = floors
        self.kind = kind

    def write(self, write: Write) -> bytes:
        self.floors.leave()
        self.kind.held[0].store.outdate()
        return super().write(write)


def test_the_answer_of_a_server_that_was_left_promises_nothing_and_the_next_write_does() -> None:
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    kind = HeldKind()
    late = PromisingWriter(Leaving(floors, kind, dump(document("a", 5000))), floors, kind.showing)  # type: ignore[arg-type]
    late.write(Write("patch", CONFIG_MAP, A))
    assert floors._open == {}

    after = PromisingWriter(Wire(dump(document("a", 12))), floors, kind.showing)  # type: ignore[arg-type]
    after.write(Write("patch", CONFIG_MAP, A))
    (promise,) = floors._open.values()
    (informer,) = kind.held
    informer.store.replace([], 10)
    assert not promise.kept(A), "the list began before the write"
    informer.store.advance(12)
    assert promise.kept(A)


def test_a_generated_name_is_that_of_the_answer() -> None:
    found = promised(document("web-x7k2p", 10), verb="create", key=Key("default", ""))

    assert set(found) == {Key("default", "web-x7k2p")}


def test_a_deletion_promises_that_this_uid_is_gone() -> None:
    found = promised(STATUS, verb="delete")

    assert (found[A].version, found[A].uid) == (0, "uid-a")


def test_a_deletion_that_answers_the_object_does_so_too() -> None:
    found = promised(document("a", 10, finalizers=["x"], **DELETING), verb="delete")

    assert (found[A].version, found[A].uid, found[A].finalized) == (0, "uid-a", False)


@pytest.mark.parametrize("verb", ["update", "patch"])
@pytest.mark.parametrize("finalizers", [{}, {"finalizers": []}, {"finalizers": None}])
def test_the_write_that_removes_the_last_finalizer_promises_no_version(verb: str, finalizers: dict[str, Any]) -> None:
    """Its answer is older than the deletion: version 256 and 257 for a real server."""
    found = promised(document("a", 256, **DELETING, **finalizers), verb=verb)

    assert (found[A].version, found[A].uid, found[A].finalized) == (0, "uid-a", True)


def test_a_write_that_leaves_another_finalizer_promises_its_version() -> None:
    found = promised(document("a", 256, finalizers=["other.com/x"], **DELETING))

    assert (found[A].version, found[A].uid) == (256, "")


@pytest.mark.parametrize(
    "write",
    [
        {"query": (("dryRun", "All"),)},
        {"subresource": "scale"},
        {"subresource": "eviction", "verb": "create"},
        {"cached": False},
        {"kind": "v1 Secret", "cached": False},
    ],
)
def test_these_promise_nothing(write: dict[str, Any]) -> None:
    kind = {"kind": write["kind"]} if "kind" in write else {}
    rest = {name: value for name, value in write.items() if name not in {"kind", "cached"}}
    held = {"cached": False} if "cached" in write else {}
    body = document("a", 10)
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    kinds = nobody if held else HeldKind().showing
    writer = PromisingWriter(Wire(dump(body)), floors, kinds)  # type: ignore[arg-type]
    writer.write(Write(**{"verb": "patch", "kind": CONFIG_MAP, "key": A, **kind, **rest}))

    assert floors._open == {}


def test_a_namespace_that_nobody_watches_promises_nothing() -> None:
    assert promised(document("a", 10), kind=HeldKind(HeldInformer("team"))) == {}


def test_the_promise_is_that_of_the_informer_of_the_namespace() -> None:
    team, default = HeldInformer("team"), HeldInformer("default")
    found = promised(document("a", 10), kind=HeldKind(team, default))

    assert found[A].informer is default  # type: ignore[comparison-overlap]


def test_every_informer_that_shows_the_object_owes_it_whoever_reads_from_it() -> None:
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    kind = HeldKind(HeldInformer(), HeldInformer())
    writer = PromisingWriter(Wire(dump(document("a", 10))), floors, kind.showing)  # type: ignore[arg-type]
    writer.write(Write("patch", GVK, A))

    assert {informer: promise.version for (informer, _key), promise in floors._open.items()} == dict.fromkeys(
        kind.held, 10
    )


@pytest.mark.parametrize(
    ("holding", "what"),
    [(Holding(drop=("data",)), "data"), (Holding(metadata_only=True), "all but the metadata")],
)
@pytest.mark.parametrize("subresource", ["", "status"])
def test_what_is_read_without_some_of_its_fields_is_never_replaced(
    holding: Holding, what: str, subresource: str
) -> None:
    wire = Wire()
    writer = ReducedWriter(wire, {GVK: holding})

    with pytest.raises(ValueError, match=f"v1 ConfigMap default/a cannot be updated: .* without {what}, which an"):
        writer.write(Write("update", CONFIG_MAP, A, subresource=subresource))
    assert wire.asked == []


@pytest.mark.parametrize(
    ("verb", "kind", "holding"),
    [
        ("patch", CONFIG_MAP, Holding(drop=("data",))),
        ("create", CONFIG_MAP, Holding(drop=("data",))),
        ("delete", CONFIG_MAP, Holding(metadata_only=True)),
        ("update", "v1 Secret", Holding(drop=("data",))),
        ("update", CONFIG_MAP, Holding.of(labels="app=web", namespaces=["default"])),
    ],
)
def test_all_else_is_sent(verb: str, kind: str, holding: Holding) -> None:
    wire = Wire()
    ReducedWriter(wire, {GVK: holding}).write(Write(verb, kind, A))

    assert wire.asked == [(verb, kind, A)]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"[]",
        b"\xff\xfe",
        b'{"kind":"ConfigMap"}',
        b"[" * 100_000,
        dump(document("a", 10) | {"metadata": {"name": "a", "resourceVersion": "not-a-number"}}),
        dump(document("a", 10, labels={"a": None})),
        dump({"kind": "Status", "apiVersion": "v1"}),
        dump({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "a", "resourceVersion": "5"}}),
    ],
)
@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_a_strange_answer_does_not_make_a_write_that_happened_fail(answer: bytes, verb: str) -> None:
    assert all(promise.uid for promise in promised(answer, verb=verb).values())


def test_a_write_that_failed_promises_nothing() -> None:
    wire = Wire()
    wire.error = OutcomeUnknown("lost")
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    writer = PromisingWriter(wire, floors, HeldKind().showing)  # type: ignore[arg-type]

    with pytest.raises(OutcomeUnknown):
        writer.write(Write("patch", CONFIG_MAP, A))
    assert floors._open == {}


@pytest.mark.parametrize(
    ("error", "fresh", "doubts"),
    [
        (OutcomeUnknown("lost"), True, {A}),
        (ServerError("no", status=503), True, {A}),
        (Stopped("stop"), True, {A}),
        (OutcomeUnknown("lost"), False, set()),
        (Forbidden("no", status=403), True, set()),
    ],
)
def test_a_create_under_its_own_name_that_may_have_happened_leaves_a_doubt(
    error: Exception, *, fresh: bool, doubts: set[Key]
) -> None:
    wire = Wire()
    wire.error = error
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    writer = PromisingWriter(wire, floors, HeldKind().showing)  # type: ignore[arg-type]

    with pytest.raises(type(error)):
        writer.write(Write("create", CONFIG_MAP, A, b"{}", fresh_name=fresh))
    assert {key for _, key in floors._doubts} == doubts


def test_the_promise_knows_in_which_time_of_the_server_it_was_made() -> None:
    kind = HeldKind()
    kind.held[0].store.replace([], 5, reset=True)

    assert promised(document("a", 10), kind=kind)[A].resets == 1


def test_the_kind_is_that_of_the_write() -> None:
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    asked: list[object] = []
    writer = PromisingWriter(
        Wire(dump(document("a", 10, labels={"app": "web"}))), floors, lambda *about: asked.append(about) or ()
    )
    writer.write(Write("patch", GVK, A))

    assert asked == [(GVK, A, {"app": "web"})]
