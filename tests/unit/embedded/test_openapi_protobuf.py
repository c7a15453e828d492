"""The encoding that kubectl reads; tests/clients shows that it does."""

from __future__ import annotations

import json
import struct
from typing import Any

from kcontroller.embedded.bodies import wire
from kcontroller.embedded.views import openapi_protobuf

BYTES, VARINT, DOUBLE = wire.BYTES, wire.VARINT, wire.FIXED64


def document(**definitions: Any) -> dict[str, Any]:
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1"}, "paths": {}, "definitions": definitions}


def inner(data: bytes, number: int, encoding: int = BYTES) -> list[Any]:
    return wire.gather(data, "test", {number: encoding}).get(number, [])


def schema(node: dict[str, Any]) -> bytes:
    """Encode one definition and give its Schema message."""
    (definitions,) = inner(openapi_protobuf.encode(document(A=node)), 9)
    (named,) = inner(definitions, 1)
    assert inner(named, 1) == [b"A"]
    (found,) = inner(named, 2)
    return bytes(found)


def test_a_document_has_its_version_title_and_every_definition() -> None:
    encoded = openapi_protobuf.encode(document(A={}, B={}))
    assert inner(encoded, 1) == [b"2.0"]
    (info,) = inner(encoded, 2)
    assert (inner(info, 1), inner(info, 2)) == ([b"Kubernetes"], [b"v1"])
    (definitions,) = inner(encoded, 9)
    assert [inner(named, 1) for named in inner(definitions, 1)] == [[b"A"], [b"B"]]


def test_properties_are_named_schemas_with_a_type() -> None:
    node = schema({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string"}}})
    assert inner(inner(node, 22)[0], 1) == [b"object"]
    assert inner(node, 19) == [b"a", b"b"]
    (named,) = inner(inner(node, 25)[0], 1)
    assert inner(named, 1) == [b"a"]
    assert inner(inner(inner(named, 2)[0], 22)[0], 1) == [b"string"]


def test_lists_and_maps_hold_a_schema() -> None:
    items = schema({"items": {"$ref": "#/definitions/B"}})
    assert inner(inner(inner(items, 23)[0], 1)[0], 1) == [b"#/definitions/B"]
    values = schema({"additionalProperties": {"format": "byte"}})
    assert inner(inner(inner(values, 21)[0], 1)[0], 2) == [b"byte"]
    assert inner(inner(schema({"additionalProperties": False}), 21)[0], 2, VARINT) == [0]


def test_limits_are_numbers() -> None:
    node = schema({"minimum": 1, "maximum": 2.5, "maxLength": 300, "uniqueItems": True})
    assert [struct.unpack("<d", value) for number in (9, 7) for value in inner(node, number, DOUBLE)] == [
        (1.0,),
        (2.5,),
    ]
    assert (inner(node, 11, VARINT), inner(node, 16, VARINT)) == ([300], [1])


def test_extensions_and_enums_are_yaml() -> None:
    kinds = [{"group": "", "kind": "A", "version": "v1"}]
    node = schema({"x-kubernetes-group-version-kind": kinds, "enum": ["x", 1]})
    (named,) = inner(node, 31)
    assert inner(named, 1) == [b"x-kubernetes-group-version-kind"]
    assert json.loads(inner(inner(named, 2)[0], 2)[0]) == kinds
    assert [inner(value, 2) for value in inner(node, 20)] == [[b'"x"'], [b"1"]]


def test_what_the_message_has_no_field_for_is_left_out() -> None:
    assert schema({"nullable": True, "anyOf": [{}]}) == b""
