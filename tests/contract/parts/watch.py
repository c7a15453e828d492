from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Answer, Dialogue

case = part("watch")

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def make(api: Dialogue, name: str, **labels: str) -> Answer:
    return api.quietly("POST", api.config_maps, config_map(name, {"k": "1"}, labels=labels))


def change(api: Dialogue, name: str, **labels: str | None) -> Answer:
    made = api.quietly("GET", f"{api.config_maps}/{name}")
    return api.quietly("PUT", f"{api.config_maps}/{name}", made.but(data={"k": "2"}, metadata={"labels": labels}))


def remove(api: Dialogue, name: str) -> None:
    api.quietly("DELETE", f"{api.config_maps}/{name}")


def now(api: Dialogue) -> str:
    return api.quietly("GET", api.config_maps).version


@case
def what_happens_after_a_list_is_told(api: Dialogue) -> None:
    make(api, "before")
    stream = api.watch(api.config_maps, resourceVersion=now(api))
    make(api, "a")
    change(api, "a")
    remove(api, "a")
    stream.read(3)


@case
def a_watch_may_start_in_the_past(api: Dialogue) -> None:
    first = make(api, "a")
    make(api, "b")
    change(api, "a")
    remove(api, "b")
    api.watch(api.config_maps, resourceVersion=first.version).read(3)


@case
def a_deletion_carries_the_last_state_and_a_new_version(api: Dialogue) -> None:
    made = make(api, "a")
    stream = api.watch(api.config_maps, resourceVersion=made.version)
    remove(api, "a")
    (event,) = stream.read(1)
    api.note("newer", int(event["object"]["metadata"]["resourceVersion"]) > int(made.version))


@case
def a_watch_without_a_version_starts_with_what_is_there(api: Dialogue) -> None:
    make(api, "b")
    make(api, "a")
    stream = api.watch(api.config_maps)
    stream.read(2)
    make(api, "c")
    stream.read(1)


@case
def a_watch_from_any_version_starts_with_what_is_there(api: Dialogue) -> None:
    make(api, "b")
    make(api, "a")
    api.until(f"{api.config_maps}?resourceVersion=0", lambda answer: len(answer["items"]) == 2)
    stream = api.watch(api.config_maps, resourceVersion="0")
    stream.read(2)
    change(api, "a")
    stream.read(1)


@case
def a_write_that_changes_nothing_is_not_told(api: Dialogue) -> None:
    made = make(api, "a")
    stream = api.watch(api.config_maps, resourceVersion=made.version)
    api.put(f"{api.config_maps}/a", made.body)
    api.patch(f"{api.config_maps}/a", {"data": {"k": "1"}})
    api.delete(f"{api.config_maps}/a", dryRun="All")
    make(api, "next")
    stream.read(1)


@case
def objects_enter_and_leave_a_label_selector(api: Dialogue) -> None:
    make(api, "in", l="1")
    make(api, "out", l="2")
    stream = api.watch(api.config_maps, labelSelector="l=1", resourceVersion=now(api))
    change(api, "out", l="1")
    change(api, "in", l="2")
    change(api, "in", l="3")
    remove(api, "in")
    remove(api, "out")
    stream.read(3)


@case
def what_never_matched_is_not_told(api: Dialogue) -> None:
    stream = api.watch(api.config_maps, labelSelector="l in (1,2)", resourceVersion=now(api))
    make(api, "other", l="3")
    change(api, "other", l="4")
    remove(api, "other")
    make(api, "a", l="2")
    stream.read(1)


@case
def what_leaves_carries_the_state_before_it_left(api: Dialogue) -> None:
    make(api, "a", l="1")
    stream = api.watch(api.config_maps, labelSelector="l=1", resourceVersion=now(api))
    change(api, "a", l=None)
    stream.read(1)


@case
def one_object_is_watched_by_a_field_selector(api: Dialogue) -> None:
    stream = api.watch(api.config_maps, fieldSelector="metadata.name=a", resourceVersion=now(api))
    make(api, "b")
    make(api, "a")
    change(api, "b")
    remove(api, "a")
    stream.read(2)


@case
def a_get_of_one_object_is_never_a_watch(api: Dialogue) -> None:
    api.get(f"{api.config_maps}/a", watch=1, expect=404)
    make(api, "a")
    api.get(f"{api.config_maps}/a", watch=1)


@case
def the_old_paths_of_watches_are_served(api: Dialogue) -> None:
    old = f"/api/v1/watch/namespaces/{api.namespace}/configmaps"
    stream = api.watch(f"{old}/a", watch=None)
    make(api, "b")
    make(api, "a")
    stream.read(1)
    api.watch(old, watch=None).read(2)


@case
def a_watch_ends_after_its_time(api: Dialogue) -> None:
    make(api, "a")
    api.watch(api.config_maps, timeoutSeconds=1).end()


@case
def a_watch_from_long_ago_is_expired(api: Dialogue) -> None:
    widget = api.define()
    api.watch(widget.path, resourceVersion="1").end()


@case
def a_watch_from_the_future_waits(api: Dialogue) -> None:
    stream = api.watch(api.config_maps, resourceVersion=10**12, timeoutSeconds=1)
    make(api, "a")
    stream.end()


@case
def a_watch_with_a_bad_version_is_refused(api: Dialogue) -> None:
    api.watch(api.config_maps, resourceVersion="new", expect=500)
    api.watch(api.config_maps, timeoutSeconds="long", expect=400)


@case
def a_watch_with_a_bad_selector_is_refused(api: Dialogue) -> None:
    api.watch(api.config_maps, labelSelector="a=b=c", expect=400)
    api.watch(api.config_maps, fieldSelector="data.k=1", expect=400)


@case
def a_watch_of_metadata_alone(api: Dialogue) -> None:
    make(api, "a")
    stream = api.watch(api.config_maps, accept=PARTIAL)
    stream.read(1)
    remove(api, "a")
    stream.read(1)


@case
def a_watch_of_tables_has_columns_once(api: Dialogue) -> None:
    make(api, "a")
    stream = api.watch(api.config_maps, accept=TABLE)
    stream.read(1)
    change(api, "a")
    stream.read(1)


@case
def custom_resources_are_watched(api: Dialogue) -> None:
    widget = api.define()
    stream = api.watch(widget.path)
    made = api.post(widget.path, widget.make("a", spec={"size": 1}))
    api.put(f"{widget.path}/a/status", made.but(status={"phase": "Ready"}))
    api.delete(f"{widget.path}/a")
    stream.read(3)


@case
def a_watch_over_all_namespaces(api: Dialogue) -> None:
    widget = api.define()
    stream = api.watch(f"/apis/{widget.group}/v1/widgets")
    api.post(widget.path, widget.make("a"))
    stream.read(1)


@case
def finalizers_make_a_deletion_two_events(api: Dialogue) -> None:
    made = api.quietly("POST", api.config_maps, config_map("a", finalizers=["x.test/f"]))
    stream = api.watch(api.config_maps, resourceVersion=made.version)
    remove(api, "a")
    api.quietly(
        "PUT", f"{api.config_maps}/a", api.quietly("GET", f"{api.config_maps}/a").but(metadata={"finalizers": []})
    )
    stream.read(2)


@case
def a_collection_is_deleted_one_by_one(api: Dialogue) -> None:
    make(api, "a", l="1")
    make(api, "b", l="2")
    make(api, "c", l="1")
    stream = api.watch(api.config_maps, resourceVersion=now(api))
    api.quietly("DELETE", api.config_maps, labelSelector="l=1")
    names = sorted(event["object"]["metadata"]["name"] for event in stream.read(2))
    api.note("names", names)
