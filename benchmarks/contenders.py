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
PEERS: Final = (
    "controller-runtime-typed",
    "controller-runtime-typed-stripped",
    "controller-runtime-unstructured",
    "kopf",
    "kopf-async",
)

UNSTRUCTURED: Final = "controller-runtime-unstructured"
"""The peer that our unstructured side is compared with; all are compared with our typed side."""

_ONLY: Final = {
    "controller-runtime-typed-stripped": ("sync", "reconcile"),
    "kopf": ("reconcile",),
    "kopf-async": ("reconcile",),
}
_KOPF_FORMS: Final = {"kopf": "def", "kopf-async": "async"}


@dataclass(frozen=True, slots=True)
class Contender:
    """One program in one form.

    Attributes:
        name: ``ours``, ``ours_unstructured``, or one of `PEERS`.
        form: ``typed`` or ``unstructured``; controller-runtime's also ``typed-stripped``; Kopf's ``def`` or ``async``.
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


def takes_part(peer: str, benchmark: str) -> bool:
    """Whether a peer can do the work of a benchmark, and does something there that another peer does not."""
    return benchmark in _ONLY.get(peer, (benchmark,))


def is_slow(contender: Contender) -> bool:
    """Whether it needs so long that it takes part in few rounds."""
    return contender.name in _KOPF_FORMS


def choose(peers: Iterable[str]) -> tuple[Contender, ...]:
    """Put our side and the peers in their order, and build those that are not there yet.

    Our unstructured side takes part if its peer does, right before it.

    Raises:
        building.CannotBuild: a peer cannot be built.
    """
    chosen = {"ours": OURS["ours"]}
    for name in peers:
        if name == UNSTRUCTURED:
            chosen["ours_unstructured"] = OURS["ours_unstructured"]
        chosen[name] = _peer(name)
    return tuple(chosen.values())


def _peer(name: str) -> Contender:
    if name in _KOPF_FORMS:
        return Contender(name, _KOPF_FORMS[name], kopf_command(building.build_kopf()))
    return Contender(name, name.removeprefix("controller-runtime-"), (str(building.build_go_program()),))


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
