"""Events of core/v1 and of events.k8s.io/v1: the same objects under two names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

written = part("create, update, patch")
listed = part("list and paging")
watched = part("watch")
selected = part("selectors")
deleted = part("finalizers and deletion")
refused = part("errors")

OLD, NEW = "v1", "events.k8s.io/v1"
WHEN = "2001-01-01T00:00:00Z"
SERIES = {"count": 2, "lastObservedTime": "2001-01-01T00:00:02.000000Z"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def old(api: Dialogue, name: str = "old", **more: Any) -> dict[str, Any]:
    """Make an Event as recorders of core/v1 write it."""
    return {
        "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "namespace": api.namespace, "name": "p"},
        "reason": "Started",
        "message": "it runs",
        "source": {"component": "kubelet", "host": "h"},
        "firstTimestamp": WHEN,
        "lastTimestamp": WHEN,
        "count": 3,
        "type": "Normal",
        **more,
    }


def new(api: Dialogue, name: str = "new", **more: Any) -> dict[str, Any]:
    """Make an Event as recorders of events.k8s.io/v1 write it."""
    return {
        "metadata": {"name": name},
        "eventTime": "2001-01-01T00:00:00.123456Z",
        "regarding": {"kind": "Pod", "namespace": api.namespace, "name": "p"},
        "related": {"kind": "Node", "name": "n"},
        "reason": "Started",
        "action": "Start",
        "note": "it runs",
        "reportingController": "example.com/a",
        "reportingInstance": "a-1",
        "type": "Warning",
        **more,
    }


def both(api: Dialogue) -> tuple[str, str]:
    return api.path("events", OLD), api.path("events", NEW)


@written
def an_event_is_created_in_one_api_and_read_in_the_other(api: Dialogue) -> None:
    core, events = both(api)
    api.post(core, old(api))
    api.get(f"{events}/old")
    api.post(events, new(api))
    api.get(f"{core}/new")
    api.post(core, {"metadata": {"name": "bare"}, "involvedObject": {"namespace": api.namespace}, "series": {}})
    api.get(f"{events}/bare")
    api.post(core, old(api, "new"), expect=409)
    api.post(events, new(api, "new"), expect=409)
    api.put(f"{events}/put", new(api, "put"))
    api.get(f"{core}/put")
    api.post(events, new(api, "dry"), dryRun="All")
    api.get(f"{core}/dry", expect=404)


@written
def an_event_of_one_api_is_changed_in_the_other(api: Dialogue) -> None:
    core, events = both(api)
    api.post(events, new(api))
    api.patch(f"{core}/new", {"message": "it runs again", "series": {"count": 2}}, fieldManager="b")
    api.get(f"{events}/new")
    api.patch(f"{events}/new", {"series": SERIES}, fieldManager="c")
    read = api.get(f"{core}/new")
    api.put(f"{core}/new", read.but(count=4, series=None), fieldManager="d")
    made = api.post(core, old(api))
    api.patch(f"{events}/old", {"series": SERIES, "metadata": {"labels": {"a": "b"}}}, "strategic", fieldManager="e")
    api.get(f"{core}/old")
    api.put(f"{core}/old", made.but(message="late"), expect=409)
    api.patch(f"{events}/old", [{"op": "remove", "path": "/series"}], "json", fieldManager="f")
    api.patch(f"{events}/old", {"note": "another"}, expect=422)


@written
def a_write_in_one_api_forgets_the_owners_of_the_other(api: Dialogue) -> None:
    core, events = both(api)
    api.post(core, old(api), fieldManager="a")
    api.patch(f"{core}/old", {}, fieldManager="b")
    api.patch(f"{events}/old", {}, fieldManager="b")
    api.get(f"{core}/old")
    stated = {"apiVersion": NEW, "kind": "Event", **new(api)}
    api.apply(f"{events}/new", stated)
    about = {"apiVersion": OLD, "kind": "Event", "metadata": {"name": "new"}, "involvedObject": stated["regarding"]}
    api.apply(f"{core}/new", {**about, "message": "it runs"})
    api.apply(f"{core}/new", {**about, "message": "again"}, manager="two", expect=409)
    api.apply(f"{core}/new", {**about, "message": "again"}, manager="two", force=True)
    api.get(f"{events}/new")


@listed
def both_apis_list_the_same_events(api: Dialogue) -> None:
    core, events = both(api)
    api.post(core, old(api))
    api.post(events, new(api))
    first = api.get(core, limit=1)
    api.get(events, limit=1, continue_=first.more)
    for path in (core, events):
        api.get(path)
        api.get(path, accept=TABLE)


@watched
def a_watch_in_one_api_tells_the_events_of_the_other(api: Dialogue) -> None:
    core, events = both(api)
    start = api.get(core).version
    api.post(core, old(api))
    api.post(events, new(api))
    api.patch(f"{core}/new", {"message": "it runs again"})
    api.patch(f"{events}/old", {"series": SERIES})
    api.delete(f"{events}/old")
    api.delete(f"{core}/new")
    for path in (core, events):
        api.watch(path, resourceVersion=start).read(6)
    api.post(core, old(api))
    api.watch(events).read()


@selected
def events_are_selected_by_the_fields_of_either_api(api: Dialogue) -> None:
    core, events = both(api)
    api.post(core, old(api))
    api.post(events, new(api))
    for field in ("involvedObject.name=p", "reportingComponent=example.com/a", "reportingComponent=kubelet"):
        api.get(core, fieldSelector=field)
    for field in ("source=kubelet", "source=example.com/a", "type=Warning"):
        api.get(core, fieldSelector=field)
    for field in ("regarding.name=p", "reportingController=example.com/a", "reportingController=kubelet"):
        api.get(events, fieldSelector=field)
    api.get(events, fieldSelector="involvedObject.name=p", expect=400)
    api.get(core, fieldSelector="regarding.name=p", expect=400)


@deleted
def an_event_of_one_api_is_deleted_in_the_other(api: Dialogue) -> None:
    core, events = both(api)
    api.post(core, old(api))
    api.post(events, new(api))
    api.delete(f"{events}/old")
    api.get(f"{core}/old", expect=404)
    api.delete(f"{core}/new")
    api.get(f"{events}/new", expect=404)
    api.post(core, old(api))
    api.post(events, new(api, metadata={"name": "new", "finalizers": ["a.test/b"]}))
    api.delete(core, fieldSelector="reason=Started")
    api.get(f"{events}/new")
    api.patch(f"{core}/new", {"metadata": {"finalizers": None}})
    api.get(events)


@refused
def an_event_that_only_core_takes(api: Dialogue) -> None:
    core, events = both(api)
    api.post(events, {"metadata": {"name": "a"}}, expect=422)
    out = {"deprecatedFirstTimestamp": WHEN, "deprecatedLastTimestamp": WHEN, "deprecatedCount": 1, "type": "x"}
    api.post(events, {**new(api), **out, "deprecatedSource": {"component": "c"}, "series": {"count": 1}}, expect=422)
    long = {"note": "x" * 1025, **dict.fromkeys(("action", "reason", "reportingInstance"), "x" * 129)}
    api.post(events, {**new(api), **long, "reportingController": "a b", "regarding": {}}, expect=422)
    api.post(core, {"metadata": {"name": "a"}, "eventTime": new(api)["eventTime"]}, expect=422)
    api.post(core, old(api, involvedObject={"namespace": "elsewhere"}), expect=422)
    api.post(core, old(api, involvedObject={}), expect=422)
    api.post(events, new(api, "b/c"), expect=422)
    api.post(events, new(api, ""), expect=422)
    api.post(core, {"apiVersion": NEW, "kind": "Event", **new(api)}, expect=400)


@refused
def an_event_keeps_what_it_says(api: Dialogue) -> None:
    core, events = both(api)
    api.post(events, new(api))
    api.post(core, old(api))
    said = {**new(api, note="n", reason="r", action="a", type="Normal"), "regarding": {"name": "q"}, "related": None}
    more = {"reportingController": "b", "reportingInstance": "b", "deprecatedSource": {"host": "h"}}
    times = {"eventTime": "2001-01-01T00:00:01.000000Z", "deprecatedFirstTimestamp": WHEN, "deprecatedCount": 1}
    api.patch(f"{events}/new", {**said, **more, **times, "series": {"count": 1}}, expect=422)
    api.patch(f"{events}/old", {"note": None, "deprecatedLastTimestamp": None}, expect=422)
    api.patch(f"{core}/new", {"reportingInstance": None}, expect=422)
    api.patch(f"{core}/new", {"type": "x", "message": None})
    api.patch(f"{events}/new", {"metadata": {"finalizers": ["x"]}}, expect=422)
    api.patch(f"{core}/new", {"metadata": {"finalizers": ["x"]}})
