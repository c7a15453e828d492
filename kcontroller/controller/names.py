"""What people call clusters and kinds when they ask a running process, and what it answers to names that it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
from kcontroller.errors import ClusterNotFound
from kcontroller.process.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.api.keys import GVK, Key
    from kcontroller.controller.controller import Controller
    from kcontroller.multicluster.registry import Registry

LOCAL: Final = "local"
HUB: Final = "(hub)"

_NAMED: Final = 10


class NotKnown(LookupError):
    """What was asked for is nothing of this process; the text names it and what there is."""


class Names:
    """Finds what is meant; any thread.

    Args:
        controllers: all of them.
        clusters: where they work.
        fleet: whether a provider finds the clusters.
    """

    def __init__(self, controllers: Iterable[Controller], clusters: Registry, *, fleet: bool) -> None:
        self._controllers = controllers
        self._clusters = clusters
        self._own_word = HUB if fleet else LOCAL

    def called(self, word: str) -> str:
        """The name of the cluster that people call so: that of the process itself is ``local``, a hub is ``(hub)``.

        A cluster that a provider finds may be named ``local``, and none ``(hub)``.
        """
        return "" if word == self._own_word else word

    def cluster(self, word: str) -> str:
        """The name of a cluster that is here.

        Raises:
            NotKnown: it is not.
        """
        doubt = self.doubt(word)
        if not doubt:
            return self.called(word)
        there = ", ".join(sorted(self._known() - {""})[:_NAMED]) or "none yet"
        if not self.called(word):
            msg = f"name the cluster: this process works on those of a provider ({there})"
        else:
            msg = doubt if doubt.endswith("?") else f"{doubt}; there are {there}"
        raise NotKnown(msg)

    def doubt(self, word: str) -> str:
        """Say that no cluster of this name is here, and which may be meant; "" if one is."""
        known = self._known(hub=bool(word))
        name = self.called(word)
        return "" if name in known else f"no cluster {word!r} is here{did_you_mean(word, known)}"

    def kinds_of(self, controller: Controller, cluster: str, text: str) -> set[GVK]:
        """The kinds of a controller that a text may mean."""
        own = () if controller.gvk is None else (controller.gvk,)
        declared = {*own, *(gvk_of(each.kind) for each in controller.declarations)}
        return {gvk for gvk in declared if text.lower() in self._names_of(gvk, cluster)}

    def check_namespace(self, cluster: str, kinds: Iterable[GVK], key: Key) -> None:
        """Refuse a key that no object of these kinds can have.

        Raises:
            NotKnown: its namespace is missing, or is one too many.
        """
        try:
            scopes = {gvk: self._clusters.get(cluster).is_namespaced(gvk) for gvk in kinds}
        except ClusterNotFound:
            return
        names = ", ".join(sorted(map(str, scopes)))
        if not key.namespace and all(scopes.values()):
            msg = f"{names} is namespaced; write NAMESPACE/{key.name}, such as default/{key.name}"
            raise NotKnown(msg)
        if key.namespace and all(scope is False for scope in scopes.values()):
            msg = f"{names} is in no namespace; write {key.name}"
            raise NotKnown(msg)

    def offered(self) -> str:
        """The controllers and their kinds."""
        offered = [
            f"{each.name} ({', '.join(dict.fromkeys(str(gvk_of(one.kind)) for one in each.declarations))})"
            for each in self._controllers
        ]
        return "; ".join(offered) or "no controllers"

    def _known(self, *, hub: bool = False) -> set[str]:
        known = {*(each.name for each in self._clusters), *(state.name for state in self._clusters.states())}
        return known | {""} if hub and any(each.wants_hub for each in self._controllers) else known

    def _names_of(self, gvk: GVK, cluster: str) -> set[str]:
        kind = gvk.kind.lower()
        names = {kind, f"{kind}s", str(gvk).lower()}
        try:
            plural = self._clusters.get(cluster).plural(gvk)
        except ClusterNotFound:
            plural = ""
        names |= {plural} if plural else set()
        return names | {f"{name}.{gvk.group}" for name in names if gvk.group and "/" not in name}
