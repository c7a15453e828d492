from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Answer, Dialogue

case = part("list and paging")

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def fill(api: Dialogue, count: int) -> list[Answer]:
    """Make ConfigMaps ``a``, ``b``, ``c`` and so on, without a record of the answers' rest."""
    return [
        api.post(api.config_maps, config_map(chr(ord("a") + number)), only=lambda body: {"metadata": _version(body)})
        for number in range(count)
    ]


def _version(body: dict[str, dict[str, str]]) -> dict[str, str]:
    return {"resourceVersion": body["metadata"]["resourceVersion"]}


@case
def an_empty_list_has_a_version_and_items(api: Dialogue) -> None:
    api.get(api.config_maps)


@case
def items_come_in_the_order_of_their_names(api: Dialogue) -> None:
    for name in ("b", "a-b", "a", "10", "9", "a.b"):
        api.post(api.config_maps, config_map(name), only=lambda body: body["kind"])
    api.get(api.config_maps, only=lambda body: [item["metadata"]["name"] for item in body["items"]])


@case
def a_list_is_as_new_as_the_last_write(api: Dialogue) -> None:
    fill(api, 2)
    api.get(api.config_maps)
    api.delete(f"{api.config_maps}/a")
    api.get(api.config_maps)


@case
def custom_resources_in_a_list_name_their_kind(api: Dialogue) -> None:
    widget = api.define()
    api.get(widget.path)
    api.post(widget.path, widget.make("a"))
    api.get(widget.path)


@case
def a_list_over_all_namespaces(api: Dialogue) -> None:
    widget = api.define()
    api.post(widget.path, widget.make("a"))
    everywhere = f"/apis/{widget.group}/v1/widgets"
    api.get(everywhere)
    api.get(everywhere, limit=1)
    api.get(widget.path.replace(f"namespaces/{api.namespace}", "namespaces/none-such"))


@case
def pages_follow_one_another(api: Dialogue) -> None:
    fill(api, 5)
    first = api.get(api.config_maps, limit=2)
    second = api.get(api.config_maps, limit=2, continue_=first.more)
    api.get(api.config_maps, limit=2, continue_=second.more)


@case
def pages_show_the_moment_of_the_first(api: Dialogue) -> None:
    fill(api, 4)
    first = api.get(api.config_maps, limit=2)
    api.delete(f"{api.config_maps}/c")
    api.post(api.config_maps, config_map("e"))
    api.patch(f"{api.config_maps}/d", {"data": {"k": "v"}})
    api.get(api.config_maps, limit=2, continue_=first.more)
    api.get(api.config_maps)


@case
def the_last_page_may_be_larger(api: Dialogue) -> None:
    fill(api, 4)
    first = api.get(api.config_maps, limit=1)
    api.get(api.config_maps, continue_=first.more)


@case
def a_page_that_holds_everything_has_no_token(api: Dialogue) -> None:
    fill(api, 2)
    api.get(api.config_maps, limit=2)
    api.get(api.config_maps, limit=3)
    api.get(api.config_maps, limit=0)


@case
def with_a_label_selector_what_remains_is_not_counted(api: Dialogue) -> None:
    for name in "abcd":
        api.post(api.config_maps, config_map(name, labels={"l": "1" if name != "b" else "2"}))
    first = api.get(api.config_maps, limit=2, labelSelector="l=1")
    api.get(api.config_maps, limit=2, labelSelector="l=1", continue_=first.more)


@case
def with_a_field_selector_what_remains_is_not_counted(api: Dialogue) -> None:
    fill(api, 3)
    first = api.get(api.config_maps, limit=1, fieldSelector="metadata.name!=b")
    api.get(api.config_maps, limit=1, fieldSelector="metadata.name!=b", continue_=first.more)


@case
def a_bad_continue_token_is_refused(api: Dialogue) -> None:
    api.get(api.config_maps, limit=1, continue_="nonsense", expect=400)
    api.get(api.config_maps, limit=1, continue_="e30", expect=400)


@case
def a_bad_limit_is_refused(api: Dialogue) -> None:
    api.get(api.config_maps, limit="many", expect=400)
    fill(api, 1)
    api.get(api.config_maps, limit=-1)


@case
def a_token_goes_without_a_version(api: Dialogue) -> None:
    fill(api, 2)
    first = api.get(api.config_maps, limit=1)
    api.get(api.config_maps, limit=1, continue_=first.more, resourceVersion=first.version, expect=400)
    api.get(
        api.config_maps,
        limit=1,
        continue_=first.more,
        resourceVersion=first.version,
        resourceVersionMatch="Exact",
        expect=422,
    )
    api.get(api.config_maps, limit=1, continue_=first.more, resourceVersion="0")


@case
def a_list_of_an_exact_version_shows_that_moment(api: Dialogue) -> None:
    made = fill(api, 2)
    api.get(api.config_maps, resourceVersion=made[0].version, resourceVersionMatch="Exact")
    api.delete(f"{api.config_maps}/a")
    api.get(api.config_maps, resourceVersion=made[1].version, resourceVersionMatch="Exact")
    api.get(api.config_maps, resourceVersion=made[1].version, resourceVersionMatch="Exact", limit=1)


@case
def a_list_is_not_older_than_asked(api: Dialogue) -> None:
    made = fill(api, 2)
    api.get(api.config_maps, resourceVersion=made[1].version)
    api.get(api.config_maps, resourceVersion=made[1].version, resourceVersionMatch="NotOlderThan")


@case
def a_list_of_any_version(api: Dialogue) -> None:
    api.get(api.config_maps, resourceVersion="0")
    api.get(api.config_maps, resourceVersion="0", resourceVersionMatch="NotOlderThan", limit=1)


@case
def the_match_of_versions_has_rules(api: Dialogue) -> None:
    api.get(api.config_maps, resourceVersionMatch="Exact", expect=422)
    api.get(api.config_maps, resourceVersionMatch="NotOlderThan", expect=422)
    api.get(api.config_maps, resourceVersion="0", resourceVersionMatch="Exact", expect=422)
    api.get(api.config_maps, resourceVersion="5", resourceVersionMatch="Newest", expect=422)


@case
def versions_are_numbers(api: Dialogue) -> None:
    api.get(api.config_maps, resourceVersion="new", expect=400)
    api.get(api.config_maps, resourceVersion="-1", expect=400)


@case
def a_list_from_the_future_is_not_there_yet(api: Dialogue) -> None:
    future = str(10**12)
    api.get(api.config_maps, resourceVersion=future, expect=504)
    api.get(api.config_maps, resourceVersion=future, resourceVersionMatch="Exact", expect=504)


@case
def a_get_may_name_a_version(api: Dialogue) -> None:
    made = fill(api, 1)[0]
    api.until(f"{api.config_maps}/a?resourceVersion=0", lambda answer: answer.code == 200)
    api.get(f"{api.config_maps}/a", resourceVersion="0")
    api.get(f"{api.config_maps}/a", resourceVersion=made.version)
    api.get(f"{api.config_maps}/a", resourceVersion="new", expect=500)
    api.get(f"{api.config_maps}/b", resourceVersion="0", expect=404)


@case
def a_list_as_a_table(api: Dialogue) -> None:
    fill(api, 2)
    api.get(api.config_maps, accept=TABLE)
    api.get(api.config_maps, accept=TABLE, limit=1)
    api.get(api.config_maps, accept=TABLE, includeObject="None")
    api.get(api.config_maps, accept=TABLE, includeObject="Object")


@case
def an_empty_table_has_columns(api: Dialogue) -> None:
    api.get(api.config_maps, accept=TABLE)


@case
def a_list_of_metadata_alone(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "v"}, labels={"l": "1"}))
    api.get(api.config_maps, accept=PARTIAL)
    api.get(api.config_maps, accept=PARTIAL, limit=1)


@case
def the_first_form_that_is_known_is_taken(api: Dialogue) -> None:
    api.get(api.config_maps, accept=f"{TABLE},application/json")
    api.get(api.config_maps, accept=f"application/json;as=Other;v=v1;g=x.test,{PARTIAL}")
    api.get(api.config_maps, accept="application/json;as=Other;v=v1;g=x.test", expect=406)
    api.get(api.config_maps, accept="text/html", expect=406)
    api.get(api.config_maps, accept="*/*")


@case
def a_list_as_yaml(api: Dialogue) -> None:
    api.get(api.config_maps, accept="application/yaml", only=lambda text: text.split("metadata:")[0])


@case
def a_list_as_protobuf(api: Dialogue) -> None:
    accept = "application/vnd.kubernetes.protobuf"
    api.get(api.config_maps, accept=accept, only=lambda text: text[:4])
    widget = api.define()
    api.get(widget.path, accept=accept, expect=406)
    api.get(widget.path, accept=f"{accept},application/json")
