from __future__ import annotations

from typing import Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.client.ports import Write
from kcontroller.cluster.floors import Floors, Promise
from kcontroller.cluster.writer import PromisingWriter
from kcontroller.errors import OutcomeUnknown
from kcontroller.testing.clock import VirtualClock
from tests.unit.cluster.held import CONFIG_MAP, GVK, A, HeldInformer, HeldKind, Wire, document, dump

DELETING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"uid": "uid-a"}}


def nobody(_gvk: object, _key: object, _labels: object) -> None:
    return None


def promised(
    answer: dict[str, Any] | bytes, *, kind: HeldKind | None = None, cached: bool = True, **write: Any
) -> dict[Key, Promise]:
    """What a write promises to later reads."""
    held = kind or HeldKind()
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    body = answer if isinstance(answer, bytes) else dump(answer)
    writer = PromisingWriter(Wire(body), floors, held.covering_key if cached else nobody)  # type: ignore[arg-type]
    given = {"verb": "patch", "kind": CONFIG_MAP, "key": A, **write}
    assert writer.write(Write(**given)) == body
    return {key: promise for (_, key), promise in floors._open.items()}


@pytest.mark.parametrize("verb", ["create", "update", "patch"])
@pytest.mark.parametrize("subresource", ["", "status"])
def test_a_write_promises_the_version_of_its_answer(verb: str, subresource: str) -> None:
    found = promised(document("a", 10), verb=verb, subresource=subresource)

    assert (found[A].version, found[A].uid) == (10, "")


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
    kinds = nobody if held else HeldKind().covering_key
    writer = PromisingWriter(Wire(dump(body)), floors, kinds)  # type: ignore[arg-type]
    writer.write(Write(**{"verb": "patch", "kind": CONFIG_MAP, "key": A, **kind, **rest}))

    assert floors._open == {}


def test_a_namespace_that_nobody_watches_promises_nothing() -> None:
    assert promised(document("a", 10), kind=HeldKind(HeldInformer("team"))) == {}


def test_the_promise_is_that_of_the_informer_of_the_namespace() -> None:
    team, default = HeldInformer("team"), HeldInformer("default")
    found = promised(document("a", 10), kind=HeldKind(team, default))

    assert found[A].informer is default  # type: ignore[comparison-overlap]


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
    writer = PromisingWriter(wire, floors, HeldKind().covering_key)  # type: ignore[arg-type]

    with pytest.raises(OutcomeUnknown):
        writer.write(Write("patch", CONFIG_MAP, A))
    assert floors._open == {}


def test_the_promise_knows_in_which_time_of_the_server_it_was_made() -> None:
    kind = HeldKind()
    kind.held[0].store.replace([], 5, reset=True)

    assert promised(document("a", 10), kind=kind)[A].resets == 1


def test_the_kind_is_that_of_the_write() -> None:
    floors = Floors(clock=VirtualClock(), on_loop_thread=lambda: False, on_stale=lambda: None)
    asked: list[object] = []
    writer = PromisingWriter(
        Wire(dump(document("a", 10, labels={"app": "web"}))), floors, lambda *about: asked.append(about)
    )
    writer.write(Write("patch", GVK, A))

    assert asked == [(GVK, A, {"app": "web"})]
