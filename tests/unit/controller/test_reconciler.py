from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.api.models import Model, Resource
from kcontroller.api.objects import Object
from kcontroller.controller import Builder, Context, ObjectReconciler, Result
from kcontroller.errors import NotFound, ServerError, TerminalError
from kcontroller.process.logs import Log
from kcontroller.process.stop import StopToken
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, document

FINALIZER = "example.com/widget"
REQUEST = Request("", "default", "a")
DELETING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


class Spec(Model):
    size: int = 1


class Status(Model):
    ready: bool = False


class Widget(Resource[Spec, Status], group="example.com", version="v1", plural="widgets"):
    pass


WIDGET = "example.com/v1 Widget"


class Widgets(ObjectReconciler[Widget]):
    def __init__(self, *, finalized: Result | None = None) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.finalized = finalized

    def reconcile_object(self, ctx: Context, obj: Widget) -> Result | None:
        self.seen.append(("reconcile", obj))
        return Result(requeue_after=30)

    def finalize(self, ctx: Context, obj: Widget) -> Result | None:
        self.seen.append(("finalize", obj))
        return self.finalized


class Finalizing(Widgets):
    finalizer: ClassVar[str | None] = FINALIZER


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def reconcile(reconciler: ObjectReconciler[Any], cluster: FakeCluster) -> Result | None:
    return reconciler.reconcile(
        Context(REQUEST, cluster, None, Log("x"), (), None, StopToken(), None),  # type: ignore[arg-type]
        REQUEST,
    )


def patches(cluster: FakeCluster) -> list[list[str]]:
    return [json.loads(write.body)["metadata"]["finalizers"] for write in cluster.server.writes]


def test_an_object_that_is_gone_needs_nothing(cluster: FakeCluster) -> None:
    reconciler = Finalizing()

    assert reconcile(reconciler, cluster) is None
    assert reconciler.seen == []


def test_without_a_finalizer_the_object_is_reconciled_and_not_written(cluster: FakeCluster) -> None:
    cluster.server.put(document("a", kind=WIDGET) | {"spec": {"size": 3}})
    reconciler = Widgets()

    assert reconcile(reconciler, cluster) == Result(requeue_after=30)
    ((what, obj),) = reconciler.seen
    assert (what, type(obj), obj.spec.size) == ("reconcile", Widget, 3)
    assert cluster.server.writes == []


def test_the_finalizer_is_there_before_the_first_call(cluster: FakeCluster) -> None:
    cluster.server.put(document("a", kind=WIDGET, finalizers=["other.com/x"]))
    reconciler = Finalizing()
    reconcile(reconciler, cluster)

    assert patches(cluster) == [["other.com/x", FINALIZER]]
    assert reconciler.seen[0][1].metadata.finalizers == ["other.com/x", FINALIZER]


def test_a_finalizer_that_cannot_be_added_keeps_the_reconcile_back(cluster: FakeCluster) -> None:
    cluster.server.put(document("a", kind=WIDGET))
    cluster.server.refuse = ServerError("no", status=500)
    reconciler = Finalizing()

    with pytest.raises(ServerError):
        reconcile(reconciler, cluster)
    assert reconciler.seen == []


def test_a_finalizer_that_is_there_is_not_written_again(cluster: FakeCluster) -> None:
    cluster.server.put(document("a", kind=WIDGET, finalizers=[FINALIZER]))
    reconcile(Finalizing(), cluster)

    assert cluster.server.writes == []


@pytest.mark.parametrize("result", [None, Result(), Result(requeue_after=0), Result(priority=4)])
def test_a_finalize_that_is_done_takes_the_finalizer_off(cluster: FakeCluster, result: Result | None) -> None:
    cluster.server.put(document("a", kind=WIDGET, finalizers=["other.com/x", FINALIZER], **DELETING))
    reconciler = Finalizing(finalized=result)

    assert reconcile(reconciler, cluster) is None
    assert [what for what, _ in reconciler.seen] == ["finalize"]
    assert patches(cluster) == [["other.com/x"]]


@pytest.mark.parametrize("result", [Result(requeue=True), Result(requeue_after=5)])
def test_a_finalize_that_asks_for_more_time_keeps_the_finalizer(cluster: FakeCluster, result: Result) -> None:
    cluster.server.put(document("a", kind=WIDGET, finalizers=[FINALIZER], **DELETING))

    assert reconcile(Finalizing(finalized=result), cluster) is result
    assert cluster.server.writes == []


def test_a_finalize_that_raises_keeps_the_finalizer(cluster: FakeCluster) -> None:
    class Failing(Finalizing):
        def finalize(self, ctx: Context, obj: Widget) -> Result | None:
            raise TerminalError("no use")

    cluster.server.put(document("a", kind=WIDGET, finalizers=[FINALIZER], **DELETING))

    with pytest.raises(TerminalError):
        reconcile(Failing(), cluster)
    assert cluster.server.writes == []


def test_an_object_that_others_let_go_first_is_no_error(cluster: FakeCluster) -> None:
    cluster.server.put(document("a", kind=WIDGET, finalizers=[FINALIZER], **DELETING))
    cluster.server.refuse = NotFound("gone", status=404, reason="NotFound")

    assert reconcile(Finalizing(), cluster) is None


@pytest.mark.parametrize("finalizers", [[], ["other.com/x"]])
@pytest.mark.parametrize("make", [Widgets, Finalizing])
def test_an_object_that_is_deleted_without_our_finalizer_is_none_of_our_business(
    cluster: FakeCluster, make: type[Widgets], finalizers: list[str]
) -> None:
    cluster.server.put(document("a", kind=WIDGET, finalizers=finalizers, **DELETING))
    reconciler = make()

    assert reconcile(reconciler, cluster) is None
    assert reconciler.seen == []
    assert cluster.server.writes == []


# ---- the kind --------------------------------------------------------------------------------------------------------


def test_the_kind_is_the_class_argument_also_through_subclasses() -> None:
    class Child(Finalizing):
        pass

    builder = Builder()
    Child().setup(builder)

    assert builder.reconciled == gvk_of(WIDGET)


def test_the_kind_of_unstructured_objects_is_stated(cluster: FakeCluster) -> None:
    class Maps(ObjectReconciler[Object]):
        kind = CONFIG_MAP
        seen: ClassVar[list[Object]] = []

        def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
            self.seen.append(obj)
            return None

    cluster.server.put(document("a"))
    builder = Builder()
    Maps().setup(builder)
    reconcile(Maps(), cluster)

    assert builder.reconciled == gvk_of(CONFIG_MAP)
    assert Maps.seen[0].metadata.name == "a"


@pytest.mark.parametrize("argument", [Object, Any])
def test_without_a_kind_the_setup_says_what_to_write(argument: Any) -> None:
    class Lost(ObjectReconciler[argument]):
        def reconcile_object(self, ctx: Context, obj: Any) -> Result | None: ...

    with pytest.raises(
        TypeError, match=r"Lost does not say its kind: write ObjectReconciler\[YourResource\], or kind = "
    ):
        Lost().setup(Builder())


def test_a_stated_kind_goes_before_the_class_argument() -> None:
    class Other(ObjectReconciler[Widget]):
        kind = "example.com/v2 Widget"

        def reconcile_object(self, ctx: Context, obj: Any) -> Result | None: ...

    builder = Builder()
    Other().setup(builder)

    assert str(builder.reconciled) == "example.com/v2 Widget"


def test_the_cluster_of_the_request_is_read(cluster: FakeCluster) -> None:
    cluster.server.put(document("a", kind=WIDGET))
    reconciler = Widgets()
    reconcile(reconciler, cluster)

    assert Key(reconciler.seen[0][1].metadata.namespace, reconciler.seen[0][1].metadata.name) == REQUEST.key
