from __future__ import annotations

import json
import re
import threading

import pytest

from kcontroller.controller import Builder
from kcontroller.controller.places import place_of_error, place_of_thread
from kcontroller.testing.polling import eventually

HERE = re.compile(r"test_places\.py:\d+")


def test_an_error_is_where_somebodys_own_code_raised_it_or_called_what_did() -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads("{")
    with pytest.raises(ValueError, match="reconcile_timeout") as ours:
        Builder().options(reconcile_timeout=-1)

    assert HERE.fullmatch(place_of_error(raised.value))
    assert HERE.fullmatch(place_of_error(ours.value))


def test_an_error_that_was_never_raised_is_nowhere() -> None:
    assert place_of_error(ValueError()) == ""


def test_a_thread_is_where_somebodys_own_code_waits() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=lambda: go_on.wait(10))
    thread.start()

    eventually(lambda: HERE.fullmatch(place_of_thread(thread.ident or 0)))
    go_on.set()
    thread.join(10)


def test_where_nobodys_own_code_runs_it_is_the_place_in_python() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, args=(10,))
    thread.start()

    eventually(lambda: re.fullmatch(r"threading\.py:\d+", place_of_thread(thread.ident or 0)))
    go_on.set()
    thread.join(10)


def test_a_thread_that_has_ended_is_nowhere() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join(10)

    assert place_of_thread(thread.ident or 0) == ""
