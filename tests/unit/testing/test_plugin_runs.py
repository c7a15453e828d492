"""The plugin as pytest runs it in a project of somebody else."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

import kcontroller.testing
from kcontroller.testing import EmbeddedServer, LeakCheck, Managers

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.pytester import Pytester, RunResult

pytest_plugins = ("pytester",)

LOADED = (EmbeddedServer, LeakCheck, Managers)
"""pytester forgets modules that a run was the first to import, and cryptography must not be loaded twice."""


@pytest.fixture
def run(pytester: Pytester) -> Callable[[str], RunResult]:
    """Run tests in a directory of their own, in this process; warnings are errors."""

    def run(source: str) -> RunResult:
        pytester.makepyfile(textwrap.dedent(source))
        return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error")

    return run


def test_leaks_are_looked_for_last_wherever_the_fixture_is_named(run: Callable[[str], RunResult]) -> None:
    result = run("""
        def test_first(no_leaks, api_server): pass
        def test_last(client, manager, no_leaks): client.list("v1 ConfigMap"); manager()
        """)
    result.assert_outcomes(passed=2)


def test_a_leak_is_an_error_of_a_test_that_passed_and_no_news_for_one_that_failed(
    run: Callable[[str], RunResult],
) -> None:
    result = run("""
        import threading
        from kcontroller.testing import LeakCheck
        ended = threading.Event()
        LeakCheck.__init__.__kwdefaults__["within"] = 0.01

        def leak(name):
            threading.Thread(target=ended.wait, name=name).start()

        def test_passes(no_leaks): leak("kc-one")
        def test_fails(no_leaks): leak("kc-two"); assert not "what matters"
        def test_ends(): ended.set()

        def teardown_module():
            LeakCheck.__init__.__kwdefaults__["within"] = 2.0
        """)
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_passes*", "*left behind: thread kc-one*"])
    assert "left behind: thread kc-two" not in result.stdout.str()


def test_a_mark_without_names_for_its_options_is_refused(run: Callable[[str], RunResult]) -> None:
    result = run("""
        import pytest
        @pytest.mark.embedded("x")
        def test_value(api_server): pass
        @pytest.mark.embedded(windows=3)
        def test_name(api_server): pass
        """)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*embedded takes options by name*", "*unexpected keyword argument 'windows'*"])


@pytest.mark.parametrize(("missing", "remedy"), [("aiohttp.web", True), ("kcontroller.nowhere", False)])
def test_what_the_extra_brings_is_named_with_the_remedy(
    run: Callable[[str], RunResult], monkeypatch: pytest.MonkeyPatch, missing: str, *, remedy: bool
) -> None:
    def absent(_module: str) -> None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    for name in ("EmbeddedServer", "HttpFaultProxy"):
        monkeypatch.delitem(vars(kcontroller.testing), name, raising=False)
    monkeypatch.setattr("kcontroller.testing.import_module", absent)
    result = run("""
        def test_fixture(client): pass
        def test_name():
            from kcontroller.testing import HttpFaultProxy
        def test_others(clock): pass
        """)
    result.assert_outcomes(passed=1, failed=1, errors=1)
    text = result.stdout.str()
    assert (" ModuleNotFoundError: HttpFaultProxy needs aiohttp; install kcontroller[embedded]" in text) == remedy
    assert ("\nEmbeddedServer needs aiohttp; install kcontroller[embedded]\n" in text) == remedy
    assert ("During handling" in text) is False
