"""CustomResourceDefinitions: refusals, defaults, kinds and status, against those of a real kube-apiserver."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kcontroller.embedded import definitions, recorded, validation
from kcontroller.embedded.definitions.patterns import wrong
from kcontroller.embedded.kinds import Catalog
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.validation import metadata, structural
from tests.unit.embedded.real_refusals import REAL, builtin, expected, written

ESTABLISHED: dict[str, Any] = REAL["established"]
LATER = "2030-01-01T00:00:00Z"


def _answer(sent: dict[str, Any], old: dict[str, Any] | None = None) -> Any:
    kind = builtin("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    crd = copy.deepcopy(sent)
    try:
        validation.decode(kind, crd)
    except Refusal as refusal:
        return refusal.message
    structural.prune(kind.schema, crd)
    structural.default(kind.schema, crd)
    definitions.complete(crd)
    names = metadata.check(kind, crd) if old is None else metadata.check_update(kind, crd, old)
    return written([*names, *definitions.check(crd, old)])


def _fresh(**changes: Any) -> dict[str, Any]:
    crd = copy.deepcopy(ESTABLISHED)
    del crd["status"]
    crd["spec"].update(changes)
    return crd


def _catalog(*crds: dict[str, Any]) -> Catalog:
    known = recorded.load()
    catalog = Catalog(known.kinds, known.groups)
    for crd in crds:
        catalog.replace(crd["metadata"]["name"], definitions.kinds_of(crd))
    return catalog


def _version(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "object"}}, **more}


@pytest.mark.parametrize("case", REAL["definitions"], ids=lambda case: str(case["object"]["spec"])[-100:])
def test_a_definition_is_refused_in_the_real_words(case: dict[str, Any]) -> None:
    assert _answer(case["object"]) == expected(case)


@pytest.mark.parametrize("case", REAL["definition_updates"], ids=lambda case: str(case["code"]))
def test_a_changed_definition_is_refused_in_the_real_words(case: dict[str, Any]) -> None:
    assert _answer(case["object"], ESTABLISHED) == expected(case)


def test_validate_checks_definitions_too() -> None:
    kind = builtin("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert [cause.field for cause in validation.validate(kind, _fresh(scope="X"))] == ["spec.scope"]


def test_names_and_conversion_are_completed() -> None:
    crd = {"metadata": {"name": "x"}, "spec": {"names": {"plural": "widgets", "kind": "Widget"}, "versions": [{}]}}
    definitions.complete(crd)
    assert crd["spec"]["names"] == {
        "plural": "widgets",
        "kind": "Widget",
        "singular": "widget",
        "listKind": "WidgetList",
    }
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert crd["spec"]["versions"] == [{"served": False, "storage": False}]


def test_given_names_stay() -> None:
    crd = _fresh(names={"plural": "oxen", "singular": "ox", "kind": "Ox", "listKind": "Herd"})
    definitions.complete(crd)
    assert crd["spec"]["names"] == {"plural": "oxen", "singular": "ox", "kind": "Ox", "listKind": "Herd"}


def test_every_served_version_is_a_kind() -> None:
    crd = _fresh(versions=[_version("v1", storage=True), _version("v2"), _version("v3", served=False)])
    kinds = definitions.kinds_of(crd)
    assert [(kind.api_version, kind.storage_version) for kind in kinds] == [
        ("a.example.com/v1", "v1"),
        ("a.example.com/v2", "v1"),
    ]
    assert not any(kind.builtin for kind in kinds)


def test_a_kind_has_what_its_version_declares() -> None:
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    version = _version(
        "v1",
        storage=True,
        subresources={"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
        additionalPrinterColumns=[column],
        selectableFields=[{"jsonPath": ".spec.color"}],
    )
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
    (kind,) = definitions.kinds_of(_fresh(versions=[version], names=names, scope="Cluster"))
    assert kind.columns == (column,)
    assert kind.selectable == ("spec.color",)
    assert kind.short_names == ("wd",)
    assert kind.categories == ("all",)
    assert not kind.namespaced
    assert kind.singular == "widget"
    assert kind.list_name == "WidgetList"
    assert kind.has_status
    assert kind.subresources["scale"].paths["specReplicasPath"] == ".spec.n"
    assert kind.subresources["scale"].group == "autoscaling"


def test_a_deprecated_version_points_to_the_best_newer_one() -> None:
    versions = [_version("v1beta1", deprecated=True), _version("v1"), _version("v2alpha1"), _version("v1beta2")]
    kind = definitions.kinds_of(_fresh(versions=[*versions, _version("v3", storage=True, served=False)]))[0]
    assert kind.deprecation == "a.example.com/v1beta1 Widget is deprecated; use a.example.com/v1 Widget"
    own = _version("v1", storage=True, deprecated=True, deprecationWarning="take the other")
    assert definitions.kinds_of(_fresh(versions=[own]))[0].deprecation == "take the other"


def test_a_new_definition_has_no_conditions_yet() -> None:
    assert definitions.starting_status(_fresh()) == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }


def test_free_names_are_accepted_and_the_definition_is_established() -> None:
    now = ESTABLISHED["status"]["conditions"][0]["lastTransitionTime"]
    assert definitions.status(_fresh(), _catalog(), now) == ESTABLISHED["status"]


def test_a_condition_keeps_its_time_until_it_turns() -> None:
    assert definitions.status(ESTABLISHED, _catalog(ESTABLISHED), LATER) == ESTABLISHED["status"]


def test_names_that_another_kind_of_the_group_has_are_not_accepted() -> None:
    conflict = next(crd for crd in REAL["statuses"] if crd["metadata"]["name"] == "gadgets.a.example.com")
    new = {**conflict, "status": None}
    now = conflict["status"]["conditions"][0]["lastTransitionTime"]
    assert definitions.status(new, _catalog(ESTABLISHED), now) == conflict["status"]


def test_a_later_conflict_does_not_take_an_established_definition_away() -> None:
    taken = _fresh(names={"plural": "gadgets", "kind": "Gadget", "singular": "gadget", "listKind": "GadgetList"})
    taken["metadata"] = {"name": "gadgets.a.example.com"}
    crd = copy.deepcopy(ESTABLISHED)
    crd["spec"]["names"]["shortNames"] = ["wd", "gadgets"]
    status = definitions.status(crd, _catalog(ESTABLISHED, taken), LATER)
    naming, established = status["conditions"]
    assert (naming["reason"], naming["message"]) == ("ShortNamesConflict", '"gadgets" is already in use')
    assert naming["lastTransitionTime"] == LATER
    assert established == ESTABLISHED["status"]["conditions"][1]
    assert "shortNames" not in status["acceptedNames"]


def test_a_group_of_the_community_has_its_own_condition() -> None:
    approved = next(crd for crd in REAL["statuses"] if crd["spec"]["group"] == "foo.k8s.io")
    now = approved["status"]["conditions"][0]["lastTransitionTime"]
    assert definitions.status({**approved, "status": None}, _catalog(), now) == approved["status"]


def test_versions_that_were_stored_stay_stored() -> None:
    crd = copy.deepcopy(ESTABLISHED)
    first, second = crd["spec"]["versions"]
    first["storage"], second["storage"] = False, True
    assert definitions.status(crd, _catalog(ESTABLISHED), LATER)["storedVersions"] == ["v1", "v2"]


@pytest.mark.parametrize(
    "pattern", ["", "a+?", r"^\[[a-z]\]{2,3}$", r"[*+?(){}\\]", r"(?i:a)|(?:b)", r"\.\*\*", "[]a]"]
)
def test_patterns_that_go_compiles(pattern: str) -> None:
    assert wrong(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?<a", "invalid or unsupported Perl syntax: `(?<`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("(a))", "unexpected ): `(a))`"),
    ],
)
def test_patterns_that_go_does_not_compile(pattern: str, said: str) -> None:
    assert wrong(pattern) == f"error parsing regexp: {said}"
