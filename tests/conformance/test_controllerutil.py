"""What controllers rely on in controller-runtime's ``controllerutil`` and ``finalizer``, on a server.

The conformance list gives these no numbers; its section 5 names them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import Builder, Context, Key, Model, Object, ObjectReconciler, Resource, Result, finalizers, owners
from kcontroller.errors import AlreadyOwned, Conflict
from kcontroller.testing import Refuse, Rule

if TYPE_CHECKING:
    from kcontroller import Client

CONFIG_MAP, DEPLOYMENT = "v1 ConfigMap", "apps/v1 Deployment"
A = Key("default", "a")
Upsert = Callable[[Any, Callable[[Any], object]], str]


def config_map(name: str = "a", namespace: str = "default", **data: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def deployment() -> Object:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return Object({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "default"}}
                  | {"spec": spec})  # fmt: skip


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


def test_it_creates_updates_and_leaves_alone(upsert: Upsert, client: Client, api_server: Any) -> None:
    assert upsert(deployment(), replicas(1)) == "created"
    assert upsert(deployment(), replicas(2)) == "updated"
    assert client.get(DEPLOYMENT, A)["spec"]["replicas"] == 2
    mark = api_server.requests.mark()
    # What the server has defaulted is part of what is mutated, and no difference.
    assert upsert(deployment(), replicas(2)) == "unchanged"
    api_server.requests.assert_no_writes(since=mark)


def test_a_mutate_may_not_change_name_or_namespace(upsert: Upsert, client: Client) -> None:
    def rename(obj: Object) -> None:
        obj.metadata.name = "b"

    for _existing in range(2):
        with pytest.raises(ValueError, match="it may change anything but kind, namespace and name"):
            upsert(config_map(), rename)
        client.create_or_update(config_map(), nothing)
    assert client.get_or_none(CONFIG_MAP, Key("default", "b")) is None


def test_an_error_of_the_mutate_ends_it_before_anything_is_sent(upsert: Upsert, client: Client) -> None:
    def fail(_obj: Object) -> None:
        raise LookupError("no template")

    with pytest.raises(LookupError):
        upsert(config_map(), fail)
    assert client.get_or_none(CONFIG_MAP, A) is None


def test_the_status_is_patched_by_itself_and_never_created_or_updated(client: Client) -> None:
    def report(obj: Object) -> None:
        obj.status["replicas"] = 1

    def both(obj: Object) -> None:
        replicas(3)(obj)
        obj.status["replicas"] = 3

    assert client.create_or_patch(deployment(), report) == "created"
    assert client.get(DEPLOYMENT, A).get("status.replicas") is None
    assert client.create_or_update(deployment(), report) == "unchanged"
    assert client.create_or_patch(deployment(), report) == "updated_status_only"
    assert client.create_or_patch(deployment(), both) == "updated_status"
    assert client.create_or_patch(deployment(), both) == "unchanged"
    assert (client.get(DEPLOYMENT, A)["spec"]["replicas"], client.get(DEPLOYMENT, A)["status"]["replicas"]) == (3, 3)


def test_an_update_carries_the_version_it_read(client: Client) -> None:
    client.create(config_map(x="1"))

    def late(obj: Object) -> None:
        theirs = client.get(CONFIG_MAP, A)
        theirs["data"]["theirs"] = "1"
        client.patch(theirs)
        obj["data"]["x"] = "2"

    with pytest.raises(Conflict):
        client.create_or_update(config_map(), late)
    assert client.get(CONFIG_MAP, A)["data"] == {"x": "1", "theirs": "1"}


# ---- owner references ------------------------------------------------------------------------------------------------


def test_a_controller_reference_blocks_the_owners_deletion_and_there_is_one_only(client: Client) -> None:
    owner, other = client.create(config_map("owner")), client.create(config_map("other"))
    child = config_map("child")
    assert owners.set_controller(owner, child)
    assert not owners.set_controller(owner, child)
    (reference,) = client.create(child).metadata.owner_references
    assert (reference.uid, reference.controller, reference.block_owner_deletion) == (owner.metadata.uid, True, True)
    with pytest.raises(AlreadyOwned):
        owners.set_controller(other, child)
    assert owners.add_owner(other, child)
    assert [each.name for each in client.patch(child).metadata.owner_references] == ["owner", "other"]
    assert owners.remove_owner(owner, child)
    assert owners.controller_of(client.patch(child)) is None


def test_an_owner_in_another_namespace_is_refused_also_for_a_cluster_scoped_child(client: Client) -> None:
    owner = client.create(config_map("owner"))
    cluster_scoped = Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    for child in (config_map("child", "kube-system"), cluster_scoped):
        with pytest.raises(ValueError, match="cannot own"):
            owners.set_controller(owner, child)


# ---- finalizers ------------------------------------------------------------------------------------------------------


def test_adding_and_removing_a_finalizer_says_whether_anything_changed() -> None:
    obj = config_map()
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
    manager: Any, client: Client, install_crds: Any, eventually: Any, faults: Any
) -> None:
    install_crds(Zone)
    reconciler = Zones()
    manager(reconciler, allow=ConnectionError)
    client.create(Zone.named("a", namespace="default"))
    eventually(lambda: client.get(Zone, A).metadata.finalizers == ["example.com/dns", "example.com/bucket"])
    assert reconciler.called == []

    client.delete(Zone, A)
    eventually(lambda: client.get(Zone, A).metadata.finalizers == ["example.com/dns"])
    assert reconciler.called.count("bucket") == 1

    with faults(Rule(Refuse(500), verbs={"patch"}, resource="zones", times=1)) as rule:
        reconciler.stuck = False
        eventually(lambda: client.get_or_none(Zone, A) is None)
    assert rule.hits == 1  # What was done is done once more where its finalizer could not be taken off.
    assert reconciler.called.count("bucket") == 1
