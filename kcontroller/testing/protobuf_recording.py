"""Asks the Go types of Kubernetes how objects are encoded as protobuf, for the embedded server to read them.

::

    .venv/bin/python -m kcontroller.testing.protobuf_recording      # after recording.py; needs go, about a minute

The answer is what no other source has in one place: field numbers, JSON names, and what Go's JSON leaves out. The
samples beside it (every kind in both encodings, with no field set, with some and with most) are what the decoder is
tested on.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import kcontroller.embedded
from kcontroller.embedded.bodies.messages import META_KINDS
from kcontroller.testing.binaries import KUBERNETES_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

_MODULES: Final = ("api", "apimachinery", "client-go", "apiextensions-apiserver", "kube-aggregator")
_PROGRAM: Final = Path(__file__).with_suffix(".go")
_DATA: Final = Path(kcontroller.embedded.__file__).parent / "data"
_SAMPLES: Final = Path(__file__).parents[2] / "tests" / "unit" / "embedded" / "data"


def served(definitions: dict[str, Any]) -> list[str]:
    """Name the kinds that a recorded server knows, ``apps/v1/Deployment``, options and other meta kinds only once."""
    names = {f"v1/{kind}" for kind in META_KINDS}
    for schema in definitions.values():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            if kind["kind"] not in META_KINDS:
                names.add(f"{kind['group']}/{kind['version']}/{kind['kind']}".removeprefix("/"))
    return sorted(names)


def ask(kinds: Iterable[str]) -> dict[str, Any]:
    """Build and run the Go program; answers with its kinds, messages and samples."""
    version = f"v0.{KUBERNETES_VERSION.partition('.')[2]}"
    required = "\n".join(f"\tk8s.io/{name} {version}" for name in _MODULES)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "go.mod").write_text(f"module recording\n\nrequire (\n{required}\n)\n", encoding="utf-8")
        Path(folder, "main.go").write_bytes(_PROGRAM.read_bytes())
        done = subprocess.run(
            ["go", "run", "-mod=mod", "."],  # noqa: S607 - go is where the developer has it
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"},
            input=json.dumps(list(kinds)).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _write(target: Path, document: dict[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(json.dumps(document, separators=(",", ":"), sort_keys=True).encode(), mtime=0))
    click.echo(f"{target}: {target.stat().st_size} bytes")


@click.command()
def main() -> None:
    """Write kcontroller/embedded/data/protobuf-*.json.gz and the samples of its test anew."""
    recorded = json.loads(gzip.decompress((_DATA / f"kubernetes-{KUBERNETES_VERSION}.json.gz").read_bytes()))
    answer = ask(served(recorded["definitions"]))
    _write(_SAMPLES / "protobuf-samples.json.gz", answer.pop("samples"))
    _write(_DATA / f"protobuf-{KUBERNETES_VERSION}.json.gz", answer)


if __name__ == "__main__":
    main()
