from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.api.keys import Key
from kcontroller.client.ports import Write
from kcontroller.cluster.budgets import Budget, Budgets, Spent
from kcontroller.cluster.rails import RailedWriter
from kcontroller.errors import BudgetSpent, Forbidden, KindNotServed, NotFound, NotLeader, OutcomeUnknown
from kcontroller.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG_MAP = "v1 ConfigMap"
SYSTEM = "eu"


def delete(name: str = "a", uid: str = "", **options: Any) -> Write:
    body = json.dumps({"preconditions": {"uid": uid}}).encode() if uid else b""
    return Write("delete", CONFIG_MAP, Key("default", name), body=body, **options)


def evict(name: str = "a", uid: str = "") -> Write:
    body = json.dumps({"deleteOptions": {"preconditions": {"uid": uid}}} if uid else {}).encode()
    return Write("create", "v1 Pod", Key("default", name), body=body, subresource="eviction")


def patch(name: str = "a", **options: Any) -> Write:
    return Write("patch", CONFIG_MAP, Key("default", name), **options)


class Wire:
    """A `Reader` and a `Writer` that answers, or raises what the test says."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.answer: dict[str, Any] = {}
        self.sent: list[Write] = []

    def write(self, write: Write) -> bytes:
        self.sent.append(write)
        if self.error is not None:
            raise self.error
        return json.dumps(self.answer).encode()

    def get(self, *_: Any, **__: Any) -> bytes:
        raise NotImplementedError

    def list(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class Rails:
    """The budgets of a controller, with what they do to its queue and to people."""

    def __init__(self, deletes: str | None = "3/10s", writes: str | None = None) -> None:
        self.clock = VirtualClock()
        self.held: list[str] = []
        self.released: list[str] = []
        self.told: list[tuple[Spent, Write]] = []
        self.wire = Wire()
        self.budgets = Budgets(
            "widget",
            deletes=Budget.of(deletes),
            writes=Budget.of(writes),
            clock=self.clock,
            hold=self.held.append,
            release=self.released.append,
            on_spent=lambda spent, write: self.told.append((spent, write)),
        )

    def send(self, *writes: Write, cluster: str = SYSTEM) -> int:
        """Send until one is refused; returns how many were sent."""
        before = len(self.wire.sent)
        writer = RailedWriter(self.wire, self.wire, (self.budgets,), cluster)
        for write in writes:
            try:
                writer.write(write)
            except BudgetSpent:
                break
        return len(self.wire.sent) - before


@pytest.fixture
def rails() -> Rails:
    return Rails()


def some(write: Callable[[str], Write], count: int = 10) -> list[Write]:
    return [write(f"n{number}") for number in range(count)]


# ---- the figure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("100/10m", Budget(100, 600.0)),
        ("5/1s", Budget(5, 1.0)),
        ("20/2h", Budget(20, 7200.0)),
        ("0", None),
        ("", None),
        (None, None),
        (Budget(1, 1.0), Budget(1, 1.0)),
    ],
)
def test_a_budget_is_written_as_so_many_in_so_much_time(text: Any, budget: Budget | None) -> None:
    assert Budget.of(text) == budget
    assert budget is None or Budget.of(str(budget)) == budget


@pytest.mark.parametrize("text", ["100", "100/", "/10m", "0/10m", "-1/1s", "1.5/1m", "10/0s", "10/1d", "10/10m ", 5])
def test_what_is_no_budget_is_refused_with_an_example(text: Any) -> None:
    with pytest.raises(ValueError, match="write it like '100/10m'"):
        Budget.of(text)


@pytest.mark.parametrize(("count", "per"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_a_budget_that_lets_nothing_pass_is_refused(count: int, per: float) -> None:
    with pytest.raises(ValueError, match="a positive number in a positive time"):
        Budget(count, per)


# ---- what counts -----------------------------------------------------------------------------------------------------


def test_one_delete_too_many_is_not_sent_and_stops_the_controller_in_that_cluster(rails: Rails) -> None:
    assert rails.send(*some(delete)) == 3
    assert rails.held == [SYSTEM]
    [(spent, refused)] = rails.told
    assert refused.key.name == "n3"
    assert str(spent) == "widget has spent its 3 deletes in 10s in cluster eu"
    assert spent.refused == "delete v1 ConfigMap default/n3"
    assert spent.last == tuple(f"delete v1 ConfigMap default/n{number}" for number in range(3))


def test_the_error_says_the_word_that_lets_it_go_on(rails: Rails) -> None:
    rails.send(*some(delete))
    with pytest.raises(BudgetSpent, match=r"it goes on with: kcontroller resume widget --cluster eu$"):
        rails.budgets.before(SYSTEM, delete(), rails.wire)


def test_it_is_said_once_however_many_are_refused(rails: Rails) -> None:
    for _ in range(5):
        rails.send(*some(delete))
    assert len(rails.told) == len(rails.held) == 1


def test_time_alone_gives_nothing_back_once_it_is_spent(rails: Rails) -> None:
    rails.send(*some(delete))
    rails.clock.advance(3600)
    assert rails.send(delete()) == 0


def test_what_is_older_than_the_time_counts_no_more(rails: Rails) -> None:
    for _ in range(4):
        assert rails.send(delete("a"), delete("b"), delete("c")) == 3
        rails.clock.advance(10)
    assert not rails.told


def test_clusters_and_sorts_have_budgets_of_their_own() -> None:
    rails = Rails("1/1m", "2/1m")
    assert rails.send(*some(delete)) == 1
    assert rails.send(*some(patch)) == 2
    assert rails.send(*some(delete), cluster="us") == 1
    assert {(each.cluster, each.what) for each in rails.budgets.spent()} == {
        (SYSTEM, "deletes"),
        (SYSTEM, "writes"),
        ("us", "deletes"),
    }


def test_an_eviction_is_a_delete(rails: Rails) -> None:
    assert rails.send(*some(evict)) == 3


@pytest.mark.parametrize("ask", [delete, evict])
def test_the_same_object_counts_once_however_often_it_is_asked_for(rails: Rails, ask: Callable[..., Write]) -> None:
    """It may wait for its finalizers, and its controller ask at each reconcile."""
    assert rails.send(*[ask("a", "1")] * 9, *[ask("b", "2")] * 9) == 18
    assert rails.send(delete("c"), delete("d")) == 1


@pytest.mark.parametrize("answer", [{"metadata": {"uid": "1"}}, {"kind": "Status", "details": {"uid": "1"}}])
def test_the_answer_says_which_object_it_was_that_was_asked_for_by_name(rails: Rails, answer: dict[str, Any]) -> None:
    rails.wire.answer = answer
    assert rails.send(*[delete("a")] * 9, delete("a", "1")) == 10
    rails.wire.answer = {}
    assert rails.send(*some(delete)) == 2


@pytest.mark.parametrize("ask", [delete, evict])
def test_each_object_that_had_the_name_counts(rails: Rails, ask: Callable[..., Write]) -> None:
    """A StatefulSet makes its web-0 again as often as somebody deletes it."""
    assert rails.send(*(ask("web-0", str(number)) for number in range(10))) == 3


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"details": null}', b'{"metadata": {"uid": 7}}'])
def test_a_delete_by_name_of_nobody_knows_what_counts_each_time(rails: Rails, answer: bytes) -> None:
    for _ in range(3):
        hears = rails.budgets.before(SYSTEM, delete("web-0"), rails.wire)
        assert hears is not None
        hears(answer)
    with pytest.raises(BudgetSpent):
        rails.budgets.before(SYSTEM, delete("web-0"), rails.wire)


GONE = NotFound("gone", status=404, reason="NotFound")


@pytest.mark.parametrize("uid", ["", "1"])
@pytest.mark.parametrize("other", [b'{"details": {"uid": "1"}}', b"{}", OutcomeUnknown("lost"), None])
def test_a_refusal_gives_nothing_back_while_another_worker_may_have_deleted_it(
    uid: str, other: bytes | BaseException | None
) -> None:
    rails = Rails("2/10s")
    refused, done = (rails.budgets.before(SYSTEM, delete("a", uid), rails.wire) for _ in range(2))
    assert refused is not None
    assert done is not None
    if other is not None:
        done(other)
    refused(GONE)
    assert rails.send(*some(delete)) == 1
    if other is None:
        done(b"{}")
        assert len(rails.budgets.spent()) == 1


def test_it_is_given_back_when_all_who_asked_were_refused(rails: Rails) -> None:
    hearing = [rails.budgets.before(SYSTEM, delete("a", "1"), rails.wire) for _ in range(2)]
    for hears in hearing:
        assert hears is not None
        hears(GONE)
    assert rails.send(*some(delete)) == 3


def test_who_asks_again_for_what_may_not_have_happened_counts_from_then(rails: Rails) -> None:
    rails.wire.error = OutcomeUnknown("lost")
    with pytest.raises(OutcomeUnknown):
        rails.send(delete("a", "1"))
    rails.wire.error = None
    rails.clock.advance(9)
    assert rails.send(delete("a", "1")) == 1
    rails.clock.advance(2)
    assert rails.send(*some(delete)) == 2


def test_objects_of_one_name_and_several_kinds_are_several(rails: Rails) -> None:
    kinds = ("v1 ConfigMap", "v1 Secret", "v1 Pod", "v1 Service")
    assert rails.send(*(Write("delete", kind, Key("default", "a")) for kind in kinds)) == 3


def test_what_takes_a_finalizer_off_is_a_write_and_no_delete(rails: Rails) -> None:
    body = json.dumps({"metadata": {"finalizers": None}}).encode()
    assert rails.send(*[patch(body=body)] * 9) == 9


def test_a_dry_run_is_free(rails: Rails) -> None:
    assert rails.send(*[delete(query=(("dryRun", "All"),))] * 9) == 9


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (NotFound("gone", status=404, reason="NotFound"), 3),
        (Forbidden("no", status=403), 3),
        (KindNotServed("no"), 3),
        (OutcomeUnknown("lost"), 0),
        (NotLeader("passed"), 0),
    ],
)
def test_only_what_was_surely_not_done_costs_nothing(rails: Rails, error: Exception, left: int) -> None:
    rails.wire.error = error
    writer = RailedWriter(rails.wire, rails.wire, (rails.budgets,), SYSTEM)
    for number in range(3):
        with pytest.raises(type(error)):
            writer.write(delete(f"m{number}"))
    rails.wire.error = None
    assert rails.send(*some(delete)) == left


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60))
def test_in_no_stretch_of_its_time_are_more_done_than_it_says(steps: list[tuple[float, bool]]) -> None:
    rails = Rails("3/10s")
    done: list[float] = []
    for number, (pause, refused) in enumerate(steps):
        rails.clock.advance(pause)
        rails.wire.error = NotFound("gone", status=404, reason="NotFound") if refused else None
        try:
            RailedWriter(rails.wire, rails.wire, (rails.budgets,), SYSTEM).write(delete(f"n{number}"))
            done.append(rails.clock.monotonic())
        except NotFound:
            pass
        except BudgetSpent:
            rails.budgets.resume()
            done.clear()
    assert all(later - earlier >= 10 for earlier, later in zip(done, done[3:], strict=False))


def test_any_number_of_workers_stays_inside() -> None:
    rails = Rails("100/10m")
    barrier = threading.Barrier(16)

    def work(worker: int) -> None:
        barrier.wait(10)
        rails.send(*(delete(f"{worker}-{number}") for number in range(50)))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(rails.wire.sent) == 100
    assert len(rails.told) == len(rails.held) == 1


# ---- the word --------------------------------------------------------------------------------------------------------


def test_a_word_gives_a_whole_budget_back(rails: Rails) -> None:
    rails.send(*some(delete))
    [lifted] = rails.budgets.resume(SYSTEM)

    assert (lifted.cluster, lifted.what) == (SYSTEM, "deletes")
    assert rails.released == [SYSTEM]
    assert rails.budgets.spent() == ()
    assert rails.send(*some(delete)) == 3


def test_a_word_for_one_cluster_is_none_for_another(rails: Rails) -> None:
    rails.send(*some(delete))
    rails.send(*some(delete), cluster="us")
    rails.budgets.resume("us")

    assert [each.cluster for each in rails.budgets.spent()] == [SYSTEM]
    assert rails.released == ["us"]


def test_a_word_where_nothing_is_spent_gives_nothing(rails: Rails) -> None:
    rails.send(delete("a"), delete("b"))
    assert rails.budgets.resume() == ()
    assert rails.send(*some(delete)) == 1


def test_a_cluster_that_leaves_and_comes_back_is_held_again(rails: Rails) -> None:
    rails.send(*some(delete))
    rails.budgets.forget()
    rails.held.clear()
    rails.budgets.engage("us")
    rails.budgets.engage(SYSTEM)

    assert rails.held == [SYSTEM]
    assert rails.send(delete()) == 0


def test_a_cluster_that_comes_back_at_once_has_no_new_budget(rails: Rails) -> None:
    rails.send(delete("a"), delete("b"))
    rails.budgets.forget()
    assert rails.send(*some(delete)) == 1


def test_clusters_that_left_long_ago_leave_nothing(rails: Rails) -> None:
    rails.send(delete(), delete())
    rails.clock.advance(10)
    rails.budgets.forget()
    assert rails.budgets._accounts == {}
