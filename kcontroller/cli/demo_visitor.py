"""Somebody who uses the fleet of ``kcontroller demo``: adds, scales, damages and deletes, one deed after the other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from kcontroller.api import patches
from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.errors import AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.client.client import Client

API_VERSION: Final = "example.com/v1"
WIDGET: Final = f"{API_VERSION} Widget"
NAMESPACE: Final = "default"

_IMAGE: Final = "nginx:1.29"
_SIZES: Final = 4


class Visitor:
    """Knows what should be there in the end: `widgets` Widgets in each cluster.

    The deeds come in a fixed order, in turn over the clusters, so that two runs of the same length do the same.

    Args:
        users: a client for each cluster.
        widgets: how many Widgets each cluster has.
    """

    def __init__(self, users: Mapping[str, Client], widgets: int) -> None:
        self._users = users
        self._names = tuple(users)
        self._widgets = widgets
        self._deeds = 0
        self._extras: dict[tuple[str, str], None] = {}

    def prepare(self) -> None:
        """Create the Widgets, and the namespace where it is missing."""
        for user in self._users.values():
            with contextlib.suppress(AlreadyExists):
                user.create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
            for number in range(1, self._widgets + 1):
                user.create(_widget(f"widget-{number}"))

    def act(self) -> str:
        """Do the next deed and say what it was."""
        turn, place = divmod(self._deeds, len(self._names))
        cycle, deed = divmod(turn, 4)
        again, number = divmod(cycle, self._widgets)
        self._deeds += 1
        cluster = self._names[place]
        name, extra = f"widget-{number + 1}", f"extra-{cycle + 1}"
        does = (
            lambda: self._scale(cluster, name, 2 + again % _SIZES),
            lambda: self._add(cluster, extra),
            lambda: self._damage(cluster, name),
            lambda: self._delete(cluster, extra),
        )
        return f"{cluster}: {does[deed]()}"

    def leave(self) -> None:
        """Delete the Widgets that were not there at the start."""
        for cluster, name in tuple(self._extras):
            self._delete(cluster, name)

    def _scale(self, cluster: str, name: str, replicas: int) -> str:
        self._users[cluster].patch(_widget(name), patches.merge({"spec": {"replicas": replicas}}))
        return f"scaled {name} to {replicas}"

    def _add(self, cluster: str, name: str) -> str:
        self._users[cluster].create(_widget(name))
        self._extras[cluster, name] = None
        return f"created {name}"

    def _damage(self, cluster: str, name: str) -> str:
        with contextlib.suppress(NotFound):
            self._users[cluster].delete("v1 ConfigMap", Key(NAMESPACE, name))
        return f"deleted the ConfigMap of {name}"

    def _delete(self, cluster: str, name: str) -> str:
        self._users[cluster].delete(WIDGET, Key(NAMESPACE, name))
        del self._extras[cluster, name]
        return f"deleted {name}"


def _widget(name: str) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return Object({"apiVersion": API_VERSION, "kind": "Widget", "metadata": metadata, "spec": {"image": _IMAGE}})
