from __future__ import annotations

import json
from typing import Any

import pytest

from kcontroller import Object, errors
from kcontroller.api import patches
from kcontroller.api.keys import GVK, Key
from kcontroller.client.generated_names import create_named, name_for
from kcontroller.client.ports import Write
from kcontroller.client.settling import TRIES, is_open, settle

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
        (write("create", CREATED), THERE),
        (write("create", {**CREATED, "metadata": {"name": "w", "finalizers": [], "annotations": None}}), THERE),
        (write("update", {**THERE, "metadata": {**THERE["metadata"], "resourceVersion": "6"}}), THERE),  # type: ignore[dict-item]
        (write("patch", {"metadata": {"uid": "u1"}, "spec": {"size": 1, "old": None}}), THERE),
        (write("patch", {"metadata": {"resourceVersion": "6"}, "spec": {"size": 1}}), THERE),
        (write("patch", {"status": {"phase": "Ready"}}, subresource="status"), THERE),
        (write("update", {**CREATED, "status": {"phase": "Ready"}}, subresource="status"), THERE),
        (write("delete", {"preconditions": {"uid": "u1"}}), with_metadata(deletionTimestamp="now")),
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
        (write("patch", {"metadata": {"uid": "u1"}, "spec": {"size": 2}}), THERE),
        (write("patch", {"metadata": {"resourceVersion": "7"}, "spec": {"list": [1]}}), THERE),
        (write("patch", {"spec": {"size": 1}}, patches.APPLY), THERE),
        (write("delete", {"preconditions": {"uid": "u1"}}), THERE),
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
        write("patch", {"metadata": {"resourceVersion": "6"}, "spec": {"size": 2}}),
        write("patch", {"metadata": {"uid": "u0"}, "spec": {"size": 1}}),
    ],
)
def test_who_comes_too_late_is_told_of_a_conflict(sent: Write) -> None:
    server = Server(THERE)

    with pytest.raises(errors.Conflict, match="lost"):
        server.settle(sent)
    assert server.repeats == 0


@pytest.mark.parametrize("verb", ["update", "patch"])
def test_an_object_that_is_gone_is_told_as_such(verb: str) -> None:
    with pytest.raises(errors.NotFound):
        Server(None).settle(write(verb, THERE))


@pytest.mark.parametrize(
    "sent",
    [
        write("patch", [{"op": "add", "path": "/spec/list/-", "value": 1}], patches.JSON),
        write("patch", {"spec": {}}, patches.STRATEGIC),
        write("delete", {}),
        write("create", {}, subresource="eviction"),
        write("create", CREATED, query=(("dryRun", "All"),)),
        write("create", CREATED, key=Key("default", "")),
    ],
)
def test_what_cannot_be_proved_stays_unknown(sent: Write) -> None:
    server = Server(THERE)

    with pytest.raises(errors.OutcomeUnknown) as caught:
        server.settle(sent)
    assert (caught.value, server.repeats) == (LOST, 0)


def test_a_create_that_arrives_after_the_reading_is_found_by_the_repetition() -> None:
    taken = errors.AlreadyExists("exists", status=409, reason="AlreadyExists")
    server = Server(None, THERE, repeated=taken)

    assert json.loads(server.settle(write("create", CREATED))) == THERE
    assert server.repeats == 1


def test_an_update_that_arrives_after_the_reading_is_no_conflict_with_itself() -> None:
    before, after = with_metadata(resourceVersion="6"), changed(spec={"size": 2})
    server = Server(before, after, repeated=errors.Conflict("modified", status=409))
    sent = write("update", {**before, "spec": {"size": 2}})

    assert json.loads(server.settle(sent)) == after


def test_a_named_object_that_says_something_else_may_be_ours_or_not() -> None:
    with pytest.raises(errors.OutcomeUnknown):
        Server(changed(spec={"size": 9})).settle(write("create", CREATED))


GENERATED = {"metadata": {"name": "w", "generateName": "w-", "labels": {"a": "1"}}, "spec": {"size": 1}}


def test_a_generated_object_is_ours_also_after_a_webhook_has_changed_it() -> None:
    shown = {**with_metadata(generateName="w-"), "spec": {"size": 9}}

    assert json.loads(Server(shown).settle(write("create", GENERATED))) == shown


def test_a_generated_name_that_another_has_is_taken() -> None:
    with pytest.raises(errors.AlreadyExists):
        Server(with_metadata(generateName="w-", labels={"a": "2"})).settle(write("create", GENERATED))


def test_a_server_that_is_away_for_a_moment_is_waited_for() -> None:
    away = errors.ConnectFailed("refused")
    server = Server(away, away, THERE)

    assert json.loads(server.settle(write("create", CREATED))) == THERE
    assert server.pauses == [0.1, 0.2]


def test_a_server_that_stays_away_leaves_it_unknown() -> None:
    server = Server(errors.ConnectFailed("refused"))

    with pytest.raises(errors.OutcomeUnknown):
        server.settle(write("create", CREATED))
    assert len(server.pauses) == TRIES - 1


@pytest.mark.parametrize("refusal", [errors.RequestTimeout("over", sent=False), errors.Forbidden("no get", status=403)])
def test_without_time_or_right_to_read_it_stays_unknown_at_once(refusal: Exception) -> None:
    server = Server(refusal)

    with pytest.raises(errors.OutcomeUnknown):
        server.settle(write("create", CREATED))
    assert server.pauses == []


def test_a_repetition_that_is_lost_too_is_settled_as_well() -> None:
    server = Server(None, None, THERE, repeated=LOST)

    assert json.loads(server.settle(write("create", CREATED))) == THERE
    assert server.repeats == 2


def test_only_what_was_sent_is_open() -> None:
    assert is_open(LOST)
    assert is_open(errors.RequestTimeout("late"))
    assert not is_open(errors.RequestTimeout("no connection", sent=False))
    assert not is_open(errors.ConnectFailed("refused"))


# Names.


def test_a_name_is_made_as_the_server_makes_it() -> None:
    long = name_for("x" * 63)

    assert (len(long), long[:58]) == (63, "x" * 58)
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
    ("error", "keeps"), [(LOST, True), (errors.Forbidden("no", status=403), False), (KeyboardInterrupt(), False)]
)
def test_an_object_keeps_the_name_under_which_it_may_exist(error: BaseException, *, keeps: bool) -> None:
    obj = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "c-"}})

    def create(_: Any) -> Any:
        raise error

    with pytest.raises(type(error)):
        create_named(obj, create)
    assert bool(obj.metadata.name) is keeps
