"""The programs that are compared, how each is started, and who is compared with whom."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import building

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ("controller-runtime-typed", "controller-runtime-unstructured", "kopf")


@dataclass(frozen=True, slots=True)
class Contender:
    """One program in one form.

    Attributes:
        name: ``ours``, ``ours_unstructured``, or one of `PEERS`.
        form: ``typed`` or ``unstructured``.
        command: what starts it, without its work.
    """

    name: str
    form: str
    command: tuple[str, ...]


OURS_COMMAND: Final = (sys.executable, "-P", "-m", "benchmarks.kcontroller_side")
OURS: Final = {
    "ours": Contender("ours", "typed", OURS_COMMAND),
    "ours_unstructured": Contender("ours_unstructured", "unstructured", OURS_COMMAND),
}


def ours_for(peer: str) -> str:
    """Name our side of the same form; Kopf's handlers get dicts, and are compared with our typed side."""
    return "ours_unstructured" if peer == "controller-runtime-unstructured" else "ours"


def choose(peers: Iterable[str]) -> tuple[Contender, ...]:
    """Put every peer right behind our side of its form, and build those that are not there yet.

    Raises:
        building.CannotBuild: a peer cannot be built.
    """
    chosen = {"ours": OURS["ours"]}
    for name in peers:
        chosen.setdefault(ours_for(name), OURS[ours_for(name)])
        chosen[name] = _peer(name)
    return tuple(chosen.values())


def _peer(name: str) -> Contender:
    if name == "kopf":
        return Contender(name, "unstructured", kopf_command(building.build_kopf()))
    return Contender(name, name.rpartition("-")[2], (str(building.build_go_program()),))


def kopf_command(python: Path) -> tuple[str, ...]:
    """What starts Kopf's side."""
    return (str(python), str(Path(__file__).with_name("kopf_side.py")))


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
