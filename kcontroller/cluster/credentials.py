"""The exec plugins that a cluster's credentials come from: in use until it has other credentials, or leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.transport.exec_plugin import plugins_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Credentials
    from kcontroller.transport.exec_plugin import ExecCredentials

CREDENTIALS: Final = "credentials"
"""What `Cluster.troubles` calls a plugin that does not answer."""


class PluginsInUse:
    """The plugins of the credentials that one cluster uses; other clusters may use them, too.

    Args:
        credentials: the first ones.
        leaving: stops when the cluster leaves.
    """

    __slots__ = ("_leaves", "_leaving", "_plugins")

    def __init__(self, credentials: Credentials, leaving: StopToken) -> None:
        self._leaving = leaving
        self._plugins: tuple[ExecCredentials, ...] = ()
        self._leaves: tuple[Callable[[], None], ...] = ()
        self.exchange(credentials)

    def exchange(self, credentials: Credentials) -> None:
        """Use those of other credentials; a run of one that nobody else uses ends."""
        left = self._leaves
        self._plugins = plugins_of(credentials)
        leaves = tuple(plugin.join() for plugin in self._plugins)
        self._leaves = leaves + tuple(self._leaving.on_stop(leave) for leave in leaves)
        for leave in left:
            leave()

    @property
    def trouble(self) -> str:
        """Which of them do not answer; "" while all do."""
        return "; ".join(filter(None, (plugin.trouble for plugin in self._plugins)))
