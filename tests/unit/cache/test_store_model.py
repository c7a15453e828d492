"""The store against a slow and obvious model of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kcontroller.cache.projection import Entry, Projection
from kcontroller.cache.store import Change, Store
from tests.unit.cache.objects import PLAIN, PODS, entry, key

if TYPE_CHECKING:
    from collections.abc import Iterable

PATHS = ("spec.node", "spec.zones")

PACKED = Projection(PODS.gvk, compress=True)
for number in range(1000):  # So many, and the kind has a dictionary.
    entry("n", number + 1, spec={"node": f"n{number % 3}", "zones": ["x", "y"]}, projection=PACKED)

namespaces = st.sampled_from(["one", "two"])
names = st.sampled_from("abcd")
uids = st.sampled_from(["", "", "again"])
specs = st.fixed_dictionaries(
    {},
    optional={
        "node": st.sampled_from(["n1", "n2", None, 3, {"odd": True}]),
        "zones": st.lists(st.sampled_from(["x", "y"]), max_size=2) | st.none(),
    },
)
objects = st.tuples(namespaces, names, uids, specs)


def seen(each: Entry) -> tuple[object, ...]:
    """What a reader sees: two entries may differ in how their JSON is kept."""
    return (each.key, each.version, each.uid, each.fields, each.labels, each.raw)


def seen_in_order(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    return sorted(map(seen, entries), key=str)


class StoreModel(RuleBasedStateMachine):
    """Objects as a dictionary; what must be told is computed by comparing before with after."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(PLAIN)
        self.projection = PLAIN
        self.model: dict[tuple[str, str], Entry] = {}
        self.version = 0

    def make(self, described: tuple[str, str, str, dict[str, object]], version: int) -> Entry:
        namespace, name, uid, spec = described
        return entry(name, version, namespace=namespace, uid=f"uid-{name}{uid}", spec=spec, projection=self.projection)

    def follow(self, changes: list[Change]) -> None:
        """Do to a copy what was told; the copy must then be the model."""
        told = self.told
        for change in changes:
            where = change.entry.key
            if change.new is None:
                assert change.old is not None
                assert told.pop(where).uid == change.old.uid or change.old.uid
            else:
                assert (told.get(where) is None) == (change.old is None)
                assert change.old is None or change.old.uid == change.new.uid
                told[where] = change.new
        assert {where: each.version for where, each in told.items()} == {
            where: each.version for where, each in self.model.items()
        }

    @property
    def told(self) -> dict[object, Entry]:
        if not hasattr(self, "_told"):
            self._told: dict[object, Entry] = {}
        return self._told

    @rule(described=objects)
    def upsert(self, described: tuple[str, str, str, dict[str, object]]) -> None:
        self.version += 1
        new = self.make(described, self.version)
        self.model[new.key] = new
        self.follow(self.store.upsert(new))

    @rule(described=objects, behind=st.integers(0, 3))
    def replay(self, described: tuple[str, str, str, dict[str, object]], behind: int) -> None:
        known = self.model.get(key(described[1], described[0]))
        if known is not None and known.version > behind:
            assert self.store.upsert(self.make(described, known.version - behind)) == []

    @rule(described=objects)
    def delete(self, described: tuple[str, str, str, dict[str, object]]) -> None:
        self.version += 1
        last = self.make(described, self.version)
        self.model.pop(last.key, None)
        self.follow(self.store.delete(last))

    @rule(namespace=namespaces, name=names)
    def forget(self, namespace: str, name: str) -> None:
        self.version += 1
        self.model.pop(key(name, namespace), None)
        self.follow(self.store.forget(key(name, namespace), self.version))

    @rule(items=st.lists(objects, max_size=6, unique_by=lambda item: item[:2]), keep=st.booleans())
    def replace(self, items: list[tuple[str, str, str, dict[str, object]]], *, keep: bool) -> None:
        self.version += 1
        now = dict(self.model) if keep else {}
        for item in items:
            new = self.make(item, self.version)
            now[new.key] = new
        self.model = now
        changes = list(self.store.replace(now.values(), self.version))
        gone = [change.new is None for change in changes]
        assert gone == sorted(gone, reverse=True), "deletions come first"
        self.follow(changes)

    @rule(items=st.lists(objects, max_size=4, unique_by=lambda item: item[:2]))
    def reset(self, items: list[tuple[str, str, str, dict[str, object]]]) -> None:
        self.version = max(1, self.version // 2)
        fresh = [self.make(item, self.version) for item in items]
        self.model = {new.key: new for new in fresh}
        self.follow(list(self.store.replace(fresh, self.version, reset=True)))

    @rule(paths=st.sampled_from([(), PATHS[:1], PATHS]), compress=st.booleans())
    def reproject(self, paths: tuple[str, ...], *, compress: bool) -> None:
        self.projection = Projection(PODS.gvk, paths, compress=compress)
        self.store.reproject(self.projection)
        self.model = {where: self.projection.again(each) for where, each in self.model.items()}

    @rule(by=st.integers(0, 3))
    def advance(self, by: int) -> None:
        self.version += by
        self.store.advance(self.version)

    @invariant()
    def store_and_model_agree(self) -> None:
        self.store.check_invariants()
        assert self.store.version == self.version
        assert seen_in_order(self.store.entries()) == seen_in_order(self.model.values())
        assert all(self.store.get(each.key) for each in self.model.values())
        for namespace in ("one", "two", "three"):
            expected = [each for each in self.model.values() if each.key.namespace == namespace]
            assert seen_in_order(self.store.entries(namespace)) == seen_in_order(expected)
        for number, path in enumerate(self.projection.paths):
            for value in ("n1", "n2", "3", "x", "y", "odd"):
                expected = [
                    each
                    for each in self.model.values()
                    if value == str(each.fields[number])
                    or (isinstance(each.fields[number], list) and value in each.fields[number])
                ]
                assert seen_in_order(self.store.entries("", (path, value))) == seen_in_order(expected)


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=260, stateful_step_count=50)  # More than 10,000 steps in all.
