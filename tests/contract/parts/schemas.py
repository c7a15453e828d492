from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import CRDS, INTEGER, STRING, WIDGET, closed, crd, version

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("CRDs")


@case
def a_schema_is_structural(api: Dialogue) -> None:
    def refused(schema: dict[str, Any]) -> None:
        api.post(CRDS, crd(api.group, schema=closed(spec=schema)), expect=422)

    refused({"properties": {"a": STRING}})
    refused({"type": "array"})
    refused({"type": "object", "additionalProperties": STRING, "properties": {"a": STRING}})
    refused({"type": "string", "default": 1})
    refused({"anyOf": [{"type": "string"}, {"type": "integer"}]})


@case
def a_root_schema_is_an_object(api: Dialogue) -> None:
    api.post(CRDS, crd(api.group, schema={"type": "string"}), expect=422)
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"metadata": closed(x=STRING)},
    }
    api.post(CRDS, crd(api.group, schema=schema), expect=422)


@case
def types_are_validated(api: Dialogue) -> None:
    widget = api.define()
    for spec in ({"size": "one"}, {"size": 1.5}, {"colour": 1}, {"tags": "a"}, {"tags": ["a", 1]}, "none", ["none"]):
        api.post(widget.path, widget.make("a", spec=spec), expect=422)


@case
def values_are_validated(api: Dialogue) -> None:
    spec = closed(
        low={**INTEGER, "minimum": 1},
        high={**INTEGER, "maximum": 9, "exclusiveMaximum": True},
        even={**INTEGER, "multipleOf": 2},
        short={**STRING, "maxLength": 3},
        long={**STRING, "minLength": 3},
        shaped={**STRING, "pattern": "^[a-z]+$"},
        few={"type": "array", "items": STRING, "maxItems": 1},
        many={"type": "array", "items": STRING, "minItems": 2},
        chosen={**STRING, "enum": ["a", "b"]},
        few_names={"type": "object", "additionalProperties": STRING, "maxProperties": 1},
    )
    thing = api.define(schema=closed(spec=spec))
    wrong: tuple[dict[str, Any], ...] = (
        {"low": 0},
        {"high": 9},
        {"even": 3},
        {"short": "abcd"},
        {"long": "ab"},
        {"shaped": "A1"},
        {"few": ["a", "b"]},
        {"many": ["a"]},
        {"chosen": "c"},
        {"few_names": {"a": "1", "b": "2"}},
    )
    for values in wrong:
        api.post(thing.path, thing.make("a", spec=values), expect=422)


@case
def required_fields_are_named(api: Dialogue) -> None:
    inner = {**closed(name=STRING), "required": ["name"]}
    spec = {**closed(size=INTEGER, parts={"type": "array", "items": inner}), "required": ["size"]}
    thing = api.define(schema={**closed(spec=spec), "required": ["spec"]})
    api.post(thing.path, thing.make("a"), expect=422)
    api.post(thing.path, thing.make("a", spec={}), expect=422)
    api.post(thing.path, thing.make("a", spec={"size": 1, "parts": [{"name": "x"}, {}]}), expect=422)


@case
def several_faults_are_told_at_once(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": -1}, status={"phase": 1}), expect=422)
    api.post(widget.path, widget.make("Not_Good", metadata={"labels": {"a b": "c"}}, spec={"size": 1}), expect=422)


@case
def formats_are_validated(api: Dialogue) -> None:
    spec = closed(
        at={**STRING, "format": "date-time"},
        address={**STRING, "format": "ipv4"},
        data={**STRING, "format": "byte"},
        unknown={**STRING, "format": "of-our-own"},
        small={**INTEGER, "format": "int32"},
    )
    thing = api.define(schema=closed(spec=spec))
    for values in ({"at": "today"}, {"address": "1.2.3"}, {"data": "%%"}, {"small": 2**40}):
        api.post(thing.path, thing.make("a", spec=values), expect=422)
    api.post(thing.path, thing.make("a", spec={"at": "2001-01-01T00:00:00Z", "unknown": "anything"}))


@case
def unknown_fields_are_pruned(api: Dialogue) -> None:
    widget = api.define()
    body = widget.make("a", spec={"size": 1, "unknown": {"x": 1}}, unknown=1)
    api.post(widget.path, body, fieldValidation="Strict", expect=400)
    api.post(widget.path, body)
    api.patch(f"{widget.path}/a", {"spec": {"other": 1}})


@case
def unknown_fields_are_preserved_where_the_schema_says_so(api: Dialogue) -> None:
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": closed(a=STRING)}}
    thing = api.define(schema=closed(spec=kept))
    spec = {"unknown": {"x": [1]}, "known": {"a": "1", "b": "2"}}
    api.post(thing.path, thing.make("a", spec=spec), fieldValidation="Strict", expect=400)
    api.post(thing.path, thing.make("a", spec=spec))


@case
def fields_have_defaults(api: Dialogue) -> None:
    item = closed(name=STRING, weight={**INTEGER, "default": 5})
    spec = {
        **closed(
            size={**INTEGER, "default": 3},
            colour={**STRING, "default": "red"},
            parts={"type": "array", "items": item},
            nested={**closed(x={**INTEGER, "default": 1}), "default": {}},
            absent=closed(x={**INTEGER, "default": 1}),
        ),
        "default": {},
    }
    thing = api.define(schema=closed(spec=spec))
    api.post(thing.path, thing.make("a"))
    given = {"size": 4, "colour": None, "parts": [{"name": "x"}, {"weight": 0}], "absent": {}}
    api.post(thing.path, thing.make("b", spec=given))
    api.patch(f"{thing.path}/b", {"spec": {"size": None}})


@case
def defaults_come_when_objects_are_read(api: Dialogue) -> None:
    thing = api.define(schema=closed(spec=closed(size=INTEGER)))
    api.post(thing.path, thing.make("a", spec={}))
    found = api.quietly("GET", thing.at)
    changed = copy.deepcopy(found.body)
    shape = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    shape["properties"]["spec"]["properties"]["colour"] = {"type": "string", "default": "red"}
    assert api.quietly("PUT", thing.at, changed).code == 200
    api.until(f"{thing.path}/a", lambda answer: answer["spec"] == {"colour": "red"})
    api.until(thing.path, lambda answer: answer["items"][0]["spec"] == {"colour": "red"})
    api.get(f"{thing.path}/a")
    api.get(thing.path)


@case
def null_is_for_nullable_fields(api: Dialogue) -> None:
    thing = api.define(schema=closed(spec=closed(free={**STRING, "nullable": True}, strict=STRING)))
    api.post(thing.path, thing.make("a", spec={"free": None}))
    api.post(thing.path, thing.make("b", spec={"strict": None}))
    api.post(thing.path, thing.make("c", spec=None))


@case
def a_number_or_a_text(api: Dialogue) -> None:
    thing = api.define(schema=closed(spec=closed(port={"x-kubernetes-int-or-string": True})))
    api.post(thing.path, thing.make("a", spec={"port": 80}))
    api.post(thing.path, thing.make("b", spec={"port": "http"}))
    api.post(thing.path, thing.make("c", spec={"port": True}), expect=422)


@case
def embedded_resources_are_checked(api: Dialogue) -> None:
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    thing = api.define(schema=closed(spec=closed(template=embedded)))
    api.post(thing.path, thing.make("a", spec={"template": {"metadata": {"name": "x"}}}), expect=422)
    inner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "other": 1}
    api.post(thing.path, thing.make("a", spec={"template": inner}))


@case
def lists_with_keys_have_each_key_once(api: Dialogue) -> None:
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {**closed(name=STRING), "required": ["name"]},
    }
    distinct = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}
    thing = api.define(schema=closed(spec=closed(keyed=keyed, distinct=distinct)))
    api.post(thing.path, thing.make("a", spec={"keyed": [{"name": "x"}, {"name": "x"}]}), expect=422)
    api.post(thing.path, thing.make("a", spec={"distinct": ["x", "y", "x"]}), expect=422)


@case
def rules_are_evaluated(api: Dialogue) -> None:
    rules = [{"rule": "self.low <= self.high", "message": "low must not exceed high"}]
    spec = {**closed(low=INTEGER, high=INTEGER), "x-kubernetes-validations": rules}
    thing = api.define(schema=closed(spec=spec))
    api.post(thing.path, thing.make("a", spec={"low": 1, "high": 2}))
    api.post(thing.path, thing.make("b", spec={"low": 3, "high": 2}), expect=422)


@case
def an_old_fault_does_not_stop_other_changes(api: Dialogue) -> None:
    thing = api.define(schema=closed(spec=closed(size=INTEGER, other=INTEGER)))
    api.post(thing.path, thing.make("a", spec={"size": 1}))
    found = api.quietly("GET", thing.at)
    changed = copy.deepcopy(found.body)
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] = {
        "type": "integer",
        "minimum": 5,
    }
    assert api.quietly("PUT", thing.at, changed).code == 200
    api.until(
        thing.path,
        lambda _: api.quietly("POST", thing.path, thing.make("x", spec={"size": 1}), dryRun="All").code == 422,
    )
    api.patch(f"{thing.path}/a", {"spec": {"other": 1}})
    api.patch(f"{thing.path}/a", {"spec": {"size": 2}}, expect=422)


@case
def a_new_schema_holds_at_once(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a", spec={"size": 1}))
    shape = copy.deepcopy(WIDGET)
    shape["properties"]["spec"]["properties"]["extra"] = INTEGER
    versions = [version(schema=shape)]
    assert api.quietly("PUT", widget.at, api.quietly("GET", widget.at).but(spec={"versions": versions})).code == 200
    body = widget.make("b", spec={"extra": 1})
    api.until(
        widget.path,
        lambda _: api.quietly("POST", widget.path, body, dryRun="All", fieldValidation="Strict").code == 201,
    )
    api.patch(f"{widget.path}/a", {"spec": {"extra": 1}})
