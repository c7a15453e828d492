from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Answer, Dialogue

case = part("watch")

INITIAL: dict[str, Any] = {
    "sendInitialEvents": True,
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": True,
}


def make(api: Dialogue, name: str, **labels: str) -> Answer:
    return api.quietly("POST", api.config_maps, config_map(name, {"k": "1"}, labels=labels))


@case
def a_streaming_list_ends_with_a_bookmark(api: Dialogue) -> None:
    make(api, "b")
    make(api, "a")
    stream = api.watch(api.config_maps, **INITIAL)
    stream.read(3)
    make(api, "c")
    stream.read(1)


@case
def a_streaming_list_of_nothing_is_a_bookmark(api: Dialogue) -> None:
    widget = api.define()
    api.watch(api.config_maps, **INITIAL).read(1)
    api.watch(widget.path, **INITIAL).read(1)


@case
def a_streaming_list_with_a_selector(api: Dialogue) -> None:
    make(api, "a", l="1")
    make(api, "b", l="2")
    stream = api.watch(api.config_maps, labelSelector="l=2", **INITIAL)
    stream.read(2)
    made = api.quietly("GET", f"{api.config_maps}/b")
    api.quietly("PUT", f"{api.config_maps}/b", made.but(metadata={"labels": {"l": "1"}}))
    stream.read(1)


@case
def a_streaming_list_from_a_version(api: Dialogue) -> None:
    made = make(api, "a")
    api.watch(api.config_maps, resourceVersion=made.version, **INITIAL).read(2)
    api.until(f"{api.config_maps}?resourceVersion=0", lambda answer: len(answer["items"]) == 1)
    api.watch(api.config_maps, resourceVersion="0", **INITIAL).read(2)


@case
def a_stream_without_the_initial_list(api: Dialogue) -> None:
    make(api, "a")
    stream = api.watch(
        api.config_maps,
        sendInitialEvents=False,
        resourceVersionMatch="NotOlderThan",
        resourceVersion=api.quietly("GET", api.config_maps).version,
    )
    make(api, "b")
    stream.read(1)


@case
def a_streaming_list_has_rules(api: Dialogue) -> None:
    api.watch(api.config_maps, sendInitialEvents=True, expect=422)
    api.watch(api.config_maps, sendInitialEvents=True, allowWatchBookmarks=True, expect=422)
    api.watch(api.config_maps, resourceVersionMatch="NotOlderThan", expect=422)
    api.watch(
        api.config_maps, sendInitialEvents=True, resourceVersionMatch="Exact", allowWatchBookmarks=True, expect=422
    )
    api.get(api.config_maps, sendInitialEvents=True, expect=422)
