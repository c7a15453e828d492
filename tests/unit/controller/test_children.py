"""Children as a set: what is sent, what is not, what is deleted, and what is none of our business."""

from __future__ import annotations

import base64
import copy
import gc
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Builder, Context, Key, Model, Object, ObjectReconciler, Reconciler, Request, Resource, Result
from kcontroller.api import owners
from kcontroller.controller.children import Applied
from kcontroller.controller.desired import covers, desired
from kcontroller.controller.ledger import Ledger
from kcontroller.controller.marks import CONTROLLER, FIELDS, OWNER_UID
from kcontroller.errors import AlreadyOwned, ServerError, Wait
from kcontroller.testing import Refuse, Rule, assert_settled, open_crd, reconcile_once

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG_MAP, SECRET, DEPLOYMENT = "v1 ConfigMap", "v1 Secret", "apps/v1 Deployment"
A = Key("default", "a")


class Spec(Model):
    names: list[str] = []


class Status(Model):
    pass


class Team(Resource[Spec, Status], group="example.com", version="v1", plural="teams"):
    pass


class Land(Resource[Spec, Status], group="example.com", version="v1", plural="lands", namespaced=False):
    pass


class Teams(ObjectReconciler[Team]):
    """Applies what a function of the test says."""

    def __init__(self, make: Callable[[Team], list[Any]], **options: Any) -> None:
        self.make = make
        self.options = {"prune": True} | options
        self.outcomes: list[Applied] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(Team).owns(CONFIG_MAP).owns(SECRET).owns(DEPLOYMENT)

    def reconcile_object(self, ctx: Context, team: Team) -> Result | None:
        self.outcomes.append(ctx.children.apply(self.make(team), **self.options))
        return None


def config_map(name: str = "a", namespace: str = "", **data: str) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    # An empty map is not kept by the server.
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **({"data": data} if data else {})})


def deployment(cpu: str = "1", **container: Any) -> Object:
    labels = {"app": "a"}
    main = {"name": "main", "image": "nginx", "resources": {"limits": {"cpu": cpu}}, **container}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [main]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return Object({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec})


def team(name: str = "a", **metadata: Any) -> Team:
    made = Team.named(name, namespace="default")
    for field, value in {"uid": "u-1", **metadata}.items():
        setattr(made.metadata, field, value)
    return made


def reconciled(make: Callable[[Team], list[Any]], *given: Object, obj: Any = None, **options: Any) -> Any:
    reconciler = Teams(make, **{name: value for name, value in options.items() if name != "raises"})
    outcome = reconcile_once(reconciler, obj or team(), given=given, raises=options.get("raises", ()))
    return outcome, (reconciler.outcomes or [None])[0]


def lines(outcome: Any) -> list[str]:
    return [str(write) for write in outcome.writes]


def said(children: Any) -> list[str]:
    return [str(child) for child in children]


# ---- one set ---------------------------------------------------------------------------------------------------------


def test_absent_children_are_applied_in_order_in_the_controllers_name_with_their_owner() -> None:
    outcome, result = reconciled(lambda _: [config_map("b", x="1"), deployment(), config_map("a")])

    assert lines(outcome) == [f"apply {kind} default/{name}" for kind, name in
                              ((CONFIG_MAP, "b"), (DEPLOYMENT, "a"), (CONFIG_MAP, "a"))]  # fmt: skip
    assert said(result.applied) == ["v1 ConfigMap default/b", "apps/v1 Deployment default/a", "v1 ConfigMap default/a"]
    assert (result.unchanged, result.pruned) == ((), ())
    child = outcome.client.get(CONFIG_MAP, Key("default", "b"))
    assert owners.is_controlled_by(child, outcome.obj)
    assert child.metadata.labels == {OWNER_UID: "u-1", CONTROLLER: "team"}
    (manager,) = child["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == ("team", "Apply")


def test_what_is_as_it_should_be_is_not_sent_also_by_a_new_process() -> None:
    first, _ = reconciled(lambda _: [config_map(x="1"), deployment()])
    children = [first.client.get(kind, A) for kind in (CONFIG_MAP, DEPLOYMENT)]
    second, result = reconciled(lambda _: [config_map(x="1"), deployment()], *children, obj=first.obj)

    assert lines(second) == []
    assert said(result.unchanged) == ["v1 ConfigMap default/a", "apps/v1 Deployment default/a"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["data"].update(x="2"),
        lambda data: data["data"].pop("x"),
        lambda data: data["metadata"]["labels"].pop(CONTROLLER),
        lambda data: data["metadata"]["labels"].update({OWNER_UID: "u-2"}),
        lambda data: data["metadata"].pop("annotations"),
    ],
)
def test_a_child_that_was_changed_is_applied_again(change: Any) -> None:
    first, _ = reconciled(lambda _: [config_map(x="1")])
    child = first.client.get(CONFIG_MAP, A)
    change(child.data)
    second, _ = reconciled(lambda _: [config_map(x="1")], child, obj=first.obj)

    assert lines(second) == ["apply v1 ConfigMap default/a"]
    after = second.client.get(CONFIG_MAP, A)
    assert after["data"] == {"x": "1"}
    assert after.metadata.labels == {OWNER_UID: "u-1", CONTROLLER: "team"}


def test_what_others_add_is_theirs() -> None:
    first, _ = reconciled(lambda _: [config_map(x="1")])
    child = first.client.get(CONFIG_MAP, A)
    child["data"]["theirs"] = "1"
    child.metadata.annotations["theirs"] = "1"
    second, _ = reconciled(lambda _: [config_map(x="1")], child, obj=first.obj)

    assert lines(second) == []


def test_the_children_that_were_given_stay_as_they_are() -> None:
    given = config_map(x="1")
    before = copy.deepcopy(given.data)
    reconciled(lambda _: [given])

    assert given.data == before


def test_a_typed_child_and_a_secrets_plain_text_are_applied() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"password": "hunter2"}}
    first, _ = reconciled(lambda _: [Object(secret)])
    child = first.client.get(SECRET, A)
    assert child["data"] == {"password": base64.b64encode(b"hunter2").decode()}

    second, _ = reconciled(lambda _: [Object(secret)], child, obj=first.obj)
    assert lines(second) == []


def test_the_mark_of_the_fields_tells_nothing_of_their_values() -> None:
    def mark(**data: str) -> str:
        return desired(config_map(**data), team(), controller="team").metadata.annotations[FIELDS]

    assert mark(password="one") == mark(password="two") != mark(other="one")


# ---- prune -----------------------------------------------------------------------------------------------------------


def made_before(*names: str) -> tuple[Team, list[Object]]:
    first, _ = reconciled(lambda _: [config_map(name) for name in names])
    return first.obj, [first.client.get(CONFIG_MAP, Key("default", name)) for name in names]


def test_what_left_the_set_is_deleted_after_the_rest_was_applied() -> None:
    owner, children = made_before("a", "b")
    outcome, result = reconciled(lambda _: [config_map("a"), config_map("c")], *children, obj=owner)

    assert lines(outcome) == ["apply v1 ConfigMap default/c", "delete v1 ConfigMap default/b"]
    assert outcome.writes[1].body["preconditions"] == {"uid": children[1].metadata.uid}
    assert outcome.writes[1].body["propagationPolicy"] == "Background"
    assert said(result.pruned) == ["v1 ConfigMap default/b"]


def test_the_last_child_of_a_kind_is_deleted_too() -> None:
    owner, children = made_before("a")
    outcome, _ = reconciled(lambda _: [], *children, obj=owner)

    assert lines(outcome) == ["delete v1 ConfigMap default/a"]


def test_without_prune_nothing_is_deleted() -> None:
    owner, children = made_before("a")
    outcome, result = reconciled(lambda _: [], *children, obj=owner, prune=False)

    assert lines(outcome) == []
    assert result == Applied()


def unlabelled(child: Object) -> None:
    del child.metadata.labels[OWNER_UID]


def of_another_controller(child: Object) -> None:
    child.metadata.labels[CONTROLLER] = "other"


def of_another_owner(child: Object) -> None:
    child["metadata"]["ownerReferences"][0] |= {"uid": "u-2", "name": "other"}


def released(child: Object) -> None:
    child.metadata.owner_references = []


def copied(child: Object) -> None:
    """As ``kubectl get -o yaml``, another name and ``kubectl apply`` leave it: with labels, annotations and owner."""
    child["metadata"] |= {"name": "copy", "uid": "u-9"}


def deleting(child: Object) -> None:
    child.metadata.finalizers = ["example.com/x"]
    child.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("change", [unlabelled, of_another_controller, of_another_owner, released, copied, deleting])
def test_what_is_not_ours_or_on_its_way_is_never_deleted(change: Callable[[Object], None]) -> None:
    owner, children = made_before("a")
    change(children[0])
    outcome, _ = reconciled(lambda _: [], *children, obj=owner)

    assert lines(outcome) == []


def test_an_apply_that_is_refused_ends_it_and_nothing_is_deleted() -> None:
    owner, children = made_before("a")
    wrong = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "NOT A NAME"}})
    outcome, _ = reconciled(lambda _: [config_map("b"), wrong, config_map("c")], *children, obj=owner, raises=Exception)

    assert [line.partition(" -> ")[0] for line in lines(outcome)] == [
        "apply v1 ConfigMap default/b",
        "apply v1 ConfigMap default/NOT A NAME",
    ]
    assert "422" in lines(outcome)[1]


# ---- whose it is -----------------------------------------------------------------------------------------------------


def foreign(**metadata: Any) -> Object:
    obj = config_map("a", "default", theirs="1")
    obj["metadata"] |= metadata
    return obj


def reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def test_a_child_of_another_controller_is_left_alone_and_named() -> None:
    theirs = foreign(ownerReferences=[reference("Other", "x", "u-9")])
    outcome, _ = reconciled(lambda _: [config_map("a"), config_map("b")], theirs, raises=AlreadyOwned)

    assert str(outcome.error) == "v1 ConfigMap default/a is already controlled by Other x"
    assert lines(outcome) == []


def test_an_object_of_nobody_is_left_alone_unless_it_may_be_adopted() -> None:
    refused, _ = reconciled(lambda _: [config_map("a", x="1")], foreign(), raises=AlreadyOwned)
    adopted, _ = reconciled(lambda _: [config_map("a", x="1")], foreign(), adopt=True)

    assert str(refused.error) == "v1 ConfigMap default/a is there and belongs to nobody; adopt=True would take it over"
    assert lines(refused) == []
    assert adopted.client.get(CONFIG_MAP, A)["data"] == {"theirs": "1", "x": "1"}
    assert owners.is_controlled_by(adopted.client.get(CONFIG_MAP, A), adopted.obj)


def test_a_child_that_another_controller_applies_for_the_same_owner_is_left_alone_unless_it_may_be_adopted() -> None:
    owner, children = made_before("a")
    of_another_controller(children[0])
    refused, _ = reconciled(lambda _: [config_map("a", x="1")], *children, obj=owner, raises=AlreadyOwned)
    adopted, _ = reconciled(lambda _: [config_map("a", x="1")], *children, obj=owner, adopt=True)

    assert str(refused.error) == (
        "v1 ConfigMap default/a is applied by controller 'other' for Team a; adopt=True would take it over"
    )
    assert lines(refused) == []
    assert adopted.client.get(CONFIG_MAP, A).metadata.labels[CONTROLLER] == "team"


def test_a_finalizer_that_has_come_off_a_child_on_its_way_out_is_not_put_on_again() -> None:
    """The server would refuse it, and with it the rest of the set."""

    def child(**data: str) -> Object:
        made = config_map("a", **data)
        made.metadata.finalizers = ["example.com/x", "example.com/y"]
        return made

    first, _ = reconciled(lambda _: [child(x="1")])
    live = first.client.get(CONFIG_MAP, A)
    live.metadata.finalizers = ["example.com/y"]
    live.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    rested, _ = reconciled(lambda _: [child(x="1")], live, obj=first.obj)
    changed, _ = reconciled(lambda _: [child(x="2")], live, obj=first.obj)

    assert lines(rested) == []
    assert changed.client.get(CONFIG_MAP, A)["data"] == {"x": "2"}
    assert changed.client.get(CONFIG_MAP, A).metadata.finalizers == ["example.com/y"]


def test_a_child_that_its_owner_left_behind_is_taken_up_again() -> None:
    orphan = foreign(labels={CONTROLLER: "team", OWNER_UID: "u-0"})
    outcome, _ = reconciled(lambda _: [config_map("a", x="1")], orphan)

    assert owners.is_controlled_by(outcome.client.get(CONFIG_MAP, A), outcome.obj)


def test_a_child_of_an_earlier_owner_of_the_name_is_waited_for() -> None:
    theirs = foreign(ownerReferences=[reference("Team", "a", "u-0")])
    outcome, _ = reconciled(lambda _: [config_map("a", x="1")], theirs)

    assert isinstance(outcome.error, Wait)
    assert outcome.error.why == "v1 ConfigMap default/a belongs to an earlier Team a"
    assert lines(outcome) == []


def secret(**plain: Any) -> Object:
    return Object({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": plain})


class Plain(Reconciler):
    """Applies one ConfigMap for the request."""

    name = "plain"

    def __init__(self, *declare: str, owner: Any = None, children: Any = None) -> None:
        self.declare = declare
        self.owner = owner
        self.children = [config_map("a")] if children is None else children
        self.result: Applied | None = None

    def setup(self, builder: Builder) -> None:
        if self.declare:
            builder.for_(Team)
        else:
            builder.watches(Team, to=lambda _cluster, _obj: [])
        for kind in self.declare:
            builder.owns(kind)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        self.result = ctx.children.apply(self.children, owner=self.owner, prune=True)
        return None


def test_an_owner_that_is_gone_or_going_gets_nothing() -> None:
    gone = Plain(CONFIG_MAP)
    assert reconcile_once(gone, A, crds=[open_crd(Team)]).writes == ()
    going = Plain(CONFIG_MAP)
    dying = team(finalizers=["example.com/x"], deletion_timestamp="2026-01-01T00:00:00Z")

    assert reconcile_once(going, dying).writes == ()
    assert (gone.result, going.result) == (Applied(), Applied())


@pytest.mark.parametrize(
    ("reconciler", "message"),
    [
        (Plain(SECRET), r"v1 ConfigMap is not declared: add builder.owns\('v1 ConfigMap'\) to setup"),
        (Plain(children=[]), "whose children\\? setup declares no for_; give owner="),
        (Plain(CONFIG_MAP, children=[config_map("")]), "a child v1 ConfigMap has no name"),
        (Plain(CONFIG_MAP, children=[config_map("b"), config_map("b")]), "v1 ConfigMap default/b comes twice"),
        (Plain(CONFIG_MAP, children=[config_map("b", "other")]), "cannot own b in namespace 'other'"),
        (Plain(CONFIG_MAP, owner=Land.named("l")), "v1 Land l cannot own children here: owns reconciles each "),
        (Plain(CONFIG_MAP, owner=Team.named("l")), "l has no uid"),
        (Plain(SECRET, children=[secret(pin=1234)]), "stringData 'pin' of Secret a must be a str, got int"),
    ],
)
def test_a_mistake_is_named_before_anything_is_sent(reconciler: Plain, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reconcile_once(reconciler, team())


@pytest.mark.parametrize(
    ("reconciler", "message"),
    [
        (Plain(CONFIG_MAP, children=[config_map("b"), config_map("c").data]), "an object, not a dict: write Object"),
        (Plain(CONFIG_MAP, children=config_map("b")), "a list of objects, not an Object: write "),
        (Plain(CONFIG_MAP, owner=team().metadata), "an object, not an ObjectMeta: "),
    ],
)
def test_what_is_no_object_is_named_before_anything_is_sent(reconciler: Plain, message: str) -> None:
    with pytest.raises(TypeError, match=rf"^children\.apply(\(owner=\))? takes {message}"):
        reconcile_once(reconciler, team())


def test_a_child_whose_scope_does_not_fit_its_owners_is_named() -> None:
    with pytest.raises(ValueError, match="Land l cannot own v1 ConfigMap a: give it a namespace, its owner has none"):
        reconcile_once(Lands([config_map("a")]), Land.named("l"))
    namespace = Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    with pytest.raises(ValueError, match="Team a cannot own v1 Namespace default/n: it is in no namespace"):
        reconcile_once(Plain("v1 Namespace", children=[namespace]), team())


def test_a_controllers_name_that_is_no_label_is_named() -> None:
    with pytest.raises(ValueError, match="controller 'my team' cannot label its children"):
        desired(config_map(), team(), controller="my team")


class Lands(ObjectReconciler[Land]):
    def __init__(self, children: list[Object]) -> None:
        self.children = children

    def setup(self, builder: Builder) -> None:
        builder.for_(Land).owns(CONFIG_MAP).owns("v1 Namespace")

    def reconcile_object(self, ctx: Context, land: Land) -> None:
        ctx.children.apply(self.children, prune=True)


def test_a_cluster_scoped_owner_has_children_of_any_scope_and_prunes_in_every_namespace() -> None:
    land = Land.named("l")
    namespace = Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    first = reconcile_once(Lands([namespace, config_map("a", "default"), config_map("a", "n")]), land)
    assert lines(first) == ["apply v1 Namespace n", "apply v1 ConfigMap default/a", "apply v1 ConfigMap n/a"]

    children = [first.client.get(CONFIG_MAP, Key(where, "a")) for where in ("default", "n")]
    second = reconcile_once(Lands([config_map("a", "n")]), first.obj, given=children)
    assert lines(second) == ["delete v1 ConfigMap default/a"]


class Versions(Plain):
    """Owns one kind in two versions."""

    def setup(self, builder: Builder) -> None:
        builder.for_(Team).owns("autoscaling/v1 HorizontalPodAutoscaler").owns("autoscaling/v2 HorizontalPodAutoscaler")


def test_a_kind_that_is_owned_in_two_versions_is_one_kind() -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
    scaler = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}}
    children = [Object({**scaler, "spec": {"scaleTargetRef": target, "maxReplicas": 3, "minReplicas": 1}})]
    first = reconcile_once(Versions(children=children), team())
    child = first.client.get("autoscaling/v1 HorizontalPodAutoscaler", A)
    second = Versions(children=children)

    assert reconcile_once(second, first.obj, given=[child]).writes == ()
    assert second.result is not None
    assert (len(second.result.unchanged), second.result.pruned) == (1, ())
    gone = reconcile_once(Versions(children=[]), first.obj, given=[child])
    assert [write.verb for write in gone.writes] == ["delete"]


# ---- comparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "wanted", "covered"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, True),
        ({"a": {"y": 1}}, {"a": {"x": 1}}, False),
        ({}, {"a": {}}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": "1"}, {"a": {"x": 1}}, False),
        ([{"name": "a", "default": 1}], [{"name": "a"}], True),
        ([{"name": "a"}, {"name": "b"}], [{"name": "a"}], False),
        ([2, 1], [1, 2], False),
        ({"a": 1}, [1], False),
    ],
)
def test_what_is_wanted_is_covered_if_every_field_is_there_and_equal(live: Any, wanted: Any, covered: object) -> None:
    assert covers(live, wanted) is covered


class Named:
    """Stands for a cluster."""


def test_the_ledger_forgets_a_cluster_with_the_cluster() -> None:
    ledger = Ledger("team")
    one, other = Named(), Named()
    ledger.note(one, "child", b"1")  # type: ignore[arg-type]

    assert ledger.state(one, "child") == b"1"  # type: ignore[arg-type]
    assert ledger.state(one, "other") is None  # type: ignore[arg-type]
    assert ledger.state(other, "child") is None  # type: ignore[arg-type]
    del one
    gc.collect()
    assert len(ledger._clusters) == 0


# ---- on a server -----------------------------------------------------------------------------------------------------


def poke(client: Any, round_: int) -> None:
    """Reconcile the team once more, by a change that nobody asks for."""
    obj = client.get(Team, A)
    obj.metadata.annotations["round"] = str(round_)
    client.patch(obj)


def test_in_the_steady_state_nothing_is_asked_also_where_the_server_writes_values_its_own_way(
    api_server: Any, manager: Any, client: Any, install_crds: Any, eventually: Any
) -> None:
    install_crds(open_crd(Team))
    reconciler = Teams(lambda _: [config_map(x="1"), deployment(cpu="1000m")])
    running = manager(reconciler)
    client.create(Team.named("a", namespace="default"))
    eventually(lambda: client.get(DEPLOYMENT, A))
    assert_settled(running)
    assert client.get(DEPLOYMENT, A).get("spec.template.spec.containers")[0]["resources"] == {"limits": {"cpu": "1"}}

    mark = api_server.requests.mark()
    for number in range(20):
        count = len(reconciler.outcomes)
        poke(client, number)
        status = Object({**deployment().data, "status": {"observedGeneration": number + 1}})
        status.metadata.namespace = "default"
        client.status.apply(status, force=True)
        eventually(lambda count=count: len(reconciler.outcomes) > count)
    assert_settled(running)
    log = api_server.requests
    log.assert_count(20, since=mark, resource="deployments.apps", subresource="status")  # The test's own.
    log.assert_none(since=mark, resource="deployments.apps", subresource="")
    log.assert_none(since=mark, resource="configmaps")
    log.assert_count(40, since=mark, resource="teams.example.com")  # The test's own.
    assert len(log.where(since=mark)) == 60
    assert len(reconciler.outcomes) > 20
    assert reconciler.outcomes[-1].applied == ()


def test_a_field_that_leaves_the_set_leaves_the_object_and_a_drift_is_put_right(
    manager: Any, client: Any, install_crds: Any, eventually: Any
) -> None:
    install_crds(open_crd(Team))
    reconciler = Teams(lambda obj: [config_map(**dict.fromkeys(obj.spec.names, "1"))])
    running = manager(reconciler)
    owner = client.create(Team.named("a", namespace="default", spec=Spec(names=["x", "y"])))
    eventually(lambda: client.get(CONFIG_MAP, A)["data"] == {"x": "1", "y": "1"})

    child = client.get(CONFIG_MAP, A)
    child["data"] = {"x": "hand", "theirs": "1"}
    client.patch(child)
    eventually(lambda: client.get(CONFIG_MAP, A)["data"] == {"x": "1", "y": "1", "theirs": "1"})

    owner.spec.names = ["y"]
    client.patch(owner)
    eventually(lambda: client.get(CONFIG_MAP, A)["data"] == {"y": "1", "theirs": "1"})
    client.delete(CONFIG_MAP, A)
    eventually(lambda: client.get(CONFIG_MAP, A)["data"] == {"y": "1"})
    assert_settled(running)


def test_what_others_put_into_a_map_that_is_owned_as_a_whole_goes_and_what_is_theirs_stays_for_one_apply(
    api_server: Any, manager: Any, client: Any, install_crds: Any, eventually: Any
) -> None:
    """Which maps and lists are atomic only the server knows; a change of others is its to judge, once."""
    install_crds(open_crd(Team))
    made = deployment()
    made["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    reconciler = Teams(lambda _: [made])
    running = manager(reconciler)
    client.create(Team.named("a", namespace="default"))
    child = eventually(lambda: client.get(DEPLOYMENT, A))
    assert_settled(running)

    child["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd", "zone": "theirs"}
    client.patch(child)
    eventually(lambda: client.get(DEPLOYMENT, A).get("spec.template.spec.nodeSelector") == {"disk": "ssd"})
    assert_settled(running)

    child, mark = client.get(DEPLOYMENT, A), api_server.requests.mark()
    child["spec"]["replicas"] = 7
    client.patch(child)
    assert_settled(running)
    poke(client, 1)
    assert_settled(running)
    api_server.requests.assert_count(2, since=mark, resource="deployments.apps", verb={"patch", "apply"})
    assert client.get(DEPLOYMENT, A)["spec"]["replicas"] == 7


def test_a_set_that_was_cut_short_is_completed_by_the_next_reconcile(
    faults: Any, manager: Any, client: Any, install_crds: Any, eventually: Any
) -> None:
    install_crds(open_crd(Team))
    rule = faults.add(Rule(Refuse(500), verbs={"patch"}, resource="secrets", times=2))
    secret = Object({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    manager(Teams(lambda _: [config_map(), secret, config_map("z")]), allow=ServerError)
    client.create(Team.named("a", namespace="default"))

    eventually(lambda: client.get(CONFIG_MAP, Key("default", "z")))
    assert rule.hits == 2
