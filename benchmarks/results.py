"""Where figures are kept, and what is made of them: the picture, and the tables in README.md.

A later run with the same name, kind and variant replaces an earlier one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import engaging, isolation, leaving, memory, queueing, tables
from benchmarks.contenders import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER: Final = Path(__file__).with_name("results")
README: Final = Path(__file__).with_name("README.md")

_BEGIN: Final = "<!-- figures: written by `bin/bench NAME --save` -->"
_END: Final = "<!-- end of figures -->"
_USUAL: Final = 20_000
_ORDER: Final = ("sync", "reconcile", "write", "latency", "store", "queue", "fleet", "leaving", "isolation")


def save(document: dict[str, Any], folder: Path = FOLDER, readme: Path = README) -> None:
    """Keep a document, draw the picture anew and write the tables of all that is kept into the README."""
    folder.mkdir(exist_ok=True)
    (folder / f"{_stem(document)}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    # In a process of its own: matplotlib keeps its fonts open.
    command = [sys.executable, "-m", "benchmarks.picture", str(folder.resolve())]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - ourselves
    kept = load(folder)
    before, rest = readme.read_text(encoding="utf-8").split(_BEGIN)
    _old, after = rest.split(_END)
    readme.write_text(f"{before}{_BEGIN}\n\n{_tables(kept)}\n\n{_END}{after}", encoding="utf-8")


def load(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Read what is kept, in the order in which it is shown."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted(documents, key=lambda each: (_ORDER.index(each["name"]), each.get("kind") == "pods"))


def _stem(document: dict[str, Any]) -> str:
    parts = [document["name"]]
    if document.get("kind", "widgets") != "widgets":
        parts.append(document["kind"])
    if document.get("during_sync"):
        parts.append("during-sync")
    if document.get("ours", {}).get("heartbeat_ms") is not None:
        parts.append("heartbeat")
    if (objects := document.get("objects", _USUAL)) != _USUAL:
        parts.append(str(objects))
    return "-".join(parts)


def _tables(documents: Iterable[dict[str, Any]]) -> str:
    return "\n\n".join(_table(each) for each in documents)


def _table(document: dict[str, Any]) -> str:
    whole = {"fleet": engaging.table, "leaving": leaving.table, "isolation": isolation.table}
    of_the_whole = whole.get(document["name"])
    if of_the_whole is not None:
        return of_the_whole(document)
    without_a_server = {"store": memory.table, "queue": queueing.table}.get(document["name"])
    if without_a_server is not None:
        return without_a_server(document["results"])
    return f"{tables.table(document)}\n\n{_machine(document)}"


def _machine(document: dict[str, Any]) -> str:
    facts = document["machine"]
    peers = [f"{name} {facts[name]}" for name in ("controller-runtime", "kopf", "kube-apiserver")]
    return (
        f"{facts['cores']} cores of {facts['processor']}, load {facts['load']} before; Python {facts['python']}, "
        f"Go {facts['go']}, {', '.join(peers)}; {document['bytes_on_the_wire']:,} bytes an object."
    )
