"""The suite itself: what must be seen as a difference is seen, and what differs between any two runs is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract.comparison import Difference, Known, differences, known
from tests.contract.transcripts import normalised

UIDS = ("11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555")


def exchange(body: Any, **more: Any) -> dict[str, Any]:
    return {"ask": "GET /x", "code": 200, "body": body, **more}


def config_map(version: str, uid: str = UIDS[0], **metadata: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": version, "uid": uid, **metadata}}


def masked(*exchanges: dict[str, Any]) -> list[dict[str, Any]]:
    return normalised(list(exchanges), [], "own-namespace")


def places(first: Any, second: Any) -> list[str]:
    return [difference.where for difference in differences(first, second)]


def test_versions_are_compared_by_their_order() -> None:
    rising = masked(exchange(config_map("7")), exchange(config_map("19")))
    assert rising == masked(exchange(config_map("101")), exchange(config_map("102")))
    assert places(rising, masked(exchange(config_map("7")), exchange(config_map("7")))) == [
        "2/body/metadata/resourceVersion"
    ]
    assert places(rising, masked(exchange(config_map("19")), exchange(config_map("7")))) == [
        "1/body/metadata/resourceVersion",
        "2/body/metadata/resourceVersion",
    ]


def test_the_version_of_a_list_is_the_newest_that_it_includes() -> None:
    def listed(own: str, version: str) -> list[dict[str, Any]]:
        items = {"kind": "ConfigMapList", "metadata": {"resourceVersion": version}, "items": [config_map(own)]}
        return masked(exchange(config_map(own)), exchange(items))

    assert listed("7", "7") == listed("7", "12")
    assert places(listed("7", "7"), listed("7", "6")) == ["2/body/metadata/resourceVersion"]


def test_a_version_in_a_message_or_a_query_is_masked_alike() -> None:
    def said(version: str) -> list[dict[str, Any]]:
        message = (
            f"the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({version})"
        )
        return masked(exchange(config_map(version)), exchange({"message": message}, query={"resourceVersion": version}))

    assert said("7") == said("1234")
    assert "(at v1)" in said("7")[1]["body"]["message"]
    assert said("7")[1]["query"] == {"resourceVersion": "at v1"}


def test_uids_are_compared_by_their_sameness() -> None:
    same = masked(exchange(config_map("1", UIDS[0])), exchange(config_map("2", UIDS[0])))
    assert same == masked(exchange(config_map("1", UIDS[1])), exchange(config_map("2", UIDS[1])))
    other = masked(exchange(config_map("1", UIDS[0])), exchange(config_map("2", UIDS[1])))
    assert places(same, other) == ["2/body/metadata/uid"]


def test_managers_are_compared_in_any_order() -> None:
    one, two = {"manager": "a", "operation": "Update"}, {"manager": "a", "operation": "Update", "subresource": "status"}
    first, second = (exchange(config_map("1", managedFields=entries)) for entries in ([one, two], [two, one]))
    assert masked(first) == masked(second)
    assert masked(first) != masked(exchange(config_map("1", managedFields=[one])))


def test_only_times_of_now_are_masked() -> None:
    now = datetime.now(UTC)
    seconds, micros = now.strftime("%Y-%m-%dT%H:%M:%SZ"), now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    (made,) = masked(exchange([seconds, micros, "2001-01-01T00:00:00Z"]))
    assert made["body"] == ["<time>", "<time with microseconds>", "2001-01-01T00:00:00Z"]


def test_generated_names_are_masked_and_own_names_are_not() -> None:
    (made,) = masked(exchange([config_map("1", name="gen-x7k2p", generateName="gen-"), {"name": "gen-abcde"}]))
    assert made["body"][0]["metadata"]["name"] == "gen-<generated 1>"
    assert made["body"][1]["name"] == "gen-abcde"


def test_a_continue_token_of_the_server_is_masked_and_one_of_the_case_is_not() -> None:
    page = {"metadata": {"continue": "dG9rZW4", "resourceVersion": "1"}, "items": []}
    made = masked(
        exchange(page), exchange(page, query={"continue": "dG9rZW4"}), exchange(page, query={"continue": "no"})
    )
    assert [one.get("query") for one in made] == [None, {"continue": "<continue 1>"}, {"continue": "no"}]


@pytest.mark.parametrize("other", [{"a": 1}, {"a": True}, {"a": "1", "b": 2}, {}, {"a": ["1"]}, []])
def test_everything_else_is_compared(other: Any) -> None:
    assert places({"a": "1"}, {"a": "1"}) == []
    assert places({"a": "1"}, other)


def test_a_difference_names_its_place() -> None:
    recorded, seen = [{"body": {"items": [{"x": 1}, {"x": 2}]}}], [{"body": {"items": [{"x": 1}]}}]
    assert list(differences(recorded, seen)) == [Difference("1/body/items/2", '{"x": 2}', "absent")]


def test_a_known_difference_covers_its_place_and_what_lies_below() -> None:
    row = Known("watch", "x", "2/body/spec/*/ports")
    assert row.covers(Difference("2/body/spec/a/ports", "", ""))
    assert row.covers(Difference("2/body/spec/a/ports/1/name", "", ""))
    assert not row.covers(Difference("2/body/spec/a/portsmouth", "", ""))
    assert not row.covers(Difference("3/body/spec/a/ports", "", ""))


def test_known_differences_are_the_rows_of_tables() -> None:
    text = """# Title
| part | case | where | the embedded server |
|---|---|---|---|
| create, update, patch | a pod | `1/body/spec` | has no defaults |
| watch | a watch | 2/end | ends |
Some | text | with | bars.
"""
    assert known(text) == [Known("create, update, patch", "a pod", "1/body/spec"), Known("watch", "a watch", "2/end")]
