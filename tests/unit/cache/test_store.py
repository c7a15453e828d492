from __future__ import annotations

import threading

import pytest

from kcontroller.api.keys import Key
from kcontroller.cache.indexes import index_values
from kcontroller.cache.projection import Projection
from kcontroller.cache.store import Change, Store
from kcontroller.testing.clock import VirtualClock
from tests.unit.cache.objects import PLAIN, PODS, entry, key

ON_NODE = Projection(PODS.gvk, ("spec.nodeName",))


@pytest.fixture
def store() -> Store:
    return Store(PLAIN)


def test_an_empty_store_has_seen_nothing(store: Store) -> None:
    assert store.version == 0
    assert store.size == (0, 0)
    assert store.get(key("a")) is None
    assert store.entries() == []


def test_a_new_object_is_a_change_from_nothing(store: Store) -> None:
    new = entry("a", 5)

    assert store.upsert(new) == [Change(None, new)]
    assert store.get(key("a")) is new
    assert store.version == 5


def test_a_newer_state_is_a_change_from_the_older(store: Store) -> None:
    old, new = entry("a", 5), entry("a", 7)
    store.upsert(old)

    assert store.upsert(new) == [Change(old, new)]


@pytest.mark.parametrize("version", [5, 4])
def test_the_same_and_an_older_state_are_no_change(store: Store, version: int) -> None:
    first = entry("a", 5)
    store.upsert(first)

    assert store.upsert(entry("a", version)) == []
    assert store.get(key("a")) is first
    assert store.version == 5


def test_a_new_identity_is_a_deletion_and_a_creation(store: Store) -> None:
    old, new = entry("a", 5, uid="one"), entry("a", 9, uid="two")
    store.upsert(old)

    assert store.upsert(new) == [Change(old, None, unseen=True), Change(None, new)]


def test_a_deletion_tells_the_state_of_the_deletion(store: Store) -> None:
    store.upsert(entry("a", 5))
    last = entry("a", 8)

    assert store.delete(last) == [Change(last, None)]
    assert store.get(key("a")) is None
    assert store.version == 8


def test_the_deletion_of_another_identity_tells_what_stood_here(store: Store) -> None:
    known = entry("a", 5, uid="one")
    store.upsert(known)

    assert store.delete(entry("a", 8, uid="two")) == [Change(known, None, unseen=True)]


def test_an_older_deletion_takes_nothing_out(store: Store) -> None:
    store.upsert(entry("a", 5))

    assert store.delete(entry("a", 4)) == []
    assert store.get(key("a")) is not None


def test_the_deletion_of_an_unknown_object_is_no_change_but_counts_as_seen(store: Store) -> None:
    assert store.delete(entry("a", 8)) == []
    assert store.version == 8


def test_forgetting_tells_the_last_known_state(store: Store) -> None:
    known = entry("a", 5)
    store.upsert(known)

    assert store.forget(key("a"), 9) == [Change(known, None, unseen=True)]
    assert store.forget(key("a"), 10) == []
    assert store.version == 10


def test_replace_tells_deletions_first_then_what_is_new_or_changed_in_the_order_given(store: Store) -> None:
    old = {name: entry(name, 5) for name in "abcd"}
    store.replace(old.values(), 5)
    z, c, b, recreated = entry("z", 6), entry("c", 7), entry("b", 5), entry("d", 9, uid="two")

    assert list(store.replace([z, c, b, recreated], 9)) == [
        Change(old["a"], None, unseen=True),
        Change(old["d"], None, unseen=True),
        Change(None, z),
        Change(old["c"], c),
        Change(None, recreated),
    ]
    store.check_invariants()


def test_replace_by_the_same_versions_is_no_change(store: Store) -> None:
    store.replace([entry("a", 5)], 5)

    assert list(store.replace([entry("a", 5)], 9)) == []
    assert store.version == 9


def test_after_a_reset_an_equal_version_proves_nothing(store: Store) -> None:
    old, now = entry("a", 5), entry("a", 5, spec={"restored": True})
    store.replace([old], 100)

    assert list(store.replace([now], 7, reset=True)) == [Change(old, now)]
    assert store.version == 7


def test_an_equal_version_of_another_server_proves_nothing(store: Store) -> None:
    old, now = entry("a", 5), entry("a", 5, spec={"of": "another"})
    store.replace([old], 100)
    store.outdate()
    assert (store.version, store.resets, store.get(old.key)) == (0, 1, old)

    assert list(store.replace([now], 20)) == [Change(old, now)]
    assert (store.version, store.resets) == (20, 1), "what was written after the change is to be waited for"
    assert list(store.replace([now], 21)) == []


def test_the_version_moves_forward_only_but_for_replace(store: Store) -> None:
    store.advance(10)
    store.advance(4)
    store.upsert(entry("a", 6))

    assert store.version == 10


def test_entries_of_one_namespace(store: Store) -> None:
    here, there = entry("a", 1, namespace="here"), entry("a", 2, namespace="there")
    store.replace([here, there], 2)

    assert store.entries("here") == [here]
    assert store.entries("nowhere") == []


def test_an_index_finds_by_a_declared_path() -> None:
    store = Store(ON_NODE)
    one = entry("a", 1, projection=ON_NODE, spec={"nodeName": "n1"})
    two = entry("b", 2, projection=ON_NODE, spec={"nodeName": "n1"}, namespace="other")
    store.replace([one, two, entry("c", 3, projection=ON_NODE)], 3)

    assert sorted(store.entries(index=("spec.nodeName", "n1")), key=str) == [one, two]
    assert store.entries("other", index=("spec.nodeName", "n1")) == [two]
    assert store.entries(index=("spec.nodeName", "n2")) == []


def test_an_index_follows_changes_and_deletions() -> None:
    store = Store(ON_NODE)
    store.upsert(entry("a", 1, projection=ON_NODE, spec={"nodeName": "n1"}))
    moved = entry("a", 2, projection=ON_NODE, spec={"nodeName": "n2"})
    store.upsert(moved)

    assert store.entries(index=("spec.nodeName", "n1")) == []
    assert store.entries(index=("spec.nodeName", "n2")) == [moved]
    store.delete(entry("a", 3, projection=ON_NODE))
    assert store.entries(index=("spec.nodeName", "n2")) == []
    store.check_invariants()


def test_an_index_that_was_not_declared_is_an_error(store: Store) -> None:
    with pytest.raises(KeyError):
        store.entries(index=("spec.nodeName", "n1"))


def test_a_path_declared_later_indexes_what_is_here(store: Store) -> None:
    store.upsert(entry("a", 1, spec={"nodeName": "n1"}))
    store.reproject(ON_NODE)

    (found,) = store.entries(index=("spec.nodeName", "n1"))
    assert found.key == key("a")
    assert store.index_names == ("spec.nodeName",)
    assert store.version == 1
    store.check_invariants()


def test_a_list_that_was_decoded_before_a_path_was_declared_is_indexed_all_the_same(store: Store) -> None:
    listed = [entry("a", 1, spec={"nodeName": "n1"})]
    store.reproject(ON_NODE)
    store.replace(listed, 1)

    (found,) = store.entries(index=("spec.nodeName", "n1"))
    assert found.fields == ("n1",)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ({}, ()),
        ({"a": 1}, ()),
        ("text", ("text",)),
        ("", ("",)),
        (True, ("true",)),
        (False, ("false",)),
        (7, ("7",)),
        (1.5, ("1.5",)),
        ([], ()),
        (["a", "b", "a", None, {}, 1, True], ("a", "b", "1", "true")),
        ([["a"]], ()),
    ],
)
def test_index_values(value: object, expected: tuple[str, ...]) -> None:
    assert index_values(value) == expected


def test_index_values_of_deep_nesting_do_not_overflow_the_stack() -> None:
    value: list[object] = []
    for _ in range(5000):
        value = [value]

    assert index_values(value) == ()


def test_a_wait_ends_when_it_comes_true(store: Store) -> None:
    clock = VirtualClock()
    answers: list[bool] = []
    waiter = threading.Thread(
        target=lambda: answers.append(store.wait_until(lambda: store.version >= 5, timeout=10, clock=clock))
    )
    waiter.start()
    clock.wait_for_waiters(1)
    store.advance(4)
    store.upsert(entry("a", 5))
    waiter.join(10)

    assert answers == [True]


def test_a_wait_ends_with_its_time(store: Store) -> None:
    clock = VirtualClock()
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(store.wait_until(lambda: False, timeout=10, clock=clock)))
    waiter.start()
    clock.wait_for_waiters(1)
    clock.advance(10)
    waiter.join(10)

    assert answers == [False]


def test_a_wait_for_what_is_true_does_not_wait(store: Store) -> None:
    assert store.wait_until(lambda: True, timeout=0, clock=VirtualClock())


def test_every_kind_of_change_wakes_a_wait(store: Store) -> None:
    for version, change in enumerate(
        (
            lambda: store.replace([entry("a", 1)], 1),
            lambda: store.upsert(entry("a", 2)),
            lambda: store.delete(entry("a", 3)),
            lambda: store.forget(Key("", "b"), 4),
            lambda: store.advance(5),
        ),
        start=1,
    ):
        clock = VirtualClock()
        waiter = threading.Thread(
            target=store.wait_until,
            args=(lambda goal=version: store.version >= goal,),
            kwargs={"timeout": 5, "clock": clock},
        )
        waiter.start()
        clock.wait_for_waiters(1)
        change()
        waiter.join(10)
        assert not waiter.is_alive()


def test_readers_see_all_of_a_replace_or_nothing_of_it() -> None:
    store = Store(ON_NODE)
    lists = [
        [entry(f"p{number}", version, projection=ON_NODE, spec={"nodeName": f"n{version}"}) for number in range(200)]
        for version in range(1, 41)
    ]
    store.replace(lists[0], 1)
    done = threading.Event()
    broken: list[str] = []

    def read() -> None:
        while not done.is_set():
            seen = {each.version for each in store.entries("default")}
            if len(seen) != 1:
                broken.append(f"entries of several lists: {seen}")
            for version in tuple(seen):
                by_index = len(store.entries(index=("spec.nodeName", f"n{version}")))
                if by_index not in {0, 200}:
                    broken.append(f"an index with {by_index} entries")
            if store.size[0] != 200:
                broken.append("a size that never was")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version, entries in enumerate(lists, start=1):
        store.replace(entries, version)
    done.set()
    for reader in readers:
        reader.join(10)

    assert broken == []
    store.check_invariants()
