from __future__ import annotations

import logging
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ConfigError, PluginError
from kcontroller.multicluster.providers import catalogue, provider
from kcontroller.multicluster.providers.catalogue import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Install = Callable[..., None]

GOOD = """
    from kcontroller.multicluster.providers import Option, ProviderType

    class Mine:
        name, patience = "mine", None
        def __init__(self, options, context):
            self.options, self.context = options, context
        def start(self, sink, *, hub): ...
        def stop(self): ...

    PROVIDER = ProviderType("Mine", (Option("count", "how many", int),), Mine)
    BROKEN = ProviderType("Broken", (), lambda options, context: 1 / 0)
    REFUSING = ProviderType("Refusing", (), lambda options, context: Mine(**options))
    LACKING = ProviderType("Lacking", (), lambda options, context: 5)
    NOTHING = 5
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make what pip leaves behind for a distribution with these entry points."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def put(*lines: str, distribution: str = "acme", module: str = GOOD) -> None:
        site = tmp_path / f"site-{distribution}"
        info = site / f"{distribution}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
        (site / f"{distribution}_mod.py").write_text(textwrap.dedent(module))
        sys.path.append(str(site))

    yield put
    for name in [name for name in sys.modules if name.endswith("_mod")]:
        del sys.modules[name]
    sys.path_importer_cache.clear()


def refused(name: str, **options: str) -> str:
    with pytest.raises((ConfigError, PluginError)) as caught:
        provider(name, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_ours_are_installed_as_those_of_others_are() -> None:
    ours = [point.name for point in catalogue.installed().values() if catalogue.is_ours(point)]
    assert ours == ["file", "kubeconfig", "milo", "static"]


def test_a_provider_of_another_package_is_made_from_its_options(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    install("mine = acme_mod:PROVIDER")
    made = provider("mine", {"count": "3"})

    assert made.options == {"count": 3}  # type: ignore[attr-defined]
    (record,) = caplog.records
    assert record.kc_fields["version"] == "acme 1.2"  # type: ignore[attr-defined]
    assert len(record.kc_fields["sha256"]) == 12  # type: ignore[attr-defined]


def test_nothing_of_it_is_imported_unless_it_is_named(install: Install) -> None:
    install("mine = acme_mod:PROVIDER", module="1 / 0")
    provider("milo")
    assert refused("nobody") == (
        "there is no provider 'nobody'; the known ones are: file, kubeconfig, milo, mine, static"
    )
    assert "acme_mod" not in sys.modules


@pytest.mark.parametrize(
    ("line", "module", "text"),
    [
        (
            "mine = acme_mod:PROVIDER",
            "1 / 0",
            "acme_mod:PROVIDER cannot be imported: ZeroDivisionError: division by zero",
        ),
        ("mine = acme_mod:GONE", GOOD, "acme_mod:GONE cannot be imported: AttributeError: module 'acme_mod' has no"),
        ("mine = gone_mod:X", GOOD, "gone_mod:X cannot be imported: ModuleNotFoundError: No module named 'gone_mod'"),
        ("mine = acme_mod:PROVIDER", "exit('bye')", "acme_mod:PROVIDER cannot be imported: SystemExit: bye"),
        ("mine = acme_mod:NOTHING", GOOD, "acme_mod:NOTHING is not a ProviderType, which it must be"),
        ("mine = acme_mod:BROKEN", GOOD, "it cannot be made: ZeroDivisionError: division by zero"),
        ("mine = acme_mod:REFUSING", GOOD, "it cannot be made: TypeError: Mine.__init__() missing"),
    ],
)
def test_a_broken_one_is_one_line_that_names_its_package(install: Install, line: str, module: str, text: str) -> None:
    install(line, module=module)
    assert refused("mine").startswith(f"provider mine of acme 1.2: {text}")


def test_what_is_made_must_be_a_provider(install: Install) -> None:
    install("mine = acme_mod:LACKING")
    assert refused("mine") == (
        "what provider mine makes is no provider: it has no name, no patience, no start, no stop"
    )


def test_a_failure_shows_no_secret(install: Install) -> None:
    install("mine = acme_mod:X", module="raise ValueError('token=abcdefgh')")
    assert "abcdefgh" not in refused("mine")


def test_no_package_can_take_the_place_of_another_or_of_ours(install: Install) -> None:
    install("milo = acme_mod:PROVIDER")
    with pytest.raises(PluginError, match=r"two providers are named 'milo': one of acme 1\.2 and one of kcontroller"):
        provider("milo")


def test_options_of_another_package_are_checked_as_ours(install: Install) -> None:
    install("mine = acme_mod:PROVIDER")
    assert refused("mine", size="3") == "provider mine has no option 'size'; the known ones are: count"
    assert refused("mine", count="x") == "provider mine: count: invalid literal for int() with base 10: 'x'"
