from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.errors import ControlPlaneError
from kcontroller.testing import binaries

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))


def fill(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def test_a_bare_machine_has_none() -> None:
    assert binaries.find() is None


def test_the_cache_of_these_versions_is_found() -> None:
    directory = fill(binaries.cache_directory(), "kube-apiserver", "etcd")
    assert binaries.find() == binaries.Binaries(directory / "kube-apiserver", directory / "etcd")


def test_half_a_cache_is_none() -> None:
    fill(binaries.cache_directory(), "etcd")
    assert binaries.find() is None


def test_the_cache_is_named_after_both_versions() -> None:
    assert binaries.cache_directory().name == f"{binaries.KUBERNETES_VERSION}-{binaries.ETCD_VERSION}"


def test_kubebuilder_assets_win_over_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(binaries.cache_directory(), "kube-apiserver", "etcd")
    assets = fill(tmp_path / "assets", "kube-apiserver", "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = binaries.find()
    assert found is not None
    assert found.etcd == assets / "etcd"


def test_incomplete_kubebuilder_assets_are_an_error_that_names_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assets = fill(tmp_path / "assets", "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    with pytest.raises(ControlPlaneError, match=f"KUBEBUILDER_ASSETS={assets} lacks"):
        binaries.find()


def test_a_file_that_cannot_be_executed_does_not_count() -> None:
    directory = fill(binaries.cache_directory(), "kube-apiserver", "etcd")
    (directory / "etcd").chmod(0o644)
    assert binaries.find() is None


def test_a_finished_build_is_not_repeated() -> None:
    fill(binaries.cache_directory(), "kube-apiserver", "etcd")
    lines: list[str] = []
    assert binaries.build(report=lines.append) == binaries.find()
    assert lines == []


def test_a_build_without_go_says_what_to_install() -> None:
    with pytest.raises(ControlPlaneError, match=r"needs Go 1\.25 or newer on PATH; install it"):
        binaries.build()
