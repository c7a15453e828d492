"""The real kube-apiserver and etcd, built once from the Go module proxy and cached.

`find()` answers where the two programs are, `build()` makes them. ``KUBEBUILDER_ASSETS`` wins where it is set, as
in controller-runtime's envtest; otherwise they live under the user's cache folder, one directory per pair of versions,
so that an upgrade never mixes two builds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable

KUBERNETES_VERSION: Final = "1.36.3"
ETCD_VERSION: Final = "3.6.13"

_VERSION_PACKAGE: Final = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of one kube-apiserver and one etcd."""

    kube_apiserver: Path
    etcd: Path

    @property
    def complete(self) -> bool:
        """Whether both files exist and may be executed."""
        return all(os.access(path, os.X_OK) for path in (self.kube_apiserver, self.etcd))


def _in_directory(directory: Path) -> Binaries:
    return Binaries(directory / "kube-apiserver", directory / "etcd")


def cache_directory() -> Path:
    """Name the directory that `build` fills: ``$XDG_CACHE_HOME/kcontroller/envtest/<versions>``."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "kcontroller" / "envtest" / f"{KUBERNETES_VERSION}-{ETCD_VERSION}"


def find() -> Binaries | None:
    """Find the real servers; None if this machine has none yet.

    Raises:
        ControlPlaneError: ``KUBEBUILDER_ASSETS`` is set but does not hold both programs.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        binaries = _in_directory(Path(assets))
        if not binaries.complete:
            remedy = "unset it to use the ones of `bin/envtest build`"
            msg = f"KUBEBUILDER_ASSETS={assets} lacks kube-apiserver or etcd; {remedy}"
            raise ControlPlaneError(msg)
        return binaries
    binaries = _in_directory(cache_directory())
    return binaries if binaries.complete else None


def build(*, report: Callable[[str], None] = lambda _line: None) -> Binaries:
    """Build what is missing and return the paths; a machine that has both returns at once.

    Needs ``go`` on the path and a Go module proxy; takes about four minutes on two cores the first time.

    Raises:
        ControlPlaneError: no ``go``, or the build failed; the text carries the last lines of the compiler.
    """
    found = find()
    if found is not None:
        return found
    if shutil.which("go") is None:
        remedy = "install it, or point KUBEBUILDER_ASSETS at ready ones"
        msg = f"building kube-apiserver and etcd needs Go 1.25 or newer on PATH; {remedy}"
        raise ControlPlaneError(msg)
    directory = cache_directory()
    binaries = _in_directory(directory)
    if not binaries.etcd.exists():
        report(f"building etcd {ETCD_VERSION} (about half a minute)")
        module = f"module envtest\n\nrequire go.etcd.io/etcd/server/v3 v{ETCD_VERSION}\n"
        _go_build(module, "go.etcd.io/etcd/server/v3", binaries.etcd, ldflags="-s -w")
    if not binaries.kube_apiserver.exists():
        report(f"building kube-apiserver {KUBERNETES_VERSION} (three to four minutes)")
        _go_build(
            _kubernetes_module(), "k8s.io/kubernetes/cmd/kube-apiserver", binaries.kube_apiserver, ldflags=_stamp()
        )
    report(f"built into {directory}")
    return binaries


def _stamp() -> str:
    # Without these the server calls itself v0.0.0-master and refuses some of its own feature defaults.
    major, minor, _patch = KUBERNETES_VERSION.split(".")
    values = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in values.items())


def _kubernetes_module() -> str:
    """Write a go.mod for kube-apiserver: its staging modules are published as v0.x of the same minor release."""
    answer = _go("mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES_VERSION}")
    upstream = Path(json.loads(answer)["GoMod"]).read_text(encoding="utf-8")
    staging = re.findall(r"^\s*(k8s\.io/\S+) => \./staging/", upstream, re.MULTILINE)
    published = "v0." + KUBERNETES_VERSION.split(".", 1)[1]
    lines = ["module envtest", "", f"require k8s.io/kubernetes v{KUBERNETES_VERSION}", ""]
    lines += [f"replace {name} => {name} {published}" for name in staging]
    return "\n".join(lines) + "\n"


def _go_build(module: str, package: str, target: Path, *, ldflags: str) -> None:
    workspace = target.parent / f"{target.name}.build"
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "go.mod").write_text(module, encoding="utf-8")
    unfinished = target.with_suffix(".partial")
    _go("build", "-mod=mod", "-trimpath", "-ldflags", ldflags, "-o", str(unfinished), package, cwd=workspace)
    unfinished.rename(target)  # A build that was interrupted must never look like a finished one.
    shutil.rmtree(workspace)


def _go(*arguments: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [shutil.which("go") or "go", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        msg = f"go {arguments[0]} failed:\n{tail}"
        raise ControlPlaneError(msg)
    return done.stdout
