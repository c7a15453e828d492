"""The programs that are compared, and how each is started."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kcontroller.testing import binaries

ROOT: Final = Path(__file__).parents[1]
GO_SOURCE: Final = Path(__file__).with_name("go")

_BUILD_SECONDS: Final = 900  # Without any cache: client-go and all it stands on.


@dataclass(frozen=True, slots=True)
class Contender:
    """One program in one form.

    Attributes:
        name: such as ``controller-runtime-typed``.
        form: ``typed`` or ``unstructured``.
        command: what starts it, without the arguments of the work.
    """

    name: str
    form: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Our side and the peer's, in the same form."""

    ours: Contender
    peer: Contender


class CannotBuild(Exception):
    """The peer cannot be built; the text names the remedy."""


def pairs() -> tuple[Pair, ...]:
    """Make the pairs, and build the peer if it is not yet; `CannotBuild` if that fails."""
    ours, peer = (sys.executable, "-P", "-m", "benchmarks.kcontroller_side"), (str(build()),)
    return tuple(
        Pair(Contender(f"kcontroller-{form}", form, ours), Contender(f"controller-runtime-{form}", form, peer))
        for form in ("typed", "unstructured")
    )


def environment(kubeconfig: Path) -> dict[str, str]:
    """Make what every contender finds around it: a kubeconfig, and for Python what `bin/kcontroller` sets."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        # Compiled modules are read and written, as in an installation.
        "PYTHONPATH": str(ROOT),
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
        "KUBECONFIG": str(kubeconfig),
        "HOME": str(kubeconfig.parent),
    }


def program() -> Path:
    """Name the file of the built peer; one for each state of its source."""
    sources = b"".join(path.read_bytes() for path in sorted(GO_SOURCE.iterdir()))
    version = hashlib.sha256(sources).hexdigest()[:16]
    return binaries.cache_directory().parents[1] / "benchmarks" / f"controller-runtime-{version}"


def build() -> Path:
    """Build the peer on controller-runtime, unless it is in the cache.

    Raises:
        CannotBuild: there is no go, or it failed.
    """
    target = program()
    if target.exists():
        return target
    go = shutil.which("go")
    if go is None:
        msg = "the peer on controller-runtime is built from source; install Go 1.26 or newer"
        raise CannotBuild(msg)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".partial")
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "."],
        cwd=GO_SOURCE,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"},
        timeout=_BUILD_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"go build failed:\n{done.stderr.strip()[-2000:]}"
        raise CannotBuild(msg)
    unfinished.rename(target)
    return target
