from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import kcontroller.cli
from kcontroller.cli.commands import cli
from kcontroller.cli.demo_run import EarlyEnd, find_example
from kcontroller.errors import PluginError
from kcontroller.process.signals import ECHO_SECONDS

ROOT = Path(kcontroller.__file__).parents[1]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["demo", *arguments])


def last_line(result: Result) -> str:
    assert "Traceback" not in result.output
    return result.output.rstrip("\n").rpartition("\n")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--duration", "20"], "'20' is not a duration; write 300ms, 10s, 2m or 1h30m"),
        (["--duration", "-1s"], "'-1s' is below 0"),
        (["--projects", "0"], "0 is not in the range 1<=x<=100."),
        (["--projects", "101"], "101 is not in the range 1<=x<=100."),
        (["--projects", "three"], "'three' is not a valid integer range."),
        (["--widgets", "0"], "0 is not in the range 1<=x<=100."),
    ],
)
def test_a_bad_value_names_its_option(arguments: list[str], message: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert last_line(result).startswith(f"Error: Invalid value for '{arguments[0]}' (env var: 'KCONTROLLER_DEMO_")
    assert last_line(result).endswith(f": {message}")


def test_an_argument_too_many_is_refused() -> None:
    assert last_line(run("widget.py")) == "Error: Got unexpected extra argument (widget.py)"


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kcontroller.cli.demo_run")
    monkeypatch.delattr(kcontroller.cli, "demo_run")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    result = run()

    assert result.exit_code == 2
    assert last_line(result) == (
        "Error: the module 'rich' is not installed; the demo needs pip install 'kcontroller[embedded]'"
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
        (OSError(errno.ENOSPC, "No space left on device"), "Error: No space left on device\n"),
    ],
)
def test_an_output_that_is_closed_or_full_is_no_bug(monkeypatch: pytest.MonkeyPatch, error: OSError, told: str) -> None:
    def refuse(_options: object) -> bool:
        raise error

    monkeypatch.setattr("kcontroller.cli.demo_run.run", refuse)
    result = run("--json")

    assert (result.exit_code, result.stderr) == (1, told)


# ---- the example -----------------------------------------------------------------------------------------------------


def put_example(place: Path) -> Path:
    place.mkdir(parents=True)
    for name in ("crd.yaml", "widget.py"):
        (place / name).touch()
    return place


def test_the_example_is_that_of_the_checkout() -> None:
    assert find_example(ROOT, ()) == ROOT / "examples" / "widget"


def test_the_example_of_an_installation_is_among_its_data(tmp_path: Path) -> None:
    system, user = tmp_path / "usr", tmp_path / "home"
    place = put_example(user / "share/kcontroller/examples/widget")

    assert find_example(tmp_path / "site-packages", (system, user)) == place


def test_the_example_of_an_installation_into_a_folder_is_beside_the_package(tmp_path: Path) -> None:
    place = put_example(tmp_path / "share/kcontroller/examples/widget")

    assert find_example(tmp_path, ()) == place


def test_half_an_example_is_none_and_the_places_are_named(tmp_path: Path) -> None:
    (put_example(tmp_path / "examples/widget") / "crd.yaml").unlink()
    with pytest.raises(PluginError) as caught:
        find_example(tmp_path, (tmp_path / "usr",))

    assert str(caught.value) == (
        f"the Widget example is missing; looked in {tmp_path}/examples/widget, "
        f"{tmp_path}/usr/share/kcontroller/examples/widget, {tmp_path}/share/kcontroller/examples/widget"
    )


# ---- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_the_end_and_the_second_raises(number: signal.Signals) -> None:
    now = [100.0]
    before = signal.getsignal(number)
    with EarlyEnd(lambda: now[0]) as early:
        assert not early.wait(0)
        os.kill(os.getpid(), number)
        assert early.wait(5)
        now[0] += ECHO_SECONDS  # What comes so soon is the same signal once more.
        os.kill(os.getpid(), number)
        now[0] += 0.01
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)

    assert early.asked
    assert signal.getsignal(number) is before
