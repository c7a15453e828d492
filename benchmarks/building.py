"""The peers, made once from pinned versions and kept in the user's cache folder, one for each state of their source."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcontroller.testing import binaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GO_SOURCE: Final = Path(__file__).with_name("go")
KOPF_REQUIREMENTS: Final = Path(__file__).with_name("kopf-requirements.txt")

_BUILD_SECONDS: Final = 900  # Without any cache: client-go and all it stands on.


class CannotBuild(Exception):
    """A peer cannot be built; the text names the remedy."""


def go_program() -> Path:
    """Name the file of the built program on controller-runtime."""
    return _go_program("controller-runtime", GO_SOURCE)


def go_fleet_program() -> Path:
    """Name the file of the built program on multicluster-runtime."""
    return _go_program("multicluster-runtime", GO_SOURCE / "fleet")


def kopf_python() -> Path:
    """Name the Python that has Kopf."""
    made_of = KOPF_REQUIREMENTS.read_bytes() + platform.python_version().encode()
    return _folder() / f"kopf-{_digest(made_of)}" / "bin" / "python"


def build_go_program() -> Path:
    """Build the program on controller-runtime, unless it is there.

    Raises:
        CannotBuild: there is no go, or it failed.
    """
    return _build_go(go_program(), ".")


def build_go_fleet_program() -> Path:
    """Build the program on multicluster-runtime, unless it is there.

    Raises:
        CannotBuild: there is no go, or it failed.
    """
    return _build_go(go_fleet_program(), "./fleet")


def _build_go(target: Path, package: str) -> Path:
    if target.exists():
        return target
    go = shutil.which("go")
    if go is None:
        msg = "the peers in Go are built from source; install Go 1.26 or newer"
        raise CannotBuild(msg)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".partial")
    _run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), package],
        {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"},
    )
    unfinished.rename(target)
    return target


def build_kopf() -> Path:
    """Make the environment of Kopf, unless it is there.

    Raises:
        CannotBuild: pip failed.
    """
    python = kopf_python()
    folder = python.parents[1]
    if (folder / "finished").exists():
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(KOPF_REQUIREMENTS)])
    (folder / "finished").touch()
    return python


def built(program: Path) -> bool:
    """Whether a program that this module names is there."""
    return (
        program.exists()
        if program in {go_program(), go_fleet_program()}
        else (program.parents[1] / "finished").exists()
    )


def _go_program(name: str, folder: Path) -> Path:
    modules = (GO_SOURCE / "go.mod", GO_SOURCE / "go.sum")
    sources = b"".join(path.read_bytes() for path in (*modules, *sorted(folder.glob("*.go"))))
    return _folder() / f"{name}-{_digest(sources)}"


def _folder() -> Path:
    return binaries.cache_directory().parents[1] / "benchmarks"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        command,
        cwd=GO_SOURCE,
        env={**os.environ, **(environment or {})},
        timeout=_BUILD_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"{' '.join(command[:4])} failed:\n{done.stderr.strip()[-2000:]}"
        raise CannotBuild(msg)
