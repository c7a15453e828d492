from __future__ import annotations

import json
from typing import Any

import pytest

from kcontroller.api import patches
from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key
from kcontroller.cache.projection import Projection
from kcontroller.client.ports import Write
from kcontroller.cluster.written import Written, without_content, written_of
from kcontroller.errors import Forbidden, Stopped

CONFIG_MAP, SECRET = "v1 ConfigMap", "v1 Secret"
WEB = Key("default", "web")
CANARY = "Y2FuYXJ5LTQyNDI"
ANSWER = json.dumps({"metadata": {"name": "web", "resourceVersion": "88119"}}).encode()


def write(verb: str, body: Any = None, *, kind: str = CONFIG_MAP, **more: Any) -> Write:
    return Write(verb, kind, WEB, b"" if body is None else json.dumps(body).encode(), **more)


def change(written: Written) -> Any:
    return json.loads(written.change) if written.change else None


def test_a_write_is_told_with_its_answer() -> None:
    written = written_of(write("patch", {"data": {"a": "1"}}, subresource="status"), None, ANSWER)

    assert (written.verb, str(written.gvk), written.key, written.subresource) == ("patch", CONFIG_MAP, WEB, "status")
    assert (written.answer, written.refused, change(written)) == ("88119", False, {"data": {"a": "1"}})


def test_a_create_without_a_name_is_told_with_the_one_that_the_server_made() -> None:
    nameless = Write("create", CONFIG_MAP, Key("default", ""), b'{"metadata":{"generateName":"web-"}}')

    assert written_of(nameless, None, ANSWER).key == WEB


def test_an_apply_is_told_apart_from_a_patch() -> None:
    assert written_of(write("patch", {}, content_type=patches.APPLY), None, ANSWER).verb == "apply"


def test_an_update_is_told_as_what_it_changes() -> None:
    before = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"},
    }
    before["data"] = {"keep": "1", "change": "2", "drop": "3"}  # type: ignore[assignment]
    after = {**before, "data": {"keep": "1", "change": "4"}}
    entry = Projection(gvk_of(CONFIG_MAP)).entry(json.dumps(before).encode())

    assert change(written_of(write("update", after), entry, ANSWER)) == {"data": {"change": "4", "drop": None}}


def test_a_delete_changes_nothing_that_could_be_told() -> None:
    written = written_of(write("delete", {"preconditions": {"uid": "u"}}), None, b"{}")

    assert (change(written), written.answer) == (None, "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Forbidden("no: token=abcdef123", status=403, reason="Forbidden"), "403 Forbidden: no: [redacted]"),
        (Stopped("the process stops"), "Stopped: the process stops"),
    ],
)
def test_a_refusal_is_told_without_secrets(error: Exception, text: str) -> None:
    written = written_of(write("create", {"data": {}}), None, error)

    assert (written.refused, written.answer) == (True, text)


def test_of_much_the_sizes_of_its_parts_are_kept() -> None:
    written = written_of(write("create", {"data": {"a": "x" * 2000}, "kind": "ConfigMap"}), None, ANSWER)

    assert change(written) == {"data": "(2,009 bytes)", "kind": "(11 bytes)"}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("create", {"kind": "Secret", "data": {"key": CANARY}, "stringData": {"other": CANARY}}),
        ("patch", {"data": {"key": CANARY}}),
        ("patch", {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}}),
        ("patch", [{"op": "replace", "path": "/data/key", "value": CANARY}]),
        ("patch", {"data": {"key": CANARY * 200}}),
    ],
)
def test_no_value_of_a_secret_is_kept(verb: str, body: Any) -> None:
    written = written_of(write(verb, body, kind=SECRET), None, ANSWER)

    assert CANARY not in written.change.decode()
    assert written.change


def test_of_an_update_of_a_secret_the_names_that_changed_are_kept() -> None:
    before = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"},
    }
    entry = Projection(gvk_of(SECRET)).entry(json.dumps({**before, "data": {"a": "b2xk", "b": "c2FtZQ=="}}).encode())
    after = {**before, "data": {"a": CANARY, "b": "c2FtZQ=="}}

    assert change(written_of(write("update", after, kind=SECRET), entry, ANSWER)) == {"data": {"a": "[left out]"}}


@pytest.mark.parametrize("answer", [b"", b"not json", b"[]", b'{"metadata": 7}'])
def test_an_answer_that_cannot_be_read_is_no_version(answer: bytes) -> None:
    assert written_of(write("patch", {"data": {}}), None, answer).answer == ""


def test_a_secret_without_data_stays_as_it_is() -> None:
    assert without_content({"type": "Opaque", "data": None}) == {"type": "Opaque"}
