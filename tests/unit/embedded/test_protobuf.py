"""Bodies in protobuf, compared with what the Go types of Kubernetes read from them (recorded in data/)."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.embedded.bodies import messages, protobuf, wire
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLES: dict[str, list[dict[str, Any]]] = json.loads(
    gzip.decompress((Path(__file__).parent / "data" / "protobuf-samples.json.gz").read_bytes())
)
_CRD = "apiextensions.k8s.io/v1"
_CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", "configmap", True, "v1", Schema({}))


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def sent(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return protobuf.MAGIC + sent(1, sent(1, api_version.encode()) + sent(2, kind.encode())) + sent(2, raw)


def config_map(raw: bytes) -> dict[str, Any]:
    return protobuf.decode(body("v1", "ConfigMap", raw))


def schema(raw: bytes) -> Any:
    """Read a JSONSchemaProps as the schema of a CRD's first version."""
    version = sent(4, sent(1, raw))
    crd = protobuf.decode(body(_CRD, "CustomResourceDefinition", sent(2, sent(7, version))))
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def refusal(raw: bytes, kind: Kind | None = None) -> str:
    with pytest.raises(Refusal) as caught:
        protobuf.decode(raw, kind=kind)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    return caught.value.message


@pytest.mark.parametrize("kind", sorted(_SAMPLES))
def test_every_kind_reads_as_go_reads_it(kind: str) -> None:
    for sample in _SAMPLES[kind]:
        assert protobuf.decode(base64.b64decode(sample["protobuf"])) == sample["json"]


def test_every_field_of_every_message_is_in_some_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [messages.message(name) for name in messages.every_name()]
    wanted = {(id(shape.wires), number) for shape in shapes for number in shape.wires}
    gather = wire.gather

    def spy(data: bytes, name: str, wires: Mapping[int, int]) -> dict[int, list[Any]]:
        seen = gather(data, name, wires)
        wanted.difference_update((id(wires), number) for number in seen)
        return seen

    monkeypatch.setattr(wire, "gather", spy)
    for sample in (sample for samples in _SAMPLES.values() for sample in samples):
        protobuf.decode(base64.b64decode(sample["protobuf"]))
    assert not wanted


def test_delete_options_are_read_in_any_group() -> None:
    for version in ("v1", "apps/v1", "meta.k8s.io/v1", "example.io/v1alpha1"):
        options = protobuf.decode(body(version, "DeleteOptions", sent(4, b"Orphan") + sent(2, sent(1, b"u"))))
        assert options == {
            "kind": "DeleteOptions",
            "apiVersion": version,
            "preconditions": {"uid": "u"},
            "propagationPolicy": "Orphan",
        }


def test_what_the_envelope_leaves_open_is_taken_from_the_path() -> None:
    raw = protobuf.MAGIC + sent(2, sent(1, sent(1, b"a")))
    assert protobuf.decode(raw, kind=_CONFIG_MAP) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a"},
    }
    missing = "Object 'Kind' is missing in 'runtime.TypeMeta{APIVersion:\"\", Kind:\"\"}'"
    assert refusal(raw) == missing


def test_unknown_fields_are_skipped() -> None:
    strange = sent(99, b"?") + sent(100, 7) + varint(101 << 3 | 1) + bytes(8) + varint(102 << 3 | 5) + bytes(4)
    assert config_map(strange + sent(1, sent(1, b"a")) + strange)["metadata"] == {"name": "a"}


def test_a_message_in_pieces_is_merged_and_the_last_scalar_wins() -> None:
    pieces = sent(1, sent(1, b"a") + sent(3, b"n")) + sent(1, sent(1, b"b"))
    assert config_map(pieces)["metadata"] == {"name": "b", "namespace": "n"}


def test_text_that_is_no_utf_8_is_replaced() -> None:
    assert config_map(sent(1, sent(1, b"a\xff")))["metadata"]["name"] == "a\ufffd"


def test_an_entry_of_a_map_may_lack_key_or_value() -> None:
    assert config_map(sent(2, sent(1, b"k")) + sent(2, sent(2, b"v")))["data"] == {"k": "", "": "v"}


def test_negative_and_packed_numbers_are_read() -> None:
    minus = 2**64 - 5
    pod = protobuf.decode(body("v1", "Pod", sent(2, sent(25, minus) + sent(14, sent(4, varint(3) + varint(minus))))))
    assert pod["spec"]["priority"] == -5
    assert pod["spec"]["securityContext"]["supplementalGroups"] == [3, -5]


def test_a_schema_may_be_a_schema_a_boolean_or_a_list() -> None:
    string = sent(5, b"string")
    assert schema(sent(30, sent(1, 1)))["additionalProperties"] is True
    assert schema(sent(30, sent(1, 0)))["additionalProperties"] is False
    assert schema(sent(30, sent(1, 1) + sent(2, string)))["additionalProperties"] == {"type": "string"}
    assert schema(sent(24, sent(1, string)))["items"] == {"type": "string"}
    assert schema(sent(24, sent(2, string) + sent(2, b"")))["items"] == [{"type": "string"}, {}]


def test_a_whole_number_has_no_point() -> None:
    value = schema(varint(9 << 3 | 1) + struct.pack("<d", 3.0))["maximum"]
    assert (value, type(value)) == (3, int)


def test_an_object_inside_a_list_may_be_protobuf_itself() -> None:
    inner = body("v1", "ConfigMap", sent(1, sent(1, b"a")))
    listing = protobuf.decode(body("v1", "List", sent(2, sent(1, inner)) + sent(2, sent(1, b'{"a":1}'))))
    assert listing["items"] == [{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}, {"a": 1}]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty data (<empty>)"),
        (b"abc", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (616263)"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})"),
        (b"k8s\0", "empty body (6b387300)"),
        (b"k8s\0\xff\xff\xff", "unexpected EOF (6b387300ffffff)"),
    ],
)
def test_what_has_no_envelope_is_refused_in_the_words_of_the_api_server(raw: bytes, message: str) -> None:
    expected = f"the object provided is unrecognized (must be of type ConfigMap): {message}"
    assert refusal(raw, kind=_CONFIG_MAP) == expected


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x0a\x50abc", "unexpected EOF"),
        (b"\x0c", "proto: ConfigMap: wiretype end group for non-group"),
        (b"\x00\x01", "proto: ConfigMap: illegal tag 0 (wire type 0)"),
        (b"\x80" * 12, "proto: integer overflow"),
        (b"\x08\x01", "proto: wrong wireType = 0 for field 1 of ConfigMap"),
        (b"\x0b\x0c", "proto: illegal wireType 3"),
    ],
)
def test_an_object_that_cannot_be_read_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    expected = f'ConfigMap in version "v1" cannot be handled as a ConfigMap: {why}'
    assert refusal(body("v1", "ConfigMap", raw), kind=_CONFIG_MAP) == expected
    assert refusal(body("v1", "ConfigMap", raw)) == why


def test_an_unknown_kind_is_named() -> None:
    why = 'no kind "Foo" is registered for version "foo.io/v1" in scheme "pkg/runtime/scheme.go:111"'
    expected = f'Foo in version "v1" cannot be handled as a ConfigMap: {why}'
    assert refusal(body("foo.io/v1", "Foo", b""), kind=_CONFIG_MAP) == expected


def test_raw_json_that_is_none_is_refused() -> None:
    revision = body("apps/v1", "ControllerRevision", sent(2, sent(1, b"{")))
    assert "truncated" in refusal(revision)


def test_an_impossible_value_is_refused() -> None:
    late = sent(1, sent(8, sent(1, 2**62)))
    assert refusal(body("v1", "ConfigMap", late)) == "proto: a time out of range"
    port = sent(2, sent(1, sent(4, sent(1, 2))))
    assert refusal(body("v1", "Service", port)) == "impossible IntOrString.Type"


def test_nesting_is_bounded() -> None:
    nested = b""
    for _ in range(3000):
        nested = sent(28, nested)  # `not`
    crd = body(_CRD, "CustomResourceDefinition", sent(2, sent(7, sent(4, sent(1, nested)))))
    assert refusal(crd) == "proto: too many or too deeply nested messages"
    listing = b""
    for _ in range(3000):
        listing = sent(2, sent(1, body("v1", "List", listing)))
    assert refusal(body("v1", "List", listing)) == "proto: too many or too deeply nested messages"


def test_the_number_of_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "_MAX_MESSAGES", 100)
    few, many = (body("v1", "Pod", sent(2, sent(2, b"") * count)) for count in (10, 90))
    assert len(protobuf.decode(few)["spec"]["containers"]) == 10
    assert refusal(many) == "proto: too many or too deeply nested messages"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_damaged_body_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(_SAMPLES["v1/Pod"] + _SAMPLES[f"{_CRD}/CustomResourceDefinition"]))
    raw = bytearray(base64.b64decode(sample["protobuf"]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        document = protobuf.decode(bytes(raw[: data.draw(st.integers(4, len(raw)))]))
    except Refusal as refused:
        assert refused.code == 400  # noqa: PT017 - either is right
    else:
        json.dumps(document)
