"""What controllers rely on in controller-runtime's ``controllerutil`` and ``finalizer``, on a server.

The conformance list gives these no numbers; its section 5 names them. Each runs on the embedded server and on the real
kube-apiserver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import Builder, Context, Key, Model, Object, ObjectReconciler, Resource, Result, finalizers, owners
from kcontroller.errors import AlreadyOwned, Conflict
from kcontroller.testing import Refuse, install_crds

if TYPE_CHECKING:
    from kcontroller import Client
    from tests.conformance.stage import Stage

CONFIG_MAP, DEPLOYMENT = "v1 ConfigMap", "apps/v1 Deployment"
Upsert = Callable[[Any, Callable[[Any], object]], str]


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.client


@pytest.fixture
def a(stage: Stage) -> Key:
    return Key(stage.namespace, "a")


def config_map(key: Key, **data: str) -> Object:
    metadata = {"name": key.name, "namespace": key.namespace}
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def deployment(key: Key) -> Object:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
    metadata = {"name": key.name, "namespace": key.namespace}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return Object({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})


def nothing(_obj: Object) -> None: ...


def replicas(count: int) -> Callable[[Object], None]:
    def mutate(obj: Object) -> None:
        obj.spec["replicas"] = count

    return mutate


@pytest.fixture(params=["create_or_update", "create_or_patch"])
def upsert(request: pytest.FixtureRequest, client: Client) -> Upsert:
    found: Upsert = getattr(client, request.param)
    return found


# ---- CreateOrUpdate, CreateOrPatch -----------------------------------------------------------------------------------


def test_it_creates_updates_and_leaves_alone(upsert: Upsert, client: Client, stage: Stage, a: Key) -> None:
    assert upsert(deployment(a), replicas(1)) == "created"
    assert upsert(deployment(a), replicas(2)) == "updated"
    assert client.get(DEPLOYMENT, a)["spec"]["replicas"] == 2
    mark = stage.mark()
    # What the server has defaulted is part of what is mutated, and no difference.
    assert upsert(deployment(a), replicas(2)) == "unchanged"
    assert [each.method for each in stage.asked(since=mark)] == ["GET"]


def limits(cpu: str) -> Callable[[Object], None]:
    def mutate(obj: Object) -> None:
        obj.get("spec.template.spec.containers")[0]["resources"] = {"limits": {"cpu": cpu}}

    return mutate


def no_node_selector(obj: Object) -> None:
    obj.get("spec.template.spec")["nodeSelector"] = {}


def no_variables(obj: Object) -> None:
    obj.get("spec.template.spec.containers")[0]["env"] = []


@pytest.mark.parametrize(
    "mutate", [limits("1000m"), no_node_selector, no_variables], ids=["quantity", "empty map", "empty list"]
)
def test_equality_is_that_of_the_server(
    upsert: Upsert, client: Client, stage: Stage, a: Key, mutate: Callable[[Object], None]
) -> None:
    """``equality.Semantic``: what the server writes in another form is no change, and is not sent for ever."""
    assert upsert(deployment(a), nothing) == "created"
    for _until_the_server_has_it in range(2):
        upsert(deployment(a), mutate)
    mark = stage.mark()
    assert [upsert(deployment(a), mutate) for _ in range(2)] == ["unchanged"] * 2
    read = client.get(DEPLOYMENT, a)
    mutate(read)
    assert client.patch(read) == client.get(DEPLOYMENT, a)
    assert len(stage.asked("PATCH", "PUT", since=mark)) <= 1  # A patch of its own may be another one.

    assert client.create_or_patch(deployment(a), replicas(3)) == "updated"
    client.create_or_patch(deployment(a), limits("2"))
    upsert(deployment(a), mutate)
    assert upsert(deployment(a), limits("3000m")) == "updated"
    assert client.get(DEPLOYMENT, a).get("spec.template.spec.containers")[0]["resources"]["limits"]["cpu"] == "3"


def test_a_mutate_may_not_change_name_or_namespace(upsert: Upsert, client: Client, a: Key) -> None:
    def rename(obj: Object) -> None:
        obj.metadata.name = "b"

    for _existing in range(2):
        with pytest.raises(ValueError, match="it may change anything but kind, namespace and name"):
            upsert(config_map(a), rename)
        client.create_or_update(config_map(a), nothing)
    assert client.get_or_none(CONFIG_MAP, Key(a.namespace, "b")) is None


def test_an_error_of_the_mutate_ends_it_before_anything_is_sent(upsert: Upsert, client: Client, a: Key) -> None:
    def fail(_obj: Object) -> None:
        raise LookupError("no template")

    with pytest.raises(LookupError):
        upsert(config_map(a), fail)
    assert client.get_or_none(CONFIG_MAP, a) is None


def test_the_status_is_patched_by_itself_and_never_created_or_updated(client: Client, a: Key) -> None:
    def report(obj: Object) -> None:
        obj.status["replicas"] = 1

    def both(obj: Object) -> None:
        replicas(3)(obj)
        obj.status["replicas"] = 3

    assert client.create_or_patch(deployment(a), report) == "created"
    assert client.get(DEPLOYMENT, a).get("status.replicas") is None
    assert client.create_or_update(deployment(a), report) == "unchanged"
    assert client.create_or_patch(deployment(a), report) == "updated_status_only"
    assert client.create_or_patch(deployment(a), both) == "updated_status"
    assert client.create_or_patch(deployment(a), both) == "unchanged"
    assert (client.get(DEPLOYMENT, a)["spec"]["replicas"], client.get(DEPLOYMENT, a)["status"]["replicas"]) == (3, 3)


def test_an_update_carries_the_version_it_read(client: Client, a: Key) -> None:
    client.create(config_map(a, x="1"))

    def late(obj: Object) -> None:
        theirs = client.get(CONFIG_MAP, a)
        theirs["data"]["theirs"] = "1"
        client.patch(theirs)
        obj["data"]["x"] = "2"

    with pytest.raises(Conflict):
        client.create_or_update(config_map(a), late)
    assert client.get(CONFIG_MAP, a)["data"] == {"x": "1", "theirs": "1"}


# ---- owner references ------------------------------------------------------------------------------------------------


def test_a_controller_reference_blocks_the_owners_deletion_and_there_is_one_only(client: Client, a: Key) -> None:
    owner, other, child = (config_map(Key(a.namespace, name)) for name in ("owner", "other", "child"))
    client.create(owner)
    client.create(other)
    assert owners.set_controller(owner, child)
    assert not owners.set_controller(owner, child)
    (reference,) = client.create(child).metadata.owner_references
    assert (reference.uid, reference.controller, reference.block_owner_deletion) == (owner.metadata.uid, True, True)
    with pytest.raises(AlreadyOwned):
        owners.set_controller(other, child)
    assert owners.add_owner(other, child)
    assert [each.name for each in client.patch(child).metadata.owner_references] == ["owner", "other"]
    assert [owners.has_owner(each, child) for each in (owner, other)] == [True, True]
    assert [owners.remove_controller(each, child) for each in (other, owner)] == [False, True]
    assert owners.controller_of(client.patch(child)) is None
    assert owners.remove_owner(other, child)
    assert client.patch(child).metadata.owner_references == []


def test_an_owner_in_another_namespace_is_refused_also_for_a_cluster_scoped_child(client: Client, a: Key) -> None:
    owner = client.create(config_map(a))
    cluster_scoped = Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    for child in (config_map(Key("kube-system", "child")), cluster_scoped):
        with pytest.raises(ValueError, match="cannot own"):
            owners.set_controller(owner, child)


# ---- finalizers ------------------------------------------------------------------------------------------------------


def test_adding_and_removing_a_finalizer_says_whether_anything_changed() -> None:
    obj = config_map(Key("default", "a"))
    assert [finalizers.add(obj, "a.com/x"), finalizers.add(obj, "a.com/x")] == [True, False]
    assert [finalizers.remove(obj, "a.com/x"), finalizers.remove(obj, "a.com/x")] == [True, False]


class Spec(Model):
    pass


class Status(Model):
    pass


class Zone(Resource[Spec, Status], group="example.com", version="v1", plural="zones"):
    pass


class Zones(ObjectReconciler[Zone]):
    def __init__(self) -> None:
        self.stuck = True
        self.called: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(Zone)

    def reconcile_object(self, ctx: Context, zone: Zone) -> None: ...

    def clean_dns(self, _ctx: Context, _zone: Zone) -> Result | None:
        self.called.append("dns")
        if self.stuck:
            raise ConnectionError("no route")
        return None

    def clean_bucket(self, _ctx: Context, _zone: Zone) -> None:
        self.called.append("bucket")

    finalizers: ClassVar[Any] = {"example.com/dns": clean_dns, "example.com/bucket": clean_bucket}


def test_the_registry_adds_when_live_runs_when_deleting_removes_on_success_and_keeps_on_error(
    stage: Stage, client: Client, a: Key, eventually: Callable[..., Any]
) -> None:
    install_crds(stage.server, Zone)
    reconciler = Zones()
    stage.manager(reconciler)
    client.create(Zone.named("a", namespace=a.namespace))
    eventually(lambda: client.get(Zone, a).metadata.finalizers == ["example.com/dns", "example.com/bucket"])
    assert reconciler.called == []

    client.delete(Zone, a)
    eventually(lambda: client.get(Zone, a).metadata.finalizers == ["example.com/dns"])
    assert reconciler.called.count("bucket") == 1

    with stage.proxy.add(Refuse(500), methods=["PATCH"], path_prefix="/apis/example.com/v1", times=1):
        reconciler.stuck = False
        eventually(lambda: client.get_or_none(Zone, a) is None)
    assert stage.proxy.counts["500"] == 1  # What was done is done once more where its finalizer could not be taken off.
    assert reconciler.called.count("bucket") == 1
