"""The words for what cannot be read were taken from kube-apiserver 1.36.3, one request each."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.embedded import bodies
from kcontroller.embedded.bodies import syntax
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", "configmap", True, "v1", Schema({}))
WIDGET = Kind("example.com", "v1", "Widget", "widgets", "widget", True, "v1", Schema({}), builtin=False)
META = (
    r'Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; '
    r'Kind string "json:\"kind,omitempty\"" }'
)


def refused(raw: bytes, content_type: str = bodies.JSON, kind: Kind | None = CONFIG_MAP) -> Refusal:
    with pytest.raises(Refusal) as caught:
        bodies.decode(raw, content_type, kind=kind)
    return caught.value


def test_json_is_read() -> None:
    assert bodies.decode(b'{"kind":"ConfigMap","data":{"a":"b"}}', "") == {"kind": "ConfigMap", "data": {"a": "b"}}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b" ", "unexpected end of JSON input (20)"),
        (b"{", "unexpected end of JSON input ({)"),
        (b'{"a":', 'unexpected end of JSON input ({"a":)'),
        (b"[]", f"json: cannot unmarshal array into {META} (5b5d)"),
        (b"1", f"json: cannot unmarshal number into {META} (31)"),
        (b'"x"', f"json: cannot unmarshal string into {META} (227822)"),
        (
            b'{"apiVersion":1,"kind":"ConfigMap"}',
            (
                "json: cannot unmarshal number into Go struct field .apiVersion of type string "
                '({"apiVersion":1,"kind":"Config ...)'
            ),
        ),
        (b'{"data":{"a":NaN}}', 'invalid character \'N\' looking for beginning of value ({"data":{"a":NaN}})'),
        (b"{} trailing", "invalid character 't' after top-level value ({} trailing)"),
        (b"{'a'}", r"invalid character '\'' looking for beginning of object key string ({'a'})"),
        (b"\xff{}", "invalid character 'ÿ' looking for beginning of value (ff7b7d)"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value (efbbbf7b7d)"),
        (b'{"a":"\x01"}', 'invalid character \'\\x01\' in string literal ({"a":"\x01"})'),
    ],
)
def test_malformed_json_is_refused_in_gos_words(raw: bytes, said: str) -> None:
    refusal = refused(raw)
    prefix = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
    assert (refusal.code, refusal.reason) == (400, "BadRequest")
    assert refusal.message == f"{prefix}json parse error: {said}"


def test_options_have_no_kind_in_their_refusal() -> None:
    said = "couldn't get version/kind; json parse error: unexpected end of JSON input"
    assert refused(b"{", kind=None).message == said


@pytest.mark.parametrize("raw", [b"null", b"{}"])
def test_nothing_is_an_empty_document_for_a_built_in_kind(raw: bytes) -> None:
    assert bodies.decode(raw, bodies.JSON, kind=CONFIG_MAP) == {}


def test_a_custom_resource_must_say_its_kind() -> None:
    said = "the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing in '{}' ({})"
    assert refused(b"{}", kind=WIDGET).message == said


def test_an_api_version_with_two_slashes_is_none() -> None:
    assert "unexpected GroupVersion string: a/b/c (" in refused(b'{"apiVersion":"a/b/c","kind":"ConfigMap"}').message


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert bodies.decode(b'{"a":"\xff\xfe"}', bodies.JSON) == {"a": "\ufffd\ufffd"}


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert bodies.decode(rb'{"a":["\ud800","\ud83d\ude00"]}', bodies.JSON) == {"a": ["\ufffd", "😀"]}


def test_numbers_come_out_as_go_writes_them() -> None:
    document = bodies.decode(
        b'{"a":1.0,"b":1e3,"c":123456789012345678901234567890,"d":-0.5,"e":-9223372036854775808}', ""
    )
    assert json.dumps(document) == (
        '{"a": 1, "b": 1000, "c": 1.2345678901234568e+29, "d": -0.5, "e": -9223372036854775808}'
    )


def test_a_number_that_no_float_holds_is_refused() -> None:
    said = "json: cannot unmarshal number 1e400 into Go value of type float64"
    refusal = refused(b'{"kind":"Widget","n":1e400}', kind=WIDGET)
    assert refusal.message == f'Widget in version "v1" cannot be handled as a Widget: {said}'


def test_a_long_integer_costs_no_long_conversion() -> None:
    assert refused(b'{"n":' + b"9" * 100_000 + b"}").code == 400


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_where_it_becomes_too_deep(opening: bytes) -> None:
    said = f"invalid character '{opening[:1].decode()}' exceeded max depth ("
    assert said in refused(b'{"x":' + opening * 10_000).message


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = bodies.MAX_DEPTH
    raw = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    assert bodies.decode(raw, bodies.JSON)
    assert refused(raw.replace(b"[]", b"[[]]")).code == 400


def test_keys_that_stand_twice_are_named_with_their_path() -> None:
    raw = b'{"metadata":{"name":"a","name":"b"},"o":[{"n":1,"n":2}],"data":{"a":"1","a":"2"},"data":{}}'
    body = bodies.read(raw, bodies.JSON)
    assert body.document == {"metadata": {"name": "b"}, "o": [{"n": 2}], "data": {}}
    assert body.duplicates == (
        'duplicate field "metadata.name"',
        'duplicate field "o[0].n"',
        'duplicate field "data.a"',
        'duplicate field "data"',
    )
    assert body.strict == ", ".join(body.duplicates)


def test_no_more_than_a_hundred_keys_are_named() -> None:
    raw = "{" + ",".join(f'"{number // 2}":1' for number in range(1000)) + "}"
    assert len(bodies.read(raw.encode(), bodies.JSON).duplicates) == 100


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/json;foo",
        "application/json, text/plain",
        "*/*",
        "bad",
        "application/merge-patch+json",
    ],
)
def test_other_formats_are_refused(content_type: str) -> None:
    refusal = refused(b"{}", content_type)
    assert (refusal.code, refusal.reason, refusal.details) == (415, "UnsupportedMediaType", None)
    assert refusal.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.parametrize(
    "content_type", ["", "application/json; charset=utf-8", "application/JSON", "application/json ;a=b"]
)
def test_json_has_several_names(content_type: str) -> None:
    assert bodies.decode(b'{"a":1}', content_type) == {"a": 1}


def test_a_body_over_the_limit_is_refused() -> None:
    refusal = refused(b" " * (bodies.LIMIT + 1))
    assert (refusal.code, refusal.reason) == (413, "RequestEntityTooLarge")
    assert refusal.message == "Request entity too large: limit is 3145728"


def test_yaml_is_that_of_go() -> None:
    raw = b'a: [1.0, 010, 0x1F, 1e3, y, Off, ~, 2020-01-01, 1:30, "1", 089, 1_000, NaN]\n1: a\ntrue: b\n'
    assert bodies.decode(raw, bodies.YAML) == {
        "a": [1, 8, 31, 1000, True, False, None, "2020-01-01", "1:30", "1", 89, 1000, "NaN"],
        "1": "a",
        "true": "b",
    }


def test_json_is_yaml_too() -> None:
    assert bodies.decode(b'{"a":{"b":[1]}}', bodies.YAML) == {"a": {"b": [1]}}


def test_only_the_first_document_counts() -> None:
    assert bodies.decode(b"a: 1\n---\nb: 2\n", bodies.YAML) == {"a": 1}


def test_an_empty_yaml_body_is_an_empty_document() -> None:
    assert bodies.decode(b"", bodies.YAML, kind=CONFIG_MAP) == {}


def test_values_that_aliases_share_are_separate() -> None:
    document = bodies.decode(b"a: &x {c: 1}\nb: *x\n", bodies.YAML)
    document["a"]["c"] = 2
    assert document["b"] == {"c": 1}


def test_merge_keys_are_written_out() -> None:
    raw = b"base: &x {a: 1, b: 1}\nd: {<<: *x, b: 2}\ne: {b: 2, <<: [{a: 3}, *x]}\n"
    document = bodies.decode(raw, bodies.YAML)
    assert (document["d"], document["e"]) == ({"a": 1, "b": 2}, {"b": 1, "a": 3})


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"a: [", "yaml: line 1: did not find expected node content (613a205b)"),
        (b"\tfoo", "yaml: found character that cannot start any token (09666f6f)"),
        (b"a: *b", "yaml: unknown anchor 'b' referenced (613a202a62)"),
        (b"a: &a [*a]\n", "yaml: anchor 'a' value contains itself (613a202661205b2a615d0a)"),
        (b'{"a":"\xff"}', 'yaml: invalid leading UTF-8 octet ({"a":"\ufffd"})'),
        (b"a: .inf", "json: unsupported value: +Inf (613a202e696e66)"),
        (b"- a", f"couldn't get version/kind; json parse error: json: cannot unmarshal array into {META} (2d2061)"),
        (b'{~: "y"}', 'unsupported map key of type: %!s(<nil>), key: <nil>, value: "y" ({~: "y"})'),
    ],
)
def test_malformed_yaml_is_refused_in_gos_words(raw: bytes, said: str) -> None:
    assert (
        refused(raw, bodies.YAML).message == f"the object provided is unrecognized (must be of type ConfigMap): {said}"
    )


def test_a_tag_that_names_a_class_means_nothing() -> None:
    assert bodies.decode(b"a: !!python/object/apply:os.system [x]\nb: !!python/name:os.system x", bodies.YAML) == {
        "a": ["x"],
        "b": "x",
    }


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    assert "yaml: document contains excessive aliasing" in refused("\n".join(lines).encode(), bodies.YAML).message


def test_a_large_yaml_list_without_aliases_is_read() -> None:
    assert len(bodies.decode(b"a: [" + b"1," * 2000 + b"1]", bodies.YAML)["a"]) == 2001


def test_deep_yaml_is_refused() -> None:
    assert "yaml: exceeded max depth of 10000" in refused(b"a: " + b"[" * 2000, bodies.YAML).message


def test_yaml_keys_that_stand_twice_are_named_with_their_line() -> None:
    body = bodies.read(b'data:\n  a: "1"\n  a: "2"\ndata: {}\n', bodies.YAML)
    assert body.document == {"data": {}}
    assert body.duplicates == ('line 3: key "a" already set in map', 'line 4: key "data" already set in map')
    assert body.strict == (
        'yaml: unmarshal errors:\n  line 3: key "a" already set in map\n  line 4: key "data" already set in map'
    )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b"tru", "unexpected end of JSON input"),
        (b"01", "invalid character '1' after top-level value"),
        (b"-a", "invalid character 'a' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"1e+", "unexpected end of JSON input"),
        (rb'"\x"', "invalid character 'x' in string escape code"),
        (rb'"\u12g4"', r"invalid character 'g' in \u hexadecimal character escape"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1,2,,]", "invalid character ',' looking for beginning of value"),
        (b'"a\nb"', r"invalid character '\n' in string literal"),
        (b'{"a":[{},{"b":null}]}', ""),
    ],
)
def test_faults_of_json_are_named_as_go_names_them(raw: bytes, said: str) -> None:
    assert syntax.fault_of(raw) == said


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=30)
@given(JSON_TEXTS, st.integers(0, 200), st.binary(max_size=2))
def test_a_text_has_a_fault_exactly_if_python_cannot_read_it(text: bytes, at: int, change: bytes) -> None:
    raw = text[:at] + change + text[at + 1 :]
    try:
        json.JSONDecoder(parse_constant=lambda _: json.loads("")).decode(raw.decode("latin-1"))
    except ValueError:
        assert syntax.fault_of(raw)
    else:
        assert syntax.fault_of(raw) == ""


@settings(max_examples=30)
@given(st.binary(max_size=60) | st.text(alphabet="abc:-[]{}&*!<>|'\"#\n ,?%@~", max_size=60).map(str.encode))
def test_whatever_comes_as_yaml_is_a_document_or_a_refusal(raw: bytes) -> None:
    try:
        outcome = bodies.decode(raw, bodies.YAML)
    except Refusal as refusal:
        outcome = {"code": refusal.code}
    assert isinstance(outcome, dict)


@pytest.mark.parametrize(("raw", "value"), [(b"a: <<", "<<"), (b"a: [<<]", ["<<"]), (b"{<<: {a: 1}}", 1)])
def test_the_sign_of_a_merge_is_text_where_it_is_no_key(raw: bytes, value: object) -> None:
    assert bodies.decode(raw, bodies.YAML)["a"] == value
