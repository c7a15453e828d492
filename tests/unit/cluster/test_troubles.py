from __future__ import annotations

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key
from kcontroller.cluster.troubles import Troubles, WatchTroubles, in_words
from kcontroller.errors import ConnectFailed, Forbidden, KindNotServed, NotFound, TooManyRequests, Unauthorized
from kcontroller.process.repeats import NAMED, Repeats
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

WIDGET = gvk_of("example.com/v1 Widget")
CONFIG = Config("https://server:6443", StaticCredentials(), source='context "kind" of kubeconfig')


def test_a_trouble_is_said_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("eu")
    for _ in range(3):
        troubles.set("v1 Pod", "no route to host")
    for _ in range(3):
        troubles.set("v1 Pod", "")

    assert caplog.messages == ["no route to host; trying again", "the trouble is over"]
    assert [(each.kc_fields["cluster"], each.kc_fields["kind"]) for each in caplog.records] == [("eu", "v1 Pod")] * 2  # type: ignore[attr-defined]


def test_the_end_of_what_several_kinds_had_names_them_all_and_the_next_one_only_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("")
    for kind in ("v1 Pod", "v1 Secret"):
        troubles.set(kind, "no route to host")
    for kind in ("v1 Pod", "v1 Secret"):
        troubles.set(kind, "")
    troubles.set("v1 Pod", "refused")
    troubles.set("v1 Pod", "")

    ends = [record for record in caplog.records if record.getMessage() == "the trouble is over"]
    assert [record.kc_fields["kind"] for record in ends] == ["v1 Pod, v1 Secret", "v1 Pod"]  # type: ignore[attr-defined]


def test_the_end_of_what_many_kinds_had_names_a_few(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("")
    for text in ("no route to host", ""):
        for number in range(20):
            troubles.set(f"example.com/v1 Kind{number:02}", text)

    assert caplog.records[-1].kc_fields["kind"] == (  # type: ignore[attr-defined]
        "example.com/v1 Kind00, example.com/v1 Kind01, example.com/v1 Kind02 and 17 more"
    )


def test_kinds_that_meet_the_same_trouble_say_it_once_together(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("")
    for kind in ("v1 Pod", "v1 Secret", "v1 Node"):
        troubles.set(kind, "no route to host")
    for kind in ("v1 Pod", "v1 Secret", "v1 Node"):
        troubles.set(kind, "")

    assert caplog.messages == ["no route to host; trying again", "the trouble is over"]


def test_what_passes_by_the_next_try_is_not_said_and_neither_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("")
    troubles.set("v1 Pod", "429", passing=True)
    assert troubles.of("v1 Pod") == "429"
    troubles.set("v1 Pod", "")

    assert caplog.messages == []


def test_what_should_pass_and_does_not_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("")
    for _ in range(4):
        troubles.set("v1 Pod", "429", passing=True)
    troubles.set("v1 Pod", "")

    assert caplog.messages == ["429; trying again", "the trouble is over"]


def test_a_trouble_that_comes_back_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles("")
    for text in ("one", "", "one"):
        troubles.set("v1 Pod", text)

    assert caplog.messages == ["one; trying again"] * 2


def test_another_trouble_is_said(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles("")
    troubles.set("v1 Pod", "one")
    troubles.set("v1 Pod", "other")

    assert caplog.messages == ["one; trying again", "other; trying again"]


def test_troubles_are_known_by_kind_until_they_are_over() -> None:
    troubles = Troubles("")
    troubles.set("v1 Pod", "one")
    troubles.set("v1 Node", "other")
    troubles.set("v1 Pod", "")

    assert troubles.all() == {"v1 Node": "other"}
    assert (troubles.of("v1 Node"), troubles.of("v1 Pod")) == ("other", "")


def test_no_trouble_is_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    Troubles("").set("v1 Pod", "")

    assert caplog.messages == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFound("nope", status=404), "it will be picked up when its CustomResourceDefinition is installed"),
        (KindNotServed("the server does not serve it; install its CustomResourceDefinition"), "install its Custom"),
        (
            Forbidden("no", status=403, verb="list", resource="widgets.example.com"),
            "grant this user the verbs get, list and watch on widgets.example.com",
        ),
        (Unauthorized("no", status=401), 'does not accept the credentials of context "kind" of kubeconfig'),
        (ConnectFailed("no route to host"), "no route to host"),
    ],
)
def test_an_error_is_told_with_its_remedy(error: Exception, text: str) -> None:
    assert text in in_words(error, WIDGET, CONFIG)


def test_of_a_tracked_object_it_is_told_what_nobody_hears(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kcontroller")
    troubles = Troubles("eu")
    watches = WatchTroubles("eu", troubles, lambda: CONFIG)
    where = Key("default", "a")
    watches.of_object(WIDGET, where, Unauthorized("no", status=401))
    text = (
        '401: no; https://server:6443 does not accept the credentials of context "kind" of kubeconfig; until then no '
        "reconcile hears of changes of default/a"
    )
    assert troubles.all() == {"example.com/v1 Widget default/a": text}
    watches.of_object(WIDGET, where, None)

    assert troubles.all() == {}
    assert caplog.messages == [f"{text}; trying again", "the trouble is over"]


def test_a_server_that_has_no_time_is_told_of_if_it_has_none_again(caplog: pytest.LogCaptureFixture) -> None:
    watches = WatchTroubles("eu", Troubles("eu"), lambda: CONFIG)
    busy = TooManyRequests("storage is (re)initializing", status=429)
    watches.of_object(WIDGET, Key("", "a"), busy)
    assert caplog.messages == []
    watches.of_object(WIDGET, Key("", "a"), busy)

    assert len(caplog.messages) == 1


def test_of_a_trouble_that_many_clusters_have_a_few_are_named_and_the_rest_keeps_quiet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    repeats = Repeats(clock=VirtualClock())
    fleet = [Troubles(f"p{number}", repeats=repeats) for number in range(20)]
    for troubles in fleet:
        troubles.set("v1 Pod", "the server is away")
    assert len(caplog.records) == NAMED + 1
    for troubles in fleet:
        troubles.set("v1 Pod", "")

    assert [each.getMessage() for each in caplog.records[NAMED + 1 :]] == ["the trouble is over"] * (NAMED + 1)
    assert fleet[-1].all() == {}
