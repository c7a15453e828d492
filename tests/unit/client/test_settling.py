from __future__ import annotations

import json
from typing import Any

import pytest

from kcontroller import Object, errors
from kcontroller.api import patches
from kcontroller.api.keys import GVK, Key
from kcontroller.client.generated_names import create_named, name_for
from kcontroller.client.ports import Write
from kcontroller.client.settling import TRIES, is_open, is_refused, settle

KIND = GVK("example.com", "v1", "Widget")
KEY = Key("default", "w")
LOST = errors.OutcomeUnknown("lost")
THERE = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {
        "name": "w",
        "namespace": "default",
        "uid": "u1",
        "resourceVersion": "7",
        "labels": {"a": "1", "added": "x"},
        "generation": 2,
    },
    "spec": {"size": 1, "defaulted": True},
    "status": {"phase": "Ready"},
}
BARE = {"name": "w", "namespace": "default", "labels": {"a": "1", "added": "x"}}
CREATED = {"metadata": {"name": "w", "labels": {"a": "1"}}, "spec": {"size": 1}}


def changed(**changes: Any) -> dict[str, Any]:
    return {**THERE, **changes}


def with_metadata(**changes: Any) -> dict[str, Any]:
    return changed(metadata={**THERE["metadata"], **changes})  # type: ignore[dict-item]


def write(verb: str, body: Any, content_type: str = patches.MERGE, **options: Any) -> Write:
    return Write(verb, KIND, options.pop("key", KEY), json.dumps(body).encode(), content_type, **options)


class Server:
    """Shows one object after the other (None: there is none), and answers repetitions."""

    def __init__(self, *shown: Any, repeated: Any = b"repeated") -> None:
        self.shown = list(shown)
        self.repeated = repeated
        self.repeats = 0
        self.pauses: list[float] = []

    def read(self) -> bytes:
        shown = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(shown, BaseException):
            raise shown
        if shown is None:
            raise errors.NotFound("gone", status=404, reason="NotFound")
        return json.dumps(shown).encode()

    def again(self) -> bytes:
        self.repeats += 1
        answer = self.repeated.pop(0) if isinstance(self.repeated, list) else self.repeated
        if isinstance(answer, BaseException):
            raise answer
        return bytes(answer)

    def settle(self, sent: Write, lost: errors.TransportError = LOST) -> bytes:
        return settle(sent, lost, read=self.read, again=self.again, pause=self.pauses.append)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (write("update", {**THERE, "metadata": {**THERE["metadata"], "resourceVersion": "6"}}), THERE),  # type: ignore[dict-item]
        (write("patch", {"metadata": {"uid": "u1"}, "spec": {"size": 1, "old": None}}), THERE),
        (write("patch", {"metadata": {"resourceVersion": "6"}, "spec": {"size": 1}}), THERE),
        (write("update", {**THERE, "metadata": {**BARE, "resourceVersion": "6"}}), THERE),
        (write("update", THERE | {"metadata": BARE}), THERE),
        (write("patch", {"status": {"phase": "Ready"}}, subresource="status"), THERE),
        (write("update", with_metadata(resourceVersion="6"), subresource="status"), THERE),
    ],
)
def test_what_shows_has_happened_and_is_not_sent_again(sent: Write, shown: Any) -> None:
    server = Server(shown)

    assert json.loads(server.settle(sent)) == shown
    assert server.repeats == 0


@pytest.mark.parametrize("shown", [None, with_metadata(uid="another")])
def test_a_deleted_object_that_is_gone_was_deleted_and_promises_its_uid(shown: Any) -> None:
    server = Server(shown)
    answer = json.loads(server.settle(write("delete", {"preconditions": {"uid": "u1"}})))

    assert (answer["status"], answer["details"]["uid"], server.repeats) == ("Success", "u1", 0)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (write("create", CREATED), None),
        (write("update", changed(spec={"size": 2})), THERE),
        (write("update", changed(spec={"size": 1, "defaulted": True})), THERE),  # Its status may not have arrived.
        (write("patch", {"metadata": {"resourceVersion": "7"}, "spec": {"list": [1]}}), THERE),
        (write("patch", {"metadata": {"resourceVersion": "7"}, "status": {"phase": "Ready"}}), THERE),
        (write("patch", {"spec": {"size": 1}}, patches.APPLY), THERE),
        (write("patch", {"spec": {"size": 1}}, patches.APPLY), None),
        (write("delete", {"preconditions": {"uid": "u1"}}), THERE),
        (write("delete", {"preconditions": {"uid": "u1"}}), with_metadata(deletionTimestamp="now")),
    ],
)
def test_what_does_not_show_is_sent_again(sent: Write, shown: Any) -> None:
    server = Server(shown)

    assert (server.settle(sent), server.repeats) == (b"repeated", 1)


@pytest.mark.parametrize(
    "sent",
    [
        write("update", changed(spec={"size": 2}, metadata={"name": "w", "uid": "u1", "resourceVersion": "6"})),
        write("update", {**with_metadata(resourceVersion="6"), "spec": {"size": 1}}),  # Ours would take a field away.
        write("update", {**with_metadata(resourceVersion="6"), "status": {"phase": "Gone"}}),
        write("update", {**with_metadata(resourceVersion="6"), "spec": {**THERE["spec"], "from": [{"all": {}}]}}),  # type: ignore[dict-item]
        write("update", {**with_metadata(resourceVersion="6"), "empty": {}}),
        write("update", {**with_metadata(resourceVersion="6"), "status": {}}, subresource="status"),
        write("patch", {"metadata": {"resourceVersion": "6"}, "spec": {"size": 2}}),
        write("patch", {"metadata": {"resourceVersion": "6"}, "spec": {"list": [{"all": {}}]}}),
        write("patch", {"metadata": {"resourceVersion": "6"}, "spec": {"selector": {}}}),
        write("patch", {"metadata": {"uid": "u0"}, "spec": {"size": 1}}),
    ],
)
def test_who_comes_too_late_is_told_of_a_conflict(sent: Write) -> None:
    server = Server(THERE)

    with pytest.raises(errors.Conflict, match="the outcome of our write is not known"):
        server.settle(sent)
    assert server.repeats == 0


@pytest.mark.parametrize(
    "sent",
    [
        write("update", THERE),
        write("patch", THERE),
        write("patch", THERE, patches.APPLY),
        write("patch", {"status": {}}, patches.APPLY, subresource="status"),
    ],
)
def test_an_object_that_is_gone_is_told_as_such(sent: Write) -> None:
    with pytest.raises(errors.NotFound):
        Server(None).settle(sent)


@pytest.mark.parametrize(
    "sent",
    [
        write("patch", [{"op": "add", "path": "/spec/list/-", "value": 1}], patches.JSON),
        write("patch", {"spec": {}}, patches.STRATEGIC),
        write("delete", {}),
        write("create", {}, subresource="eviction"),
        write("create", CREATED, query=(("dryRun", "All"),)),
        write("create", CREATED, key=Key("default", "")),
        write("create", CREATED),
        write("create", {"metadata": {}}),
        write("create", {"metadata": {"name": "w", "generateName": "w-"}}),
        write("update", changed(spec={"size": 2}, metadata={"name": "w"})),
        write("update", changed(spec={"size": 2}, metadata={"name": "w", "resourceVersion": "0"})),
        write("patch", {"metadata": {"uid": "u1"}, "spec": {"size": 2}}),
        write("patch", {"metadata": {"uid": "u1"}, "spec": {"size": 2}}, subresource="status"),
        Write("update", KIND, KEY),
        Write("create", "events.k8s.io/v1 Event", KEY, b"{}"),
        Write("patch", "v1 Event", KEY, b"{}", patches.MERGE),
    ],
)
def test_what_cannot_be_proved_stays_unknown(sent: Write) -> None:
    server = Server({**THERE, "metadata": {**THERE["metadata"], "generateName": "w-"}})  # type: ignore[dict-item]

    with pytest.raises(errors.OutcomeUnknown) as caught:
        server.settle(sent)
    assert (caught.value, server.repeats, server.pauses) == (LOST, 0, [])


TAKEN = errors.AlreadyExists("exists", status=409, reason="AlreadyExists")
QUOTA = errors.Forbidden("exceeded quota", status=403, reason="Forbidden")


def generated(**metadata: Any) -> dict[str, Any]:
    return with_metadata(generateName="w-", **metadata)


GENERATED = write(
    "create",
    {"metadata": {"name": "w", "generateName": "w-", "labels": {"a": "1"}}, "spec": {"size": 1}},
    fresh_name=True,
    query=(("fieldManager", "me"),),
)


@pytest.mark.parametrize(
    "refusal",
    [
        TAKEN,
        QUOTA,
        LOST,
        errors.ServerError("boom", status=500),
        errors.Invalid("no", status=422),
        errors.KindNotServed("gone"),
    ],
)
def test_a_create_that_arrives_after_the_reading_is_found_after_its_repetition_is_refused(refusal: Exception) -> None:
    server = Server(None, generated(), repeated=refusal)

    assert json.loads(server.settle(GENERATED)) == generated()
    assert server.repeats == 1


def test_a_refused_repetition_does_not_say_that_the_first_sending_failed() -> None:
    server = Server(None, repeated=QUOTA)

    with pytest.raises(errors.OutcomeUnknown) as caught:
        server.settle(GENERATED)
    assert caught.value.__cause__ is QUOTA
    assert server.repeats == 1


@pytest.mark.parametrize("refusal", [errors.NotLeader("lease"), errors.Stopped("stop")])
def test_who_may_not_write_any_more_does_not_repeat(refusal: Exception) -> None:
    server = Server(None, repeated=refusal)

    with pytest.raises(type(refusal)):
        server.settle(GENERATED)
    assert server.repeats == 1


def test_a_named_create_that_finds_the_name_taken_after_a_lost_one_stays_unknown() -> None:
    server = Server(None, THERE, repeated=TAKEN)

    with pytest.raises(errors.OutcomeUnknown):
        server.settle(write("create", CREATED))
    assert server.repeats == 1


def test_an_update_that_arrives_after_the_reading_is_no_conflict_with_itself() -> None:
    before, after = with_metadata(resourceVersion="6"), changed(spec={"size": 2})
    server = Server(before, after, repeated=errors.Conflict("modified", status=409))
    sent = write("update", {**before, "spec": {"size": 2}})

    assert json.loads(server.settle(sent)) == after


@pytest.mark.parametrize(
    "shown",
    [
        {**generated(labels={}, finalizers=["kubernetes.io/pvc-protection"]), "spec": {"size": 9}},
        generated(ownerReferences=[{"uid": "x"}]),
        generated(managedFields=[{"manager": "webhook"}, {"manager": "me", "operation": "Update"}]),
    ],
)
def test_a_generated_object_is_ours_whatever_was_made_of_it(shown: Any) -> None:
    server = Server(shown)

    assert (json.loads(server.settle(GENERATED)), server.repeats) == (shown, 0)


@pytest.mark.parametrize(
    "shown", [THERE, with_metadata(generateName="v-"), generated(managedFields=[{"manager": "another"}])]
)
def test_an_object_that_may_have_another_maker_is_neither_ours_nor_in_the_way(shown: Any) -> None:
    with pytest.raises(errors.OutcomeUnknown):
        Server(shown).settle(GENERATED)


@pytest.mark.parametrize("there", [THERE, None])
def test_an_apply_that_meets_another_owner_is_told_so_at_once(there: Any) -> None:
    server = Server(there, repeated=errors.Conflict("conflict with another", status=409))

    with pytest.raises(errors.Conflict, match="conflict with another"):
        server.settle(write("patch", {"spec": {"size": 1}}, patches.APPLY))
    assert server.repeats == 1


@pytest.mark.parametrize("refusal", [errors.NotFound("gone", status=404), errors.Conflict("uid", status=409)])
def test_a_repeated_delete_that_finds_nothing_was_done_by_the_first(refusal: Exception) -> None:
    server = Server(THERE, None, repeated=refusal)

    assert json.loads(server.settle(write("delete", {"preconditions": {"uid": "u1"}})))["status"] == "Success"


def test_a_server_that_is_away_for_a_moment_is_waited_for() -> None:
    away = [
        errors.ConnectFailed("refused"),
        errors.ServerError("no", status=503),
        errors.TooManyRequests("no", status=429),
    ]
    server = Server(*away, generated())

    assert json.loads(server.settle(GENERATED)) == generated()
    assert server.pauses == [0.1, 0.2, 0.4]


def test_a_server_that_stays_away_leaves_it_unknown() -> None:
    server = Server(errors.ConnectFailed("refused"))

    with pytest.raises(errors.OutcomeUnknown):
        server.settle(write("create", CREATED))
    assert len(server.pauses) == TRIES - 1


@pytest.mark.parametrize(
    "refusal",
    [
        errors.RequestTimeout("over", sent=False),
        errors.Forbidden("no get", status=403),
        errors.KindNotServed("no"),
        errors.ClusterUnavailable("its breaker is open"),
        [],
        {"metadata": {}},
    ],
)
def test_without_time_or_right_to_read_it_stays_unknown_at_once(refusal: Any) -> None:
    server = Server(refusal)

    with pytest.raises(errors.OutcomeUnknown):
        server.settle(write("create", CREATED))
    assert server.pauses == []


def test_a_repetition_that_is_lost_too_is_settled_as_well() -> None:
    server = Server(None, None, generated(), repeated=LOST)

    assert json.loads(server.settle(GENERATED)) == generated()
    assert server.repeats == 2


def server_error(message: str = "", *, reason: str = "InternalError", verb: str = "create") -> errors.ServerError:
    return errors.ServerError(message, status=500, reason=reason, verb=verb)


UNASKED = 'Internal error occurred: failed calling webhook "x.example.com": failed to call webhook: Post'


def test_an_answer_of_5xx_is_open_unless_nothing_was_admitted() -> None:
    assert is_open(server_error("etcdserver: request timed out"))
    assert is_open(errors.ServerError("bad gateway", status=502))
    assert is_open(server_error("Internal error occurred: conversion webhook failed"))  # Perhaps of the answer.
    assert is_open(server_error(UNASKED, reason=""))
    assert is_open(server_error(UNASKED, verb="delete"))
    assert not is_open(server_error(UNASKED))


def test_only_an_answer_proves_that_nothing_happened() -> None:
    assert is_refused(errors.ConnectFailed("refused"))
    assert is_refused(QUOTA)
    assert is_refused(server_error(UNASKED))
    for error in (LOST, server_error(), errors.Stopped("stop"), errors.NotLeader("lease"), KeyboardInterrupt()):
        assert not is_refused(error)


def test_only_what_was_sent_is_open() -> None:
    assert is_open(LOST)
    assert is_open(errors.RequestTimeout("late"))
    assert not is_open(errors.RequestTimeout("no connection", sent=False))
    assert not is_open(errors.ConnectFailed("refused"))


# Names.


def test_a_name_is_made_as_the_server_makes_it() -> None:
    long = name_for("x" * 63)

    assert (len(long), long[:55]) == (63, "x" * 55)
    assert set(name_for("a-")[2:]) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_a_name_that_is_taken_is_followed_by_another() -> None:
    obj = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "c-"}})
    tried: list[str] = []

    def create(it: Any) -> Any:
        tried.append(it.metadata.name)
        if len(tried) < 3:
            raise errors.AlreadyExists("taken", status=409)
        return it

    assert create_named(obj, create).metadata.name == tried[2]
    assert len(set(tried)) == 3


@pytest.mark.parametrize(
    ("error", "keeps"),
    [
        (LOST, True),
        (errors.RequestTimeout("late"), True),
        (errors.ServerError("no", status=503), True),
        (errors.Stopped("stop"), True),
        (errors.NotLeader("lease"), True),
        (KeyboardInterrupt(), True),
        (errors.RequestTimeout("no connection", sent=False), False),
        (errors.ConnectFailed("refused"), False),
        (errors.Forbidden("no", status=403), False),
    ],
)
def test_an_object_keeps_the_name_under_which_it_may_exist(error: BaseException, *, keeps: bool) -> None:
    obj = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "c-"}})

    def create(_: Any) -> Any:
        raise error

    with pytest.raises(type(error)):
        create_named(obj, create)
    assert bool(obj.metadata.name) is keeps
