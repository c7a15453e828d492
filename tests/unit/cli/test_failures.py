from __future__ import annotations

import pytest

from kcontroller.cli.failures import failure_of, trace_of
from kcontroller.errors import ConfigError, KControllerError, PluginError, TLSFailed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a bad port"), 2),
        (PluginError("a bad plugin"), 2),
        (TLSFailed("a bad certificate"), 1),
        (KControllerError("something"), 1),
    ],
)
def test_what_cannot_run_is_2_and_what_fails_while_running_1(error: KControllerError, code: int) -> None:
    failure = failure_of(error)
    assert (failure.exit_code, failure.message) == (code, str(error))


def test_an_error_without_text_is_told_by_its_class() -> None:
    assert failure_of(KControllerError()).message == "KControllerError"


def test_what_is_not_ours_is_called_a_bug() -> None:
    failure = failure_of(ZeroDivisionError("division by zero"))
    assert failure.exit_code == 1
    assert failure.message == (
        "bug: ZeroDivisionError: division by zero (run with -v for the traceback, and please report it)"
    )


def test_a_message_stays_on_one_line_and_without_secrets() -> None:
    assert failure_of(ConfigError("line\nError: token=canary-1234")).message == "line\\nError: [redacted]"


def test_a_traceback_is_without_secrets_and_tells_the_cause() -> None:
    error = PluginError("cannot load")
    error.__cause__ = KeyError("token=canary-1234")
    text = trace_of(error)
    assert "PluginError: cannot load" in text
    assert "KeyError: '[redacted]" in text
    assert "canary" not in text
