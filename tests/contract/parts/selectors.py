from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("selectors")


def names(body: Any) -> Any:
    return [item["metadata"]["name"] for item in body["items"]]


def fill(api: Dialogue) -> None:
    """Make ``a`` and ``b`` in production, ``c`` in test, ``d`` without that label."""
    labels = {"a": {"env": "prod", "tier": "1"}, "b": {"env": "prod"}, "c": {"env": "test", "tier": "2"}, "d": {}}
    for name, given in labels.items():
        api.quietly("POST", api.config_maps, config_map(name, labels={**given, "app.test/name": name}))


def select(api: Dialogue, *selectors: str) -> None:
    for selector in selectors:
        api.get(api.config_maps, labelSelector=selector, only=names)


def refused(api: Dialogue, *selectors: str) -> None:
    for selector in selectors:
        api.get(api.config_maps, labelSelector=selector, expect=400)


@case
def a_label_equals(api: Dialogue) -> None:
    fill(api)
    select(api, "env=prod", "env==prod", "env = prod", "app.test/name=c", "env=none")


@case
def a_label_does_not_equal(api: Dialogue) -> None:
    fill(api)
    select(api, "env!=prod", "env != test", "none!=x")


@case
def a_label_is_one_of_several(api: Dialogue) -> None:
    fill(api)
    select(api, "env in (prod,test)", "env in (test)", "env in ( test , other )", "env in (prod),tier in (1)")


@case
def a_label_is_none_of_several(api: Dialogue) -> None:
    fill(api)
    select(api, "env notin (prod)", "env notin (prod,test)", "none notin (x)")


@case
def a_label_is_there_or_not(api: Dialogue) -> None:
    fill(api)
    select(api, "tier", "!tier", "env,!tier", "! env")


@case
def requirements_are_joined(api: Dialogue) -> None:
    fill(api)
    select(api, "env=prod,tier=1", "env,tier,app.test/name!=a", "env=prod,env=test")


@case
def labels_compare_as_numbers(api: Dialogue) -> None:
    fill(api)
    select(api, "tier>1", "tier<2", "tier>0,tier<9", "env>1")
    refused(api, "tier>x")


@case
def an_empty_selector_selects_everything(api: Dialogue) -> None:
    fill(api)
    select(api, "", " ")
    refused(api, ",")


@case
def a_label_may_be_empty(api: Dialogue) -> None:
    fill(api)
    api.quietly("POST", api.config_maps, config_map("e", labels={"env": ""}))
    select(api, "env=", "env in ()", "env!=", "env in (,prod)")


@case
def a_label_selector_has_a_grammar(api: Dialogue) -> None:
    refused(api, "=", "a=b=c", "a in b", "a in (b", "(a)", "a b", "a=,,b", "!a=b", "a notin", "a,", "in (b)")


@case
def keys_and_values_of_a_selector_are_checked(api: Dialogue) -> None:
    refused(api, "bad key", "-a=b", "a=b/c", "a=" + "x" * 64, "x" * 64, "A_B/c=d", "/c=d")


@case
def words_of_the_grammar_may_be_keys(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a", labels={"in": "notin", "notin": "in"}))
    select(api, "in=notin", "notin in (in)", "in in (notin)")


@case
def a_field_is_the_name(api: Dialogue) -> None:
    fill(api)
    for selector in ("metadata.name=a", "metadata.name==b", "metadata.name!=a", "metadata.name=none"):
        api.get(api.config_maps, fieldSelector=selector, only=names)


@case
def a_field_is_the_namespace(api: Dialogue) -> None:
    fill(api)
    api.get(api.config_maps, fieldSelector=f"metadata.namespace={api.namespace}", only=names)
    api.get(api.config_maps, fieldSelector="metadata.namespace=other", only=names)
    api.get("/api/v1/configmaps", fieldSelector=f"metadata.namespace={api.namespace}", only=names)


@case
def fields_are_joined_with_each_other_and_with_labels(api: Dialogue) -> None:
    fill(api)
    api.get(api.config_maps, fieldSelector="metadata.name!=a,metadata.name!=b", only=names)
    api.get(api.config_maps, fieldSelector="metadata.name!=a", labelSelector="env=prod", only=names)
    api.get(api.config_maps, fieldSelector="metadata.name=a,metadata.name=b", only=names)


@case
def a_field_that_is_not_offered_is_refused(api: Dialogue) -> None:
    widget = api.define()
    for selector in ("data.k=v", "metadata.uid=x", "metadata.labels=x"):
        api.get(api.config_maps, fieldSelector=selector, expect=400)
        api.get(widget.path, fieldSelector=selector, expect=400)


@case
def a_field_selector_has_a_grammar(api: Dialogue) -> None:
    for selector in ("metadata.name", "metadata.name>a", "=a", "metadata.name=a b"):
        expect = 200 if selector == "metadata.name=a b" else 400
        api.get(api.config_maps, fieldSelector=selector, expect=expect)
    api.get(api.config_maps, fieldSelector="", only=names)
    api.get(api.config_maps, fieldSelector="metadata.name=a\\,b", only=names)


@case
def some_kinds_offer_more_fields(api: Dialogue) -> None:
    secrets = api.path("secrets")
    api.quietly("POST", secrets, {"metadata": {"name": "a"}, "type": "x.test/one"})
    api.quietly("POST", secrets, {"metadata": {"name": "b"}, "type": "Opaque"})
    api.get(secrets, fieldSelector="type=x.test/one", only=names)
    api.get(secrets, fieldSelector="type!=x.test/one", only=names)
    own = f"kubernetes.io/metadata.name={api.namespace}"
    api.get("/api/v1/namespaces", fieldSelector="status.phase=Active", labelSelector=own, only=names)
    api.get("/api/v1/namespaces", fieldSelector="status.phase=Terminating", labelSelector=own, only=names)


@case
def events_are_found_by_what_they_are_about(api: Dialogue) -> None:
    events = api.path("events")
    for name, about in (("a", "x"), ("b", "y")):
        involved = {"kind": "ConfigMap", "namespace": api.namespace, "name": about}
        body = {
            "metadata": {"name": name},
            "involvedObject": involved,
            "reason": f"Did{about.upper()}",
            "type": "Normal",
        }
        api.quietly("POST", events, body)
    api.get(events, fieldSelector="involvedObject.name=x,involvedObject.kind=ConfigMap", only=names)
    api.get(events, fieldSelector="reason=DidY", only=names)
    api.get(events, fieldSelector="type!=Normal", only=names)


@case
def a_selector_may_be_quoted_in_any_way(api: Dialogue) -> None:
    fill(api)
    for selector in ("env%20in%20(prod%2Ctest)", "env+in+(prod,test)", quote("env in (prod,test)", safe="")):
        api.get(f"{api.config_maps}?labelSelector={selector}", only=names)


@case
def both_selectors_are_refused_with_the_first_fault(api: Dialogue) -> None:
    api.get(api.config_maps, labelSelector="a=b=c", fieldSelector="nothing=x", expect=400)
    api.delete(api.config_maps, labelSelector="a in b", expect=400)


@case
def a_collection_is_deleted_by_selectors(api: Dialogue) -> None:
    fill(api)
    api.delete(api.config_maps, labelSelector="env in (prod)", fieldSelector="metadata.name!=a", only=names)
    api.get(api.config_maps, only=names)


@case
def custom_resources_are_selected_like_any_other(api: Dialogue) -> None:
    widget = api.define()
    for name, label in (("a", "1"), ("b", "2")):
        api.post(widget.path, widget.make(name, metadata={"labels": {"l": label}}))
    api.get(widget.path, labelSelector="l in (2)", only=names)
    api.get(widget.path, fieldSelector="metadata.name=a", only=names)
    api.get(f"/apis/{widget.group}/v1/widgets", fieldSelector=f"metadata.namespace={api.namespace}", only=names)
