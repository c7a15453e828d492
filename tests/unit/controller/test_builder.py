from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.models import Model, Resource
from kcontroller.cache.scope import Holding
from kcontroller.controller import Builder, Controller, ObjectReconciler, Reconciler, predicates
from kcontroller.controller.handlers import ForObject, ForOwner, Mapped
from kcontroller.controller.options import ControllerOptions
from kcontroller.controller.plan import name_of
from kcontroller.errors import ConfigError
from tests.unit.controller.fakes import CONFIG_MAP, POD, FakeHost, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

APPS = "apps/v1 Deployment"


def nothing(_cluster: object, _obj: object) -> list[Any]:
    return []


def test_every_declaration_is_built_in_order_and_owned_kinds_last() -> None:
    builder = Builder().owns(POD).for_(APPS).watches(CONFIG_MAP, nothing)
    declarations, _, _ = builder.build()

    assert [(each.kind, type(each.handler)) for each in declarations] == [
        (APPS, ForObject),
        (CONFIG_MAP, Mapped),
        (POD, ForOwner),
    ]
    assert builder.reconciled == gvk_of(APPS)
    assert builder.for_kind == APPS


def test_watches_alone_is_enough() -> None:
    declarations, _, _ = Builder().watches(POD, nothing).build()

    assert len(declarations) == 1


def test_indexes_are_collected() -> None:
    _, indexes, _ = Builder().for_(POD).index(POD, "spec.nodeName").index(CONFIG_MAP, "data.x").build()

    assert indexes == ((POD, "spec.nodeName"), (CONFIG_MAP, "data.x"))


def test_options_add_up() -> None:
    builder = Builder().for_(POD).options(max_concurrent_reconciles=4).options(reconcile_timeout=0)

    assert builder.build()[2] == ControllerOptions(4, 0)


def test_a_declaration_knows_whether_it_runs_user_code() -> None:
    mine = predicates.function(lambda _event: True)
    declarations, _, _ = (
        Builder().for_(POD, predicates=[predicates.generation_changed()]).owns(CONFIG_MAP, predicates=[mine]).build()
    )

    assert [each.user_code for each in declarations] == [False, True]


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (lambda builder: builder.for_(POD).for_(APPS), "for_ was called twice: v1 Pod and apps/v1 Deployment"),
        (lambda builder: builder.owns(POD), "owns needs for_"),
        (lambda builder: builder, "setup watches nothing; call builder.for_"),
        (lambda builder: builder.index(POD, "spec.nodeName"), "setup watches nothing"),
        (lambda builder: builder.for_("Pod"), "'Pod' is not a kind; write it like"),
        (lambda builder: builder.for_("v1 pod"), "is not a kind"),
        (lambda builder: builder.for_(dict), "dict is not a kind; subclass Resource"),
        (lambda builder: builder.for_(None), "NoneType is not a kind"),
        (lambda builder: builder.for_(POD).owns("nope"), "'nope' is not a kind"),
        (lambda builder: builder.watches("nope", nothing), "'nope' is not a kind"),
        (lambda builder: builder.for_(POD).index("nope", "a.b"), "'nope' is not a kind"),
        (lambda builder: builder.for_(POD).index(POD, ""), "'' is not a path to index by; write it like"),
        (lambda builder: builder.for_(POD).index(POD, "spec..x"), "'spec..x' is not a path"),
        (lambda builder: builder.watches(POD, [1]), "watches needs a function that names what to reconcile, got list"),
        (lambda builder: builder.for_(POD, predicates=[lambda _: True]), r"predicates takes a list, .* got <lambda>"),
        (lambda builder: builder.for_(POD, predicates=[predicates.generation_changed]), "got generation_changed"),
        (lambda builder: builder.for_(POD, predicates=predicates.version_changed()), "takes a list, .* got _Changed"),
        (lambda builder: builder.for_(POD, predicates=lambda _: True), "takes a list, .* got <lambda>"),
        (lambda builder: builder.for_(POD).owns(POD, predicates=["x"]), "takes a list, .* got str"),
        (lambda builder: builder.for_(POD).options(max_concurrent_reconciles=0), "at least 1, got 0"),
        (lambda builder: builder.for_(POD).options(max_concurrent_reconciles=-1), "at least 1, got -1"),
        (lambda builder: builder.for_(POD).options(max_per_cluster=0), "max_per_cluster must be at least 1, got 0"),
        (lambda builder: builder.for_(POD).options(reconcile_timeout=-1), "reconcile_timeout must be a number"),
        (lambda builder: builder.for_(POD).options(reconcile_timeout=math.nan), "reconcile_timeout must be a number"),
        (lambda builder: builder.for_(POD).options(backoff=5), "backoff takes a Backoff, such as .*, got 5"),
        (lambda builder: builder.for_(POD).options(retry_rate=10), r"retry_rate is retries a second .*, got 10"),
        (lambda builder: builder.for_(POD).options(retry_rate=(0, 1)), r"retry_rate is .*, got \(0, 1\)"),
        (lambda builder: builder.for_(POD).options(retry_rate="10/5"), "retry_rate is .*, got '10/5'"),
        (lambda builder: builder.source("x"), "source takes a Channel, an Every or a Cron, got 'x'"),
    ],
)
def test_a_wrong_setup_is_one_line_that_names_the_reconciler_and_the_remedy(
    host: FakeHost, declare: Callable[[Any], object], error: str
) -> None:
    with pytest.raises(ConfigError, match=rf"Scripted\.setup: .*{error}") as raised:
        Controller(Scripted(setup=declare), host)

    assert "\n" not in str(raised.value)


def test_an_object_reconciler_without_kind_says_what_to_write(host: FakeHost) -> None:
    class Lost(ObjectReconciler[Any]):
        def reconcile_object(self, ctx: Any, obj: Any) -> None: ...

    with pytest.raises(ConfigError, match=r"Lost does not say its kind: write ObjectReconciler\[YourResource\], or"):
        Controller(Lost(), host)


class Named(Reconciler):
    def setup(self, builder: Builder) -> None: ...
    def reconcile(self, ctx: Any, request: Any) -> None: ...


def test_a_controller_is_named_by_its_reconciler_else_its_kind_else_its_class() -> None:
    reconciler = Named()
    assert name_of(reconciler, Builder()) == "named"
    assert name_of(reconciler, Builder().for_(APPS)) == "deployment"
    reconciler.name = "mine"  # type: ignore[misc]
    assert name_of(reconciler, Builder().for_(APPS)) == "mine"


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_kind_is_said_once_for_each() -> None:
    builder = Builder().for_(POD).cache(POD, labels="app=web", namespaces=["b", "a"]).cache(CONFIG_MAP)

    assert builder.holdings == {
        gvk_of(POD): Holding.of(labels="app=web", namespaces=["a", "b"]),
        gvk_of(CONFIG_MAP): Holding(),
    }
    with pytest.raises(ValueError, match="cache was called twice for v1 Pod; say everything in one call"):
        builder.cache(gvk_of(POD), metadata_only=True)


def test_what_nobody_hears_of_is_kept_for_reads() -> None:
    builder = Builder().for_(POD).owns("v1 Secret").cache(POD).cache(CONFIG_MAP).index("v1 Node", "spec.x")

    assert [each.kind for each in builder.kept] == [CONFIG_MAP, "v1 Node"]


class Planet(Resource[Model, Model], group="example.com", version="v1", plural="planets", namespaced=False):
    pass


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"kind": Planet, "namespaces": ["a"]}, "example.com/v1 Planet is cluster-scoped"),
        ({"kind": POD, "labels": "a in"}, "label selector 'a in' is malformed"),
        ({"kind": "pod"}, "'pod' is not a kind"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_name(given: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Builder().cache(**given)


def test_an_index_of_what_is_left_out_is_refused() -> None:
    builder = Builder().for_(POD).index(POD, "spec.nodeName").cache(POD, metadata_only=True)

    with pytest.raises(ValueError, match=r"v1 Pod is indexed by 'spec\.nodeName', which cache leaves out"):
        builder.build()


@pytest.mark.parametrize(
    ("kept", "predicate", "path"),
    [
        ({"metadata_only": True}, predicates.field_changed("spec.replicas"), "spec.replicas"),
        ({"drop": ["spec.template"]}, predicates.field_changed("spec.template.spec"), "spec.template.spec"),
        ({"drop": ["spec"]}, ~predicates.field_changed("spec.replicas"), "spec.replicas"),
        ({"drop": ["metadata.annotations"]}, predicates.annotations_changed(), "metadata.annotations"),
    ],
)
@pytest.mark.parametrize("of_all", [False, True])
def test_a_predicate_of_what_is_left_out_is_refused(kept: Any, predicate: Any, path: str, *, of_all: bool) -> None:
    builder = Builder().cache(POD, **kept)
    if of_all:
        builder.for_(POD).predicates(predicate)
    else:
        builder.for_(POD, predicates=[predicates.labels_changed() & predicate])

    with pytest.raises(ValueError, match=re.escape(f"v1 Pod is filtered by {path!r}, which cache leaves out of it")):
        builder.build()


def test_a_predicate_of_what_is_kept_is_taken() -> None:
    builder = Builder().for_(POD, predicates=[predicates.field_changed("spec.nodeName", "metadata.labels.app")])
    builder.cache(POD, drop=["spec.containers", "metadata.annotations.notes"]).predicates(
        predicates.annotations_changed()
    )
    declarations, _, _ = builder.build()

    assert len(declarations[0].predicates) == 2


@pytest.mark.parametrize("own", [False, True])
def test_an_object_reconciler_cannot_get_objects_of_which_the_metadata_is_kept(host: FakeHost, *, own: bool) -> None:
    class Pods(ObjectReconciler[Any]):
        kind = POD

        def setup(self, builder: Builder) -> None:
            builder.for_(POD).cache(POD, metadata_only=True)

        def reconcile_object(self, ctx: Any, obj: Any) -> None: ...

    class Own(Pods):
        def reconcile(self, ctx: Any, request: Any) -> None: ...

    if own:
        assert Controller(Own(), host).name == "pod"
        return
    with pytest.raises(ConfigError, match=r"Pods\.setup: v1 Pod is kept as metadata only, and reconcile_object gets"):
        Controller(Pods(), host)


def test_a_resync_is_of_its_declaration() -> None:
    builder = Builder().for_(POD, resync=60).owns(CONFIG_MAP).watches("v1 Secret", lambda _cluster, _obj: [], resync=5)
    declarations, _, _ = builder.build()

    assert [(each.kind, each.resync) for each in declarations] == [(POD, 60), ("v1 Secret", 5), (CONFIG_MAP, 0)]


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan"), float("inf")])
def test_a_resync_shorter_than_a_second_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="resync must be at least 1 second"):
        Builder().owns(POD, resync=seconds)
