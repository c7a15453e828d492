from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from kcontroller import Builder, Context, Key, Object, Reconciler, Request, Result, TerminalError, Wait, owners
from kcontroller.errors import ClusterNotFound, Conflict, Invalid, NotCached, NotFound, RequestTimeout
from kcontroller.testing.reconciling import reconcile_once
from tests.unit.testing.widgets import CRD, Calls, Widget, WidgetReconciler, WidgetStatus, widget

A = Key("default", "a")


def config_map(name: str = "a", **data: str) -> Object:
    metadata = {"namespace": "default", "name": name}
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def lines(outcome: Any) -> list[str]:
    return [str(write) for write in outcome.writes]


def test_what_a_reconcile_returned_and_wrote_is_told() -> None:
    outcome = reconcile_once(WidgetReconciler(), widget(size=3))

    assert outcome.result == Result(requeue_after=30)
    assert outcome.requeue_after == 30
    assert lines(outcome) == [
        "patch example.com/v1 Widget default/a",
        "create v1 ConfigMap default/a",
        "patch example.com/v1 Widget default/a/status",
    ]
    assert outcome.error is None
    assert outcome.events == ()


def test_a_write_shows_what_was_sent_and_what_changed() -> None:
    finalizer, create, status = reconcile_once(WidgetReconciler(), widget(size=3)).writes

    assert finalizer.change == {"metadata": {"finalizers": ["example.com/widget"]}}
    assert create.body["data"] == create.change["data"] == {"size": "3"}
    assert create.change["metadata"]["ownerReferences"][0]["name"] == "a"
    (condition,) = status.change["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")
    assert status.subresource == "status"


def test_the_object_afterwards_has_its_class() -> None:
    outcome = reconcile_once(WidgetReconciler(), widget())

    assert isinstance(outcome.obj, Widget)
    assert outcome.obj.status.conditions[0].status == "True"
    assert outcome.client.get("v1 ConfigMap", A)["data"] == {"size": "1"}


def test_what_is_as_it_should_be_is_left_alone() -> None:
    first = reconcile_once(WidgetReconciler(), widget())
    child = first.client.get("v1 ConfigMap", A)

    again = reconcile_once(WidgetReconciler(), first.obj, given=[child])

    assert again.writes == ()
    assert again.requeue_after == 30


def test_given_objects_keep_status_identity_and_owners() -> None:
    owner = widget()
    owner.metadata.uid = "the-uid"
    owner.status = WidgetStatus(ready=True)
    child = config_map(size="0")
    owners.set_controller(owner, child)
    seen: list[Any] = []

    def look(ctx: Context, request: Request) -> None:
        seen.append((ctx.client.get(Widget, request), ctx.client.get("v1 ConfigMap", request)))

    reconcile_once(Calls(look), owner, given=[child])

    (found, found_child) = seen[0]
    assert (found.metadata.uid, found.status.ready) == ("the-uid", True)
    assert found_child.metadata.owner_references[0].uid == "the-uid"


def test_an_object_that_is_being_deleted_is_finalized_and_gone() -> None:
    going = widget()
    going.metadata.finalizers = ["example.com/widget"]
    going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    outcome = reconcile_once(WidgetReconciler(), going)

    assert lines(outcome) == ["patch example.com/v1 Widget default/a"]
    assert outcome.obj is None


def test_a_deletion_needs_a_finalizer() -> None:
    going = widget()
    going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"

    with pytest.raises(ValueError, match="it would be gone; give it one"):
        reconcile_once(WidgetReconciler(), going)


def test_the_key_of_nothing_can_be_reconciled() -> None:
    reconciler = Calls(lambda ctx, request: ctx.client.get_or_none(Widget, request))
    for key in (A, Request("", *A)):
        outcome = reconcile_once(reconciler, key)
        assert (outcome.result, outcome.obj) == (None, None)

    assert reconciler.seen == [Request("", *A)] * 2


def test_a_dictionary_will_do_for_an_object() -> None:
    document = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "x"}}
    outcome = reconcile_once(WidgetReconciler(), document, crds=CRD)

    assert outcome.obj.metadata.finalizers == ["example.com/widget"]


def test_a_definition_validates_and_defaults() -> None:
    with pytest.raises(Invalid, match=r"spec\.size"):
        reconcile_once(WidgetReconciler(), widget(size=0), crds=CRD)
    colored = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "a", "namespace": "x"},
        "spec": {},
    }

    assert reconcile_once(WidgetReconciler(), colored, crds=[CRD]).obj["spec"] == {"color": "red"}


def test_without_a_definition_a_class_is_enough_and_a_document_is_not() -> None:
    gadget = Object({"apiVersion": "example.com/v2", "kind": "Gadget", "metadata": {"name": "a"}})

    with pytest.raises(LookupError, match=r"example\.com/v2 Gadget is not installed here; .* crds="):
        reconcile_once(WidgetReconciler(), widget(), given=[gadget])


def test_an_error_comes_through_and_one_that_is_expected_is_an_outcome() -> None:
    def fail(ctx: Context, request: Request) -> None:
        ctx.client.create(config_map())
        raise TerminalError("no")

    with pytest.raises(TerminalError):
        reconcile_once(Calls(fail), widget())
    outcome = reconcile_once(Calls(fail), widget(), raises=TerminalError)

    assert isinstance(outcome.error, TerminalError)
    assert lines(outcome) == ["create v1 ConfigMap default/a"]
    with pytest.raises(AssertionError, match="the reconcile returned None; it was to raise Conflict or NotFound"):
        reconcile_once(Calls(), widget(), raises=(Conflict, NotFound))


def test_a_wait_is_no_error() -> None:
    def wait(ctx: Context, request: Request) -> None:
        raise Wait(after=7, why="later")

    outcome = reconcile_once(Calls(wait), widget())

    assert isinstance(outcome.error, Wait)
    assert (outcome.result, outcome.requeue_after) == (None, 7)


def test_a_refused_write_is_told_with_the_reason() -> None:
    def collide(ctx: Context, request: Request) -> None:
        ctx.client.create(config_map())

    outcome = reconcile_once(Calls(collide), widget(), given=[config_map()], raises=Conflict)

    (write,) = outcome.writes
    assert write.error.startswith("409 AlreadyExists: ")
    assert write.change == {}
    assert str(write).startswith("create v1 ConfigMap default/a -> 409 AlreadyExists")


def test_conflicts_happen_as_on_a_server() -> None:
    def late(ctx: Context, request: Request) -> None:
        first, second = (ctx.client.get("v1 ConfigMap", A) for _ in range(2))
        first["data"] = {"a": "1"}
        ctx.client.update(first)
        second["data"] = {"a": "2"}
        ctx.client.update(second)

    with pytest.raises(Conflict):
        reconcile_once(Calls(late), widget(), given=[config_map()])


def test_names_that_the_server_makes_apply_delete_and_dry_runs_are_recorded() -> None:
    def work(ctx: Context, request: Request) -> None:
        made = config_map()
        made.metadata.name, made.metadata.generate_name = "", "x-"
        ctx.client.create(made)
        ctx.client.apply(config_map("b", k="v"))
        ctx.client.with_options(dry_run=True).delete("v1 ConfigMap", Key("default", "b"))
        ctx.client.delete("v1 ConfigMap", Key("default", "b"))

    generated, *others = reconcile_once(Calls(work), widget()).writes

    assert generated.key.name.startswith("x-")
    assert len(generated.key.name) > 2
    assert [str(write) for write in others] == [
        "apply v1 ConfigMap default/b",
        "delete v1 ConfigMap default/b (dry run)",
        "delete v1 ConfigMap default/b",
    ]


def test_the_writes_of_one_kind_can_be_picked() -> None:
    outcome = reconcile_once(WidgetReconciler(), widget())

    assert [write.verb for write in outcome.writes_of("v1 ConfigMap")] == ["create"]
    assert [write.subresource for write in outcome.writes_of(Widget)] == ["", "status"]


class Indexed(Reconciler):
    """Reads Widgets by an index."""

    def __init__(self, **how: Any) -> None:
        self.how = how
        self.found: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(Widget).index(Widget, "spec.color")

    def reconcile(self, ctx: Context, request: Request) -> None:
        self.found = sorted(each.metadata.name for each in ctx.client.list(Widget, **self.how))


def test_reads_follow_the_rules_of_a_cache() -> None:
    objects = [widget("b", color="red"), widget("c", color="blue")]
    by_index = Indexed(index=("spec.color", "red"))
    reconcile_once(by_index, widget(color="red"), given=objects)
    by_field = Indexed(fields="spec.color=blue")
    reconcile_once(by_field, widget(color="red"), given=objects)

    assert (by_index.found, by_field.found) == (["a", "b"], ["c"])
    with pytest.raises(NotCached, match=r"spec\.size"):
        reconcile_once(Indexed(fields="spec.size=1"), widget())


def test_a_read_sees_own_writes() -> None:
    def work(ctx: Context, request: Request) -> None:
        found = ctx.client.get(Widget, request)
        found.spec.size = 9
        ctx.client.patch(found)
        assert ctx.client.get(Widget, request).spec.size == 9
        ctx.client.delete(found)
        assert ctx.client.get_or_none(Widget, request) is None

    assert reconcile_once(Calls(work), widget()).obj is None


def test_the_context_has_its_other_parts() -> None:
    def look(ctx: Context, request: Request) -> None:
        assert ctx.cluster.name == ""
        assert ctx.clusters.get("") is ctx.cluster
        with pytest.raises(ClusterNotFound):
            ctx.clusters.get("other")
        assert ctx.cluster.is_namespaced("v1 ConfigMap") is True
        assert ctx.cluster.is_namespaced("v1 Namespace") is False
        assert ctx.cluster.is_namespaced("example.com/v9 Nothing") is None
        assert ctx.cluster.api_reader.get(Widget, request).metadata.name == "a"
        assert ctx.cluster.client.get(Widget, request).metadata.name == "a"
        assert (ctx.cluster.pending(), ctx.cluster.troubles()) == ((), {})
        with pytest.raises(NotImplementedError, match="use api_server and manager"):
            ctx.cluster.kubernetes_client()
        with pytest.raises(NotImplementedError):
            ctx.cluster.cache(Widget)
        ctx.check()
        ctx.log.info("said")

    reconcile_once(Calls(look), widget())


class Impatient(Calls):
    def setup(self, builder: Builder) -> None:
        builder.for_(Widget).options(reconcile_timeout=0.001)


def test_a_time_limit_of_its_own_holds() -> None:
    def late(ctx: Context, request: Request) -> None:
        ctx.stop.wait(5)
        ctx.client.get("v1 Secret", request)

    with pytest.raises(RequestTimeout):
        reconcile_once(Impatient(late), widget())


def test_one_takes_a_few_milliseconds_and_no_thread() -> None:
    before = threading.active_count()
    reconcile_once(WidgetReconciler(), widget(), crds=CRD)
    began = time.perf_counter()
    for _ in range(5):
        reconcile_once(WidgetReconciler(), widget(), crds=CRD)

    assert (time.perf_counter() - began) / 5 < 0.05
    assert threading.active_count() == before


class Telling(Reconciler):
    def setup(self, builder: Builder) -> None:
        builder.for_("v1 ConfigMap")

    def reconcile(self, ctx: Context, request: Request) -> None:
        obj = ctx.client.get("v1 ConfigMap", request)
        for _ in range(2):
            ctx.event(obj, "Warning", "Broken", "no such disk", action="Mount")
        obj.metadata.name = "changed-later"


def test_events_are_kept_as_they_were_recorded_and_sent_nowhere() -> None:
    outcome = reconcile_once(Telling(), config_map())

    first, second = outcome.events
    assert first == second
    assert (first.type, first.reason, first.message, first.action) == ("Warning", "Broken", "no such disk", "Mount")
    assert str(first) == "Warning Broken: no such disk (v1 ConfigMap default/a)"
    assert first.regarding.uid == outcome.obj.metadata.uid
    assert outcome.writes == ()
    assert outcome.client.list("v1 Event") == []


def test_an_event_that_the_recorder_would_refuse_is_refused_here_too() -> None:
    class Shouting(Telling):
        def reconcile(self, ctx: Context, request: Request) -> None:
            ctx.event(ctx.client.get("v1 ConfigMap", request), "Error", "Broken", "no such disk")

    with pytest.raises(ValueError, match="an event is 'Normal' or 'Warning', not 'Error'"):
        reconcile_once(Shouting(), config_map())
