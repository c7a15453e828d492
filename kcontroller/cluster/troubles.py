"""What is wrong with a cluster: one line when it begins, one when it is over."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.errors import Forbidden, NotFound, Unauthorized
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from kcontroller.api.keys import GVK
    from kcontroller.transport.config import Config

_log: Final = Log("kcontroller.cluster")


def in_words(error: Exception, gvk: GVK, config: Config) -> str:
    """Name the thing and the remedy."""
    match error:
        case NotFound(reason=""):
            return (
                f"the server does not serve {gvk}; it will be picked up when its CustomResourceDefinition is installed"
            )
        case Forbidden():
            return f"{error}; grant this user the verbs get, list and watch on {error.resource}"
        case Unauthorized():
            return f"{error}; {config.server} does not accept the credentials of {config.source or 'the configuration'}"
        case _:
            return str(error)


class Troubles:
    """The troubles of one cluster's kinds; three informers that meet the same dead server say so once.

    Args:
        cluster: for the log.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._by_kind: dict[str, str] = {}

    def set(self, kind: str, text: str) -> None:
        """Note what is wrong with a kind; "" means that nothing is."""
        with self._lock:
            before = self._by_kind.get(kind, "")
            if text == before:
                return
            said_already = text in self._by_kind.values()
            if text:
                self._by_kind[kind] = text
            else:
                del self._by_kind[kind]
            over = bool(before) and not self._by_kind
        if text and not said_already:
            _log.warning("%s; trying again", text, cluster=self._cluster, kind=kind)
        elif over:
            _log.info("the cluster answers again", cluster=self._cluster)

    def all(self) -> dict[str, str]:
        """What is wrong, by kind."""
        with self._lock:
            return dict(self._by_kind)

    def of(self, kind: str) -> str:
        """What is wrong with a kind, or ""."""
        with self._lock:
            return self._by_kind.get(kind, "")
