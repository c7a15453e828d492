"""Several finalizers on one object: who is called, what comes off, and what is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller.api.keys import Request
from kcontroller.api.objects import Object, is_deleting
from kcontroller.controller import Builder, Context, FinalizerRegistry, ObjectReconciler, Result
from kcontroller.controller.outcomes import of_error
from kcontroller.errors import NotFound, NotLeader, StaleRead, Stopped, TerminalError, Wait
from kcontroller.process.logs import Log
from kcontroller.process.stop import StopToken
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, document

if TYPE_CHECKING:
    from collections.abc import Callable

DNS, BUCKET, OTHER = "example.com/dns", "example.com/bucket", "other.com/x"
REQUEST = Request("", "default", "a")
DELETING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


class Run:
    """A registry of two finalizers, `dns` before `bucket`, on an object of the fake cluster."""

    def __init__(self, cluster: FakeCluster, dns: Any = None, bucket: Any = None, **metadata: Any) -> None:
        self.cluster = cluster
        self.called: list[str] = []
        self.registry = FinalizerRegistry({DNS: self.function("dns", dns), BUCKET: self.function("bucket", bucket)})
        cluster.server.put(document("a", **metadata))
        self.ctx = context(cluster)
        self.obj = self.ctx.client.get(CONFIG_MAP, REQUEST.key)

    def function(self, name: str, outcome: Any) -> Callable[[Context, Any], Result | None]:
        def call(_ctx: Context, _obj: Any) -> Result | None:
            self.called.append(name)
            if isinstance(outcome, BaseException):
                raise outcome
            result: Result | None = outcome
            return result

        return call

    def finalize(self) -> Result | None:
        return self.registry.finalize(self.ctx, self.obj)

    @property
    def patches(self) -> list[list[str]]:
        return [json.loads(write.body)["metadata"]["finalizers"] for write in self.cluster.server.writes]


def context(cluster: FakeCluster) -> Context:
    return Context(REQUEST, cluster, None, Log("x"), (), None, StopToken(), None)  # type: ignore[arg-type]


def going(*finalizers: str) -> dict[str, Any]:
    return {"finalizers": list(finalizers), **DELETING}


def test_all_that_are_missing_are_added_in_one_patch(cluster: FakeCluster) -> None:
    run = Run(cluster, finalizers=[OTHER, BUCKET])

    assert run.registry.add(run.ctx, run.obj)
    assert not run.registry.add(run.ctx, run.obj)
    assert run.patches == [[OTHER, BUCKET, DNS]]


def test_those_that_are_there_are_called_in_the_order_declared_and_come_off_in_one_patch(cluster: FakeCluster) -> None:
    run = Run(cluster, **going(BUCKET, OTHER, DNS))

    assert run.finalize() is None
    assert run.called == ["dns", "bucket"]
    assert run.patches == [[OTHER]]


def test_one_that_is_not_on_the_object_is_not_called(cluster: FakeCluster) -> None:
    run = Run(cluster, **going(BUCKET))

    assert run.finalize() is None
    assert run.called == ["bucket"]


def test_one_that_fails_stays_and_the_others_come_off(cluster: FakeCluster) -> None:
    run = Run(cluster, dns=ValueError("no"), **going(DNS, BUCKET))

    with pytest.raises(ValueError, match="no"):
        run.finalize()
    assert run.patches == [[DNS]]


def test_several_that_fail_are_told_together(cluster: FakeCluster) -> None:
    run = Run(cluster, dns=ValueError("no zone"), bucket=TerminalError("not empty"), **going(DNS, BUCKET))

    with pytest.raises(ExceptionGroup) as raised:
        run.finalize()
    told = "finalizers failed: example.com/dns: ValueError: no zone; example.com/bucket: TerminalError: not empty"
    assert raised.value.message == told
    assert [type(error) for error in raised.value.exceptions] == [ValueError, TerminalError]
    assert run.patches == []
    assert not of_error(raised.value).terminal


def test_several_that_say_that_a_retry_is_of_no_use_are_not_retried(cluster: FakeCluster) -> None:
    run = Run(cluster, dns=TerminalError("a"), bucket=TerminalError("b"), **going(DNS, BUCKET))

    with pytest.raises(ExceptionGroup) as raised:
        run.finalize()
    assert of_error(raised.value).terminal


@pytest.mark.parametrize("later", [Result(requeue_after=9), Result(requeue=True), Wait(after=3), StaleRead("x")])
def test_one_that_asks_for_more_time_stays_and_the_others_come_off(cluster: FakeCluster, later: Any) -> None:
    run = Run(cluster, dns=later, **going(DNS, BUCKET))

    if isinstance(later, Exception):
        with pytest.raises(type(later)):
            run.finalize()
    else:
        assert run.finalize() is later
    assert run.called == ["dns", "bucket"]
    assert run.patches == [[DNS]]


@pytest.mark.parametrize(
    ("one", "other", "soonest"),
    [
        (Result(requeue_after=9), Result(requeue_after=5), 5.0),
        (Result(requeue_after=9), Result(requeue=True), None),
        (Wait(after=7), Result(requeue_after=9), Wait),
        (Result(requeue_after=2), Wait(after=7), 2.0),
    ],
)
def test_the_next_call_is_the_soonest_that_was_asked_for(
    cluster: FakeCluster, one: Any, other: Any, soonest: Any
) -> None:
    run = Run(cluster, dns=one, bucket=other, **going(DNS, BUCKET))

    if soonest is Wait:
        with pytest.raises(Wait):
            run.finalize()
    else:
        result = run.finalize()
        assert result is not None
        assert result.seconds == soonest


def test_an_answer_that_is_no_result_is_that_functions_failure(cluster: FakeCluster) -> None:
    run = Run(cluster, dns=True, **going(DNS, BUCKET))

    with pytest.raises(TypeError, match=r"example\.com/dns must return a Result or None, got bool"):
        run.finalize()

    assert run.patches == [[DNS]]


def test_a_wait_that_names_no_time_is_told_as_it_is(cluster: FakeCluster) -> None:
    run = Run(cluster, dns=Result(requeue_after=5), bucket=Wait(after=None), **going(DNS, BUCKET))  # type: ignore[arg-type]

    with pytest.raises(Wait):
        run.finalize()


def test_a_failure_goes_before_a_wish_for_more_time(cluster: FakeCluster) -> None:
    run = Run(cluster, dns=Result(requeue_after=9), bucket=ValueError("no"), **going(DNS, BUCKET))

    with pytest.raises(ValueError, match="no"):
        run.finalize()


@pytest.mark.parametrize("error", [Stopped("the process stops"), NotLeader("lost"), SystemExit(1)])
def test_what_ends_the_reconcile_ends_it_at_once(cluster: FakeCluster, error: BaseException) -> None:
    run = Run(cluster, dns=error, **going(DNS, BUCKET))

    with pytest.raises(type(error)):
        run.finalize()
    assert (run.called, run.patches) == (["dns"], [])


def test_an_object_that_others_let_go_first_is_no_error(cluster: FakeCluster) -> None:
    run = Run(cluster, **going(DNS))
    cluster.server.refuse = NotFound("gone", status=404, reason="NotFound")

    assert run.finalize() is None


@pytest.mark.parametrize("name", ["dns", "Example.com/dns", "example.com/", "example.com/a/b", ""])
def test_a_name_that_the_server_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a finalizer; write it like 'example\.com/dns'"):
        FinalizerRegistry({name: lambda _ctx, _obj: None})


# ---- in an ObjectReconciler ------------------------------------------------------------------------------------------

SEEN: list[tuple[str, str]] = []


def clean_bucket(_ctx: Context, obj: Object) -> None:
    SEEN.append(("function", obj.metadata.name))


class Maps(ObjectReconciler[Object]):
    kind = CONFIG_MAP
    finalizer = "example.com/map"

    def clean_dns(self, _ctx: Context, _obj: Object) -> Result | None:
        SEEN.append((type(self).__name__, "dns"))
        return None

    finalizers: ClassVar[Any] = {DNS: clean_dns, BUCKET: clean_bucket}

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        SEEN.append(("reconcile", ",".join(obj.metadata.finalizers)))
        assert not is_deleting(obj)
        return None

    def finalize(self, ctx: Context, obj: Object) -> Result | None:
        SEEN.append(("finalize", obj.metadata.name))
        return None


class Overriding(Maps):
    def clean_dns(self, _ctx: Context, _obj: Object) -> Result | None:
        SEEN.append(("Overriding", "its own"))
        return None


@pytest.mark.parametrize(("make", "dns"), [(Maps, ("Maps", "dns")), (Overriding, ("Overriding", "its own"))])
def test_a_reconciler_has_its_own_finalizer_and_further_ones_as_methods_and_functions(
    cluster: FakeCluster, make: type[Maps], dns: tuple[str, str]
) -> None:
    SEEN.clear()
    cluster.server.put(document("a"))
    make().reconcile(context(cluster), REQUEST)
    cluster.server.put(document("a", **going("example.com/map", DNS, BUCKET)))
    make().reconcile(context(cluster), REQUEST)

    added, finalize, *further = SEEN
    assert (added, finalize) == (("reconcile", f"example.com/map,{DNS},{BUCKET}"), ("finalize", "a"))
    assert further == [dns, ("function", "a")]
    assert [json.loads(write.body)["metadata"]["finalizers"] for write in cluster.server.writes] == [
        ["example.com/map", DNS, BUCKET],
        [],
    ]


def test_a_wrong_finalizer_is_named_where_the_class_is_defined() -> None:
    with pytest.raises(ValueError, match="'dns' is not a finalizer"):

        class Wrong(ObjectReconciler[Object]):
            finalizer = "dns"
