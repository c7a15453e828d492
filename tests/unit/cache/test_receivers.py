from __future__ import annotations

import pytest

from kcontroller.cache.receivers import PageReceiver, WatchReceiver, garbled
from kcontroller.errors import ApiError, Garbled, Invalid, TooManyRequests, TransportError
from kcontroller.transport.lines import LIMIT
from tests.unit.cache.objects import PODS, dump, status


class Ear:
    """Writes down what a receiver tells."""

    mapping = PODS

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.lines: list[bytes] = []
        self.error: Exception | None = None

    def on_opened(self) -> None:
        self.heard.append("opened")

    def on_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            if line == b"garbage":
                raise garbled(ValueError("no event"))
            if line == b"fault":
                raise LookupError(line)
            self.lines.append(line)

    def on_page(self, body: bytes) -> None:
        self.heard.append(body)

    def on_failed(self, error: Exception) -> None:
        self.heard.append("failed")
        self.error = error

    def on_ended(self) -> None:
        self.heard.append("ended")

    def on_fault(self, error: Exception) -> None:
        self.heard.append("fault")
        self.error = error


@pytest.fixture
def ear() -> Ear:
    return Ear()


TEXT = b'{"type":"A"}\n\n{"type":"B"}\n{"long":"' + b"x" * 100 + b'"}\n'
LINES = [b'{"type":"A"}', b'{"type":"B"}', b'{"long":"' + b"x" * 100 + b'"}']


@pytest.mark.parametrize("size", [*range(1, 40), len(TEXT)])
def test_a_watch_cut_into_pieces_of_any_size_gives_the_same_lines(ear: Ear, size: int) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(200, {})
    for start in range(0, len(TEXT), size):
        receiver.on_data(TEXT[start : start + size])
    receiver.on_end(None)

    assert ear.lines == LINES
    assert ear.heard == ["opened", "ended"]


@pytest.mark.parametrize("cut", [1, 12, 14, 20, len(TEXT) - 1])
def test_a_watch_that_ends_inside_a_line_has_failed(ear: Ear, cut: int) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(200, {})
    receiver.on_data(TEXT[:cut])
    receiver.on_end(None)

    complete = TEXT[:cut].endswith(b"\n")
    assert ear.heard == ["opened", "ended" if complete else "failed"]


def test_a_line_that_is_no_event_ends_the_stream(ear: Ear) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(200, {})

    with pytest.raises(Garbled):
        receiver.on_data(b"1\ngarbage\n2\n")
    assert ear.lines == [b"1"]


def test_a_line_beyond_the_limit_ends_the_stream_and_is_not_kept(ear: Ear) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(200, {})
    piece = b"x" * (LIMIT // 4)

    for _ in range(4):
        receiver.on_data(piece)
    with pytest.raises(TransportError, match="longer than"):
        receiver.on_data(piece)
    assert receiver._lines.rest == b""


def test_a_fault_of_ours_in_a_line_is_told_to_the_listener(ear: Ear) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(200, {})
    receiver.on_data(b"fault\n")

    assert ear.heard == ["opened", "fault"]
    assert isinstance(ear.error, LookupError)


def test_a_fault_of_ours_at_the_end_is_told_to_the_listener(ear: Ear) -> None:
    class Broken(Ear):
        def on_page(self, body: bytes) -> None:
            raise LookupError(body)

    broken = Broken()
    receiver = PageReceiver(broken)
    receiver.on_response(200, {})
    receiver.on_end(None)

    assert broken.heard == ["opened", "fault"]


def test_a_page_is_told_whole(ear: Ear) -> None:
    receiver = PageReceiver(ear)
    receiver.on_response(200, {})
    receiver.on_data(b"one ")
    receiver.on_data(b"two")
    assert ear.heard == ["opened"]
    receiver.on_end(None)

    assert ear.heard == ["opened", b"one two"]


@pytest.mark.parametrize("receiver_type", [WatchReceiver, PageReceiver])
def test_a_transport_error_is_handed_on(ear: Ear, receiver_type: type[WatchReceiver | PageReceiver]) -> None:
    receiver = receiver_type(ear)
    receiver.on_response(200, {})
    receiver.on_data(b"half a")
    error = TransportError("cut")
    receiver.on_end(error)

    assert ear.error is error
    assert ear.heard == ["opened", "failed"]


@pytest.mark.parametrize(("receiver_type", "verb"), [(WatchReceiver, "watch"), (PageReceiver, "list")])
def test_an_error_answer_names_verb_resource_and_text(
    ear: Ear, receiver_type: type[WatchReceiver | PageReceiver], verb: str
) -> None:
    receiver = receiver_type(ear)
    receiver.on_response(422, {})
    for byte in dump(status(422, "it does not fit", causes=("FieldInvalid",))):
        receiver.on_data(bytes([byte]))
    receiver.on_end(None)

    assert isinstance(ear.error, Invalid)
    assert str(ear.error) == f"{verb} pods: 422: it does not fit"
    assert ear.error.causes == ("FieldInvalid",)
    assert "opened" not in ear.heard


@pytest.mark.parametrize("headers", [{"retry-after": "7"}, {}])
def test_retry_after_comes_from_the_header_or_the_status(ear: Ear, headers: dict[str, str]) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(429, headers)
    receiver.on_data(dump({"code": 429, "details": {"retryAfterSeconds": 9}}))
    receiver.on_end(None)

    assert isinstance(ear.error, TooManyRequests)
    assert ear.error.retry_after == (7 if headers else 9)


@pytest.mark.parametrize("code", [201, 204, 301, 302, 400, 499, 500, 599])
def test_any_status_but_200_is_an_error(ear: Ear, code: int) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(code, {})
    receiver.on_data(b"1\n2\n")
    receiver.on_end(None)

    assert isinstance(ear.error, ApiError)
    assert ear.error.status == code
    assert ear.lines == []


def test_the_body_of_an_error_is_not_collected_without_end(ear: Ear) -> None:
    receiver = WatchReceiver(ear)
    receiver.on_response(500, {})
    for _ in range(1000):
        receiver.on_data(b"x" * 10_000)
    kept = sum(map(len, receiver._body))
    receiver.on_end(None)

    assert kept < 100_000
    assert len(str(ear.error)) < 400
