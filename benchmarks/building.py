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
    sources = b"".join(path.read_bytes() for path in sorted(GO_SOURCE.iterdir()))
    return _folder() / f"controller-runtime-{_digest(sources)}"


def kopf_python() -> Path:
    """Name the Python that has Kopf."""
    made_of = KOPF_REQUIREMENTS.read_bytes() + platform.python_version().encode()
    return _folder() / f"kopf-{_digest(made_of)}" / "bin" / "python"


def build_go_program() -> Path:
    """Build the program on controller-runtime, unless it is there.

    Raises:
        CannotBuild: there is no go, or it failed.
    """
    target = go_program()
    if target.exists():
        return target
    go = shutil.which("go")
    if go is None:
        msg = "the peer on controller-runtime is built from source; install Go 1.26 or newer"
        raise CannotBuild(msg)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".partial")
    _run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "."],
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
    return program.exists() if program == go_program() else (program.parents[1] / "finished").exists()


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
