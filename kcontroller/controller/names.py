"""What people call clusters and kinds when they ask a running process, and what it answers to names that it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
from kcontroller.errors import ClusterNotFound, ConfigError
from kcontroller.process.spelling import listed, meant_or_known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.api.keys import GVK, Key
    from kcontroller.controller.controller import Controller
    from kcontroller.multicluster.registry import Registry

ANY: Final = "*"
LOCAL: Final = "local"
HUB: Final = "(hub)"


class NotKnown(LookupError):
    """What was asked for is nothing of this process; the text names it and what there is."""


def called_own(*, fleet: bool) -> str:
    """What people call the cluster of the process itself, whose name is "".

    It is ``local``, and ``(hub)`` where a provider finds the others: one of these may be named ``local``, and none
    ``(hub)``.
    """
    return HUB if fleet else LOCAL


def target_named(word: str, *, fleet: bool) -> str:
    """The name of the cluster that a command is about; it may come later. "*" is every cluster.

    Raises:
        ConfigError: no cluster that it could be will ever be here.
    """
    if word == ANY:
        return word
    if "*" in word or "?" in word:
        msg = f"{word!r} is a pattern; name one cluster, or leave it out for all"
        raise ConfigError(msg)
    if word == called_own(fleet=fleet):
        return ""
    if not fleet:
        msg = f"no cluster {word!r} can be here: the process has no provider, and its one cluster is called {LOCAL}"
        raise ConfigError(msg)
    return word


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
        self._fleet = fleet
        self._own_word = called_own(fleet=fleet)

    def called(self, word: str) -> str:
        """The name of the cluster that people call so; see `called_own`. Others are called by their names."""
        return "" if word == self._own_word else word

    def shown(self, name: str) -> str:
        """What people call the cluster of that name."""
        return name or self._own_word

    def where(self, name: str) -> str:
        """What people call it, if there may be others; else ""."""
        return name or (HUB if self._fleet else "")

    def target(self, word: str) -> str:
        """The name of the cluster that a command is about, whether it is here or not; raises as `target_named`."""
        return target_named(word, fleet=self._fleet)

    def cluster(self, word: str) -> str:
        """The name of a cluster that is here.

        Raises:
            NotKnown: it is not.
        """
        known = self._known()
        if not word and (self._fleet or "" not in known):
            there = listed([self.shown(name) for name in known]) or "none yet"
            msg = f"name the cluster: this process works on those of a provider ({there})"
            raise NotKnown(msg)
        doubt = self.doubt(word)
        if doubt:
            raise NotKnown(doubt)
        return self.called(word)

    def doubt(self, word: str) -> str:
        """Say that no cluster of this name is here, and which may be meant or are; "" if one is."""
        known = self._known()
        if self.called(word) in known:
            return ""
        if word == self._own_word:
            return f"no controller here works on the {word}"
        return f"no cluster {word!r} is here{meant_or_known(word, [self.shown(name) for name in known])}"

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

    def _known(self) -> set[str]:
        return {*(each.name for each in self._clusters), *(state.name for state in self._clusters.states())}

    def _names_of(self, gvk: GVK, cluster: str) -> set[str]:
        kind = gvk.kind.lower()
        names = {kind, f"{kind}s", str(gvk).lower()}
        try:
            plural = self._clusters.get(cluster).plural(gvk)
        except ClusterNotFound:
            plural = ""
        names |= {plural} if plural else set()
        return names | {f"{name}.{gvk.group}" for name in names if gvk.group and "/" not in name}
