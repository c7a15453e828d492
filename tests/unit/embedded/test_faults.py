from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded.calls import Call, User
from kcontroller.embedded.faults import (
    Delay,
    DropEvents,
    EndWatch,
    ExpireWatch,
    Faults,
    FreezeWatch,
    Garbage,
    Hang,
    Refuse,
    Rule,
    SlowWatch,
)
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.web.streams import Cut, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WIDGET = Kind("example.com", "v1", "Widget", "widgets", "widget", True, "v1", Schema({}), builtin=False)


def call(verb: str = "watch", **fields: Any) -> Call:
    known = {"plane": "", "namespace": "default", "name": "", "subresource": "", "agent": "kubectl/1", **fields}
    return Call(verb=verb, kind=WIDGET, query={}, user=User("admin"), **known)


@pytest.mark.parametrize(
    ("matchers", "matches"),
    [
        ({}, True),
        ({"verbs": {"update"}}, True),
        ({"verbs": {"get"}}, False),
        ({"resource": "widgets"}, True),
        ({"resource": "widgets.example.com"}, True),
        ({"resource": "gadgets"}, False),
        ({"namespace": "default", "name": "a", "plane": "p", "subresource": "status"}, True),
        ({"namespace": "other"}, False),
        ({"name": "b"}, False),
        ({"plane": ""}, False),
        ({"subresource": ""}, False),
        ({"agent": "kube"}, True),
        ({"agent": "helm"}, False),
    ],
)
def test_a_rule_is_for_the_requests_that_match_all_it_says(matchers: Any, *, matches: bool) -> None:
    rule = Rule(Refuse(500), **matchers)
    assert rule.matches(call("update", name="a", plane="p", subresource="status")) is matches


def test_verbs_are_a_set() -> None:
    with pytest.raises(TypeError, match=r"verbs is a set of verbs: write \{'update'\}"):
        Rule(Refuse(500), verbs="update")  # type: ignore[arg-type]


def test_a_verb_that_no_request_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no request has the verb 'updat'; there are create, delete"):
        Rule(Refuse(500), verbs={"updat"})


def test_a_rule_can_pass_some_and_act_on_some() -> None:
    rule = Rule(Refuse(500), after=2, times=2)
    assert [rule.draw() for _ in range(6)] == [False, False, True, True, False, False]
    assert rule.hits == 2


def test_chance_is_repeatable() -> None:
    drawn = [[Rule(Refuse(500), probability=0.5, seed=7)] * 50 for _ in range(2)]
    first, second = ([rule.draw() for rule in rules] for rules in drawn)
    assert first == second
    assert 10 < sum(first) < 40


def test_rules_end_with_their_block() -> None:
    faults = Faults()
    with faults(Rule(Refuse(409)), Rule(Delay(1))) as rule:
        assert faults.on_request(call("get"))[0] is rule
    assert (faults.on_request(call("get")), faults.rules, rule.hits) == ([], (), 1)


def test_every_rule_that_matches_acts() -> None:
    faults = Faults()
    rules = [faults.add(Rule(Delay(1))), faults.add(Rule(Refuse(500))), faults.add(Rule(Refuse(500), verbs={"list"}))]
    assert faults.on_request(call("get")) == rules[:2]
    faults.clear()
    assert faults.rules == ()


def test_those_who_look_are_told_of_new_rules() -> None:
    told: list[int] = []
    faults = Faults(lambda: told.append(1))
    with faults(Rule(ExpireWatch())):
        assert told == [1]


@pytest.mark.parametrize(
    ("action", "reason", "headers"),
    [
        (Refuse(409), "Conflict", {}),
        (Refuse(409, "AlreadyExists"), "AlreadyExists", {}),
        (Refuse(429, retry_after=3), "TooManyRequests", {"Retry-After": "3"}),
        (Refuse(418), "", {}),
    ],
)
def test_a_refusal_has_what_the_rule_says(action: Refuse, reason: str, headers: dict[str, str]) -> None:
    refusal = action.refusal()
    assert (refusal.code, refusal.reason, refusal.headers) == (action.code, reason, headers)
    assert refusal.document()["message"] == "a fault rule says so"


def test_what_hangs_goes_on_when_the_rule_is_released() -> None:
    async def wait() -> None:
        rule = Rule(Hang())
        waiting = asyncio.ensure_future(rule.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        rule.release()
        async with asyncio.timeout(1):
            await waiting
            await rule.wait()  # What comes later does not wait at all.
        assert not rule.matches(call("get"))

    asyncio.run(wait())


def event(kind: str, name: str) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}}}).encode() + b"\n"


class Wire:
    """A watch that tells what it is given, and what its client got of it."""

    def __init__(self, faults: Faults, *chunks: bytes) -> None:
        self.got: list[bytes] = []
        self._chunks = chunks
        self.more = asyncio.Event()
        self.stream = Stream(call(), faults, self._send)

    async def _send(self, data: bytes) -> None:
        self.got.append(data)

    async def _source(self, *, forever: bool) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if forever:
            await self.more.wait()

    async def run(self, *, forever: bool = False) -> None:
        async with asyncio.timeout(1):
            await self.stream.run(self._source(forever=forever))

    @property
    def names(self) -> list[str]:
        return [json.loads(line)["object"]["metadata"]["name"] for line in b"".join(self.got).splitlines()]


EVENTS = event("ADDED", "a") + event("MODIFIED", "b") + event("BOOKMARK", "c") + event("DELETED", "d")


def test_a_watch_without_rules_is_sent_as_it_is() -> None:
    wire = Wire(Faults(), EVENTS, EVENTS)
    asyncio.run(wire.run())
    assert wire.got == [EVENTS, EVENTS]


def test_events_are_dropped_by_type_and_name() -> None:
    faults = Faults()
    rule = faults.add(Rule(DropEvents(frozenset({"MODIFIED", "BOOKMARK"}))))
    named = faults.add(Rule(DropEvents(name="d"), times=1))
    wire = Wire(faults, EVENTS, EVENTS)
    asyncio.run(wire.run())
    assert wire.names == ["a", "a", "d"]
    assert (rule.hits, named.hits) == (4, 1)


def test_bookmarks_are_no_events_unless_they_are_named() -> None:
    faults = Faults()
    faults.add(Rule(DropEvents()))
    wire = Wire(faults, EVENTS)
    asyncio.run(wire.run())
    assert wire.names == ["c"]


def test_a_watch_ends_after_so_many_events() -> None:
    faults = Faults()
    rule = faults.add(Rule(EndWatch(2)))
    wire = Wire(faults, EVENTS)
    asyncio.run(wire.run())
    assert (wire.names, rule.hits) == (["a", "b"], 1)


def test_only_so_many_watches_are_ended() -> None:
    faults = Faults()
    faults.add(Rule(EndWatch(1), times=1))
    first, second = Wire(faults, EVENTS), Wire(faults, EVENTS)
    asyncio.run(first.run())
    asyncio.run(second.run())
    assert (first.names, second.names) == (["a"], ["a", "b", "c", "d"])


def test_a_watch_that_waits_is_expired_at_once() -> None:
    faults = Faults()

    async def expire() -> Wire:
        wire = Wire(faults)
        running = asyncio.ensure_future(wire.run(forever=True))
        await asyncio.sleep(0)
        faults.add(Rule(ExpireWatch("too old resource version: 1 (9)")))
        wire.stream.look()
        await running
        return wire

    told = json.loads(asyncio.run(expire()).got[0])
    assert (told["type"], told["object"]["code"], told["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert told["object"]["message"] == "too old resource version: 1 (9)"


def test_garbage_cuts_the_connection() -> None:
    faults = Faults()
    faults.add(Rule(Garbage(b"\0")))
    wire = Wire(faults, EVENTS)
    with pytest.raises(Cut):
        asyncio.run(wire.run())
    assert wire.got == [b"\0"]


def test_a_frozen_watch_is_told_what_it_missed() -> None:
    faults = Faults()
    rule = faults.add(Rule(FreezeWatch()))

    async def thaw() -> Wire:
        wire = Wire(faults, EVENTS)
        running = asyncio.ensure_future(wire.run())
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.got == []
        faults.remove(rule)
        await running
        return wire

    assert asyncio.run(thaw()).names == ["a", "b", "c", "d"]
    assert rule.hits == 1


def test_a_slow_watch_tells_everything() -> None:
    faults = Faults()
    faults.add(Rule(SlowWatch(0.001)))
    wire = Wire(faults, EVENTS)
    asyncio.run(wire.run())
    assert wire.names == ["a", "b", "c", "d"]


def test_a_watch_that_is_cancelled_from_outside_stays_cancelled() -> None:
    async def cancel() -> None:
        running = asyncio.ensure_future(Wire(Faults()).run(forever=True))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())


def test_a_rule_is_added_once() -> None:
    faults = Faults()
    with faults(Rule(Refuse(500))) as rule, pytest.raises(ValueError, match="make another one"):
        faults.add(rule)
    with pytest.raises(ValueError, match=r"make another one for Refuse\(code=500"):
        faults.add(rule)
    assert faults.rules == ()
