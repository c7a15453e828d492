from __future__ import annotations

import gc
import hashlib
import json
import threading
from typing import Any

import pytest

from kcontroller.api.keys import GVK
from kcontroller.cache import packing
from kcontroller.cache.packing import Packing, make_codec, packing_of
from kcontroller.cache.projection import Projection
from kcontroller.cache.store import Store
from tests.unit.cache.objects import dump, pod

GADGETS = GVK("example.com", "v1", "Gadget")


def text(number: int, size: int = 3000) -> bytes:
    """Much that all have in common, and some of its own."""
    more: Any = [
        {"name": f"part-{part}", "image": "registry.example.com/team/part:1.2.3"} for part in range(size // 60)
    ]
    return json.dumps({"name": f"gadget-{number}", "number": int.from_bytes(noise(number, 8)), "parts": more}).encode()


def noise(number: int, size: int) -> bytes:
    return hashlib.shake_128(str(number).encode()).digest(size)


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "ENTRIES", 40)


def learnt(worthwhile: int = 0) -> Packing:
    made = Packing(worthwhile)
    for number in range(packing.ENTRIES):
        assert made.pack(text(number), str(number)) == (text(number), None)
    return made


@pytest.mark.usefixtures("early")
def test_what_comes_after_enough_others_is_a_tenth_of_its_size_and_comes_back_as_it_was() -> None:
    made = learnt()

    for number in range(100, 120):
        packed, codec = made.pack(text(number), str(number))
        assert codec is made.codec is not None
        assert len(packed) < len(text(number)) / 10
        assert codec.unpack(packed) == text(number)


@pytest.mark.usefixtures("early")
def test_small_texts_are_kept_as_they_are_unless_it_was_asked_for() -> None:
    assert learnt(worthwhile=len(text(0)) * 2).codec is None
    assert learnt(worthwhile=0).codec is not None


def test_few_but_large_texts_are_packed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BYTES", 200_000)
    made = Packing()
    for number in range(20):
        made.pack(text(number, 30_000), str(number))

    assert made.codec is not None


@pytest.mark.usefixtures("early")
def test_what_does_not_get_smaller_is_kept_as_it_is() -> None:
    made = learnt()

    assert made.pack(noise(1, 3000), "u") == (noise(1, 3000), packing.PLAIN)


@pytest.mark.usefixtures("early")
def test_what_does_not_get_smaller_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    projection = Projection(GADGETS)
    for number in range(40):
        projection.entry(gadget(number))
    monkeypatch.setattr(packing.Codec, "pack", lambda _self, text: text)
    small = projection.entry(dump(pod("a", 5)))
    monkeypatch.setattr(projection, "again", None)
    store = Store(projection)
    store.replace([small], 10)

    assert small.codec is packing.PLAIN
    assert store.entries() == [small]
    assert json.loads(small.raw) == pod("a", 5)


@pytest.mark.usefixtures("early")
def test_many_changes_of_few_objects_are_few_objects() -> None:
    made = Packing(0)
    for number in range(400):
        made.pack(text(number), str(number % 3))
    assert made.codec is None
    for number in range(40):
        made.pack(text(number), str(number))

    assert made.codec is not None


@pytest.mark.usefixtures("early")
def test_texts_without_anything_in_common_end_the_search_and_nothing_else() -> None:
    made = Packing(0)
    for number in range(100):
        packed, codec = made.pack(noise(number, 20), str(number))
        assert (codec.unpack(packed) if codec else packed) == noise(number, 20)


def test_samples_that_are_too_small_make_no_codec() -> None:
    assert make_codec([b"", b"x"]) is None


@pytest.mark.usefixtures("early")
def test_threads_pack_and_unpack_at_the_same_time() -> None:
    made = learnt()
    broken: list[int] = []

    def work(start: int) -> None:
        for number in range(start, start + 50):
            packed, codec = made.pack(text(number), str(number))
            if codec is None or codec.unpack(packed) != text(number):
                broken.append(number)

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert broken == []


def test_the_informers_of_a_kind_share_a_packing_for_as_long_as_one_lives() -> None:
    one, two = packing_of(GADGETS, compress=None), packing_of(GADGETS, compress=None)

    assert one is two
    assert one is not packing_of(GADGETS, compress=True)
    assert packing_of(GADGETS, compress=False) is None
    known = id(one)
    del one, two
    gc.collect()
    assert known not in map(id, packing._packings.values())


def gadget(number: int) -> bytes:
    return dump({**pod(f"g{number}", number + 1), "text": text(number).decode()})


@pytest.mark.usefixtures("early")
def test_a_list_is_kept_packed_from_its_first_object_to_its_last() -> None:
    projection = Projection(GADGETS, ("metadata.name",))
    store = Store(projection)
    entries = [projection.entry(gadget(number)) for number in range(60)]
    assert entries[0].codec is None

    store.replace(entries, 100)

    kept = store.entries()
    assert all(entry.codec is not None for entry in kept)
    assert [entry.raw for entry in kept] == [entry.raw for entry in entries]
    assert [entry.fields for entry in kept] == [(f"g{number}",) for number in range(60)]
    assert store.size == (60, sum(len(entry.stored) for entry in kept))
    assert store.size[1] < sum(len(entry.raw) for entry in kept) / 5
    store.check_invariants()


@pytest.mark.usefixtures("early")
def test_a_packed_entry_says_what_the_other_says() -> None:
    plain = Projection(GADGETS, compress=False)
    small = Projection(GADGETS, compress=True)
    for number in range(40):
        small.entry(gadget(number))
    annotated = dump(pod("a", 5, metadata={"annotations": {"b": "2", "a": "1"}}, text=text(7).decode()))

    one, two = plain.entry(annotated), small.entry(annotated)

    assert two.codec is not None
    assert one.codec is None
    assert one.raw == two.raw
    assert one.annotations == two.annotations == ("a", "1", "b", "2")
    wider = small.with_paths(("text",))
    assert wider.again(two) == wider.entry(annotated)
    assert wider.again(one) == wider.entry(annotated)
