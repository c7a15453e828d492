"""Puts one API together: kinds, store, control loops, and what a server has in it before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import definitions, milo
from kcontroller.embedded.api import Api
from kcontroller.embedded.backend import Backend
from kcontroller.embedded.calls import Call, User
from kcontroller.embedded.kinds import Catalog
from kcontroller.embedded.loops import projects
from kcontroller.embedded.loops.crds import Definitions
from kcontroller.embedded.loops.garbage import Garbage
from kcontroller.embedded.loops.namespaces import Namespaces
from kcontroller.embedded.loops.runner import Loops
from kcontroller.embedded.store import ROOT, Store
from kcontroller.embedded.writes import create

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kcontroller.embedded.loops.runner import Controller
    from kcontroller.embedded.recorded import Recorded

_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_SYSTEM: Final = User("system:apiserver", ("system:masters",))


def boot(
    recorded: Recorded,
    *,
    now: Callable[[], datetime],
    soon: Callable[[Callable[[], None]], object],
    window: int = 10_000,
    controllers: bool = True,
    options: milo.Milo | None = None,
) -> Api:
    """Make an API with its namespaces, and with Milo's definitions and projects if `options` are given.

    Args:
        recorded: the built-in kinds.
        now: wall time, UTC.
        soon: runs a function after the current request; the control loops work there.
        window: how many changes each resource keeps for watches.
        controllers: whether namespaces are emptied and dependents follow their owners; a bare kube-apiserver does
            neither.
        options: what of Milo is switched on.
    """
    backend = Backend(Catalog(recorded.kinds, recorded.groups), Store(window=window), now)
    loops: list[Controller] = [Definitions(backend)]
    if controllers:
        loops += [Namespaces(backend), Garbage(backend)]
    if options is not None:
        loops.append(projects.Projects(backend, options))
    runner = Loops(loops, soon)
    backend.store.observe(runner.observe)
    for name in _NAMESPACES:
        backend.store.put(ROOT, "namespaces", projects.new_namespace(backend, name))
    if options is not None:
        _boot_milo(backend, options)
    backend.store.compact()
    backend.store.started = backend.store.version
    if options is None:
        return Api(backend, runner, None)
    return Api(backend, runner, milo.ColdStorage() if options.cold_storage else None, milo.Suspensions(backend))


def _boot_milo(backend: Backend, options: milo.Milo) -> None:
    backend.store.put(ROOT, "namespaces", projects.new_namespace(backend, "milo-system"))
    for document in projects.definitions():
        definitions.complete(document)
        _create(backend, "apiextensions.k8s.io/v1", "customresourcedefinitions", document)
        # Served at once: the projects below need it, and the control loop only comes after this.
        backend.catalog.replace(document["metadata"]["name"], definitions.kinds_of(document))
    if not options.projects:
        return
    api_version = f"{milo.GROUP}/v1alpha1"
    organization = {
        "apiVersion": api_version,
        "kind": "Organization",
        "metadata": {"name": options.organization},
        "spec": {"type": "Standard"},
    }
    _create(backend, api_version, "organizations", organization)
    for name in options.projects:
        project = {
            "apiVersion": api_version,
            "kind": "Project",
            "metadata": {"name": name, "labels": {f"{milo.GROUP}/organization-name": options.organization}},
            "spec": {"ownerRef": {"kind": "Organization", "name": options.organization}},
        }
        _create(backend, api_version, "projects", project)


def _create(backend: Backend, api_version: str, plural: str, document: dict[str, Any]) -> None:
    group, _, version = api_version.rpartition("/")
    kind = backend.catalog.find(group, version, plural)
    if kind is None:
        msg = f"{plural}.{group} is not served"
        raise LookupError(msg)
    create(backend, Call("create", ROOT, kind, "", "", "", {}, _SYSTEM, "kcontroller/embedded"), document)
