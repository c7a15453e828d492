from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.errors import TransportError
from kcontroller.transport.lines import LineSplitter


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"d\ne", b"\n\n", b""])))
def test_what_goes_in_comes_out_however_it_was_cut(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk) if line]

    whole = b"".join(chunks)
    assert [*lines, *filter(None, [splitter.rest])] == [line for line in whole.split(b"\n") if line]


def test_a_chunk_gives_all_lines_that_it_completes() -> None:
    splitter = LineSplitter()

    assert splitter.feed(b'{"a":') == []
    assert splitter.feed(b'1}\n{"b":2}\n\n{"c"') == [b'{"a":1}', b'{"b":2}', b""]
    assert splitter.rest == b'{"c"'


@pytest.mark.parametrize(
    "chunks", [[b"123456"], [b"123", b"456"], [b"123", b"456\n"], [b"1\n123456\n1\n"], [b"\n123456"]]
)
def test_a_line_above_the_limit_is_an_error_that_says_so(chunks: list[bytes]) -> None:
    splitter = LineSplitter(limit=5)

    with pytest.raises(TransportError, match="longer than 5 bytes"):
        [splitter.feed(chunk) for chunk in chunks]
    assert splitter.rest == b""


def test_many_lines_in_one_chunk_may_together_exceed_the_limit() -> None:
    assert LineSplitter(limit=5).feed(b"12345\n12345\n") == [b"12345", b"12345"]


def test_a_line_in_many_pieces_is_not_copied_for_each_of_them() -> None:
    splitter = LineSplitter()
    started = time.thread_time()
    for _ in range(16_000):
        splitter.feed(b"x" * 1000)
    splitter.feed(b"\n")

    assert time.thread_time() - started < 1.0  # Copied each time: 128 GB, about a minute.
