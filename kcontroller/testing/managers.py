"""Managers and clients on the embedded server, for the fixtures of these names."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports, WriteOptions
from kcontroller.config import ManagerOptions
from kcontroller.embedded.milo import control_plane_path
from kcontroller.errors import KControllerError, ModelMismatch
from kcontroller.manager import Manager
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, bearer
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from kcontroller.controller import Reconciler
    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.multicluster import Provider
    from kcontroller.process.clock import Clock

_GRACE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.001
_SETTLE_SECONDS: Final = 0.03  # What an event needs from the server to the queue, many times over.
_WORKERS: Final = ("kc-worker-", "kc-mapper")
_OPTIONS: Final = {"metrics_bind_address": "0", "health_probe_bind_address": "0"}


def config_of(server: EmbeddedServer, *, cluster: str = "", user: str = "admin") -> Config:
    """Make the configuration of an embedded server, or of one project's control plane on it."""
    header = bearer(server.user_token(user), what=f"the token of {user}")
    place = control_plane_path(cluster)
    source = f"embedded server{f', project {cluster}' if cluster else ''}"
    return Config(server.url + place, StaticCredentials(header), TLSConfig(ca=server.ca_pem.encode()), source=source)


class ServerClient(Client):
    """A client straight to the embedded server; call it for the clients of projects and of other users.

    ::

        client.get("v1 ConfigMap", key)
        client(cluster="p1").get("v1 ConfigMap", key)
        client(user="nobody").get("v1 ConfigMap", key)      # raises Forbidden

    Args:
        server: it runs.
    """

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._requesters: list[Requester] = []
        self._others: dict[tuple[str, str], Client] = {}
        super().__init__(self._new_ports("", "admin"), WriteOptions(field_owner="test"))

    def __call__(self, *, cluster: str = "", user: str = "admin") -> Client:
        """Give the client of a project's control plane ("" for the root) and a user; the same for the same."""
        known = self._others.get((cluster, user))
        if known is None:
            known = Client(self._new_ports(cluster, user), WriteOptions(field_owner="test"))
            self._others[cluster, user] = known
        return known

    def close(self) -> None:
        """Close the connections."""
        for requester in self._requesters:
            requester.close()

    def _new_ports(self, cluster: str, user: str) -> Ports:
        requester = Requester(config_of(self._server, cluster=cluster, user=user))
        self._requesters.append(requester)
        direct = DirectPort(requester, RestMapper(requester))
        return Ports(reader=direct, live=direct, writer=direct)


class Managers:
    """Starts managers on a server and stops them; the fixture ``manager`` is one of these.

    Args:
        server: the embedded server.
        clock: the time of the managers that do not name another.
    """

    def __init__(self, server: EmbeddedServer, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._server = server
        self._clock = clock
        self._started: list[Manager] = []
        self._log = _ErrorLog()

    def __call__(
        self,
        *reconcilers: Reconciler,
        ready: bool = True,
        within: float = 10.0,
        cluster: str = "",
        config: Config | None = None,
        provider: Provider | None = None,
        clock: Clock | None = None,
        allow: type[BaseException] | tuple[type[BaseException], ...] = (),
        **options: Any,
    ) -> Manager:
        """Start a manager with these Reconcilers and wait until it is ready.

        Args:
            reconcilers: what it runs.
            ready: whether to wait; without, what keeps it from being ready is up to the test.
            within: real seconds to wait at most.
            cluster: the project whose control plane it works on; "" for the root.
            config: another server, or the same through a proxy.
            provider: finds the clusters to work on; the server is only where it looks then.
            clock: the time; by default that of the fixture ``clock`` where the test uses it.
            allow: what reconciles may raise besides errors of the API and kcontroller's own, for tests of failures.
            options: further `ManagerOptions`; metrics and health are served nowhere unless told otherwise.

        Raises:
            AssertionError: it is not ready in time; the text says what is missing.
        """
        __tracebackhide__ = True
        time_of_it = clock or self._clock
        manager = Manager(
            config or config_of(self._server, cluster=cluster),
            provider=provider,
            options=ManagerOptions(**{**_OPTIONS, **options}),
            clock=time_of_it,
        )
        self._log.allow(allow)
        manager.add(*reconcilers)
        self._started.append(manager)
        before = set(threading.enumerate())
        manager.start()
        if isinstance(time_of_it, VirtualClock):
            workers = [each for each in threading.enumerate() if each.name.startswith(_WORKERS) and each not in before]
            time_of_it.register(*workers)
            time_of_it.settle = max(time_of_it.settle, _SETTLE_SECONDS)
        if ready:
            _wait_ready(manager, within)
        return manager

    def stop(self) -> None:
        """Stop all of them, the last one first.

        Raises:
            AssertionError: a thread of one failed, reconciles did not end within five seconds, or a reconcile raised
                what is no error of the API: what the test would not have noticed.
        """
        __tracebackhide__ = True
        problems: list[str] = []
        for manager in reversed(self._started):
            drained = manager.stop(grace=_GRACE_SECONDS)
            if not drained:
                problems.append(f"reconciles still ran {_GRACE_SECONDS:g} s after the stop")
            problems += [reason for reason in manager.healthz.run().values() if reason]
        problems += self._log.end()
        if problems:
            msg = "the manager did not do well:\n  " + "\n  ".join(problems)
            raise AssertionError(msg) from self._log.first

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all of them."""
        self.stop()


def _wait_ready(manager: Manager, within: float) -> None:
    __tracebackhide__ = True
    deadline = time.monotonic() + within
    # Not `Manager.wait_ready`: that waits by the manager's clock, which may stand still.
    while reasons := [reason for reason in manager.readyz.run().values() if reason]:
        if time.monotonic() > deadline:
            msg = f"the manager is not ready after {within:g} s: {'; '.join(reasons)}"
            raise AssertionError(msg)
        time.sleep(_LOOK_SECONDS)


class _ErrorLog(logging.Handler):
    """Collects what reconciles raised that a working controller never does."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: BaseException | None = None
        self._allowed: tuple[type[BaseException], ...] = ()
        self._texts: dict[str, int] = {}
        self._logger = logging.getLogger("kcontroller.controller")
        self._logger.addHandler(self)

    def allow(self, kinds: type[BaseException] | tuple[type[BaseException], ...]) -> None:
        self._allowed += kinds if isinstance(kinds, tuple) else (kinds,)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or isinstance(error, self._allowed):
            return
        if isinstance(error, KControllerError) and not isinstance(error, ModelMismatch):
            return
        self.first = self.first or error
        text = record.getMessage()
        self._texts[text] = self._texts.get(text, 0) + 1

    def end(self) -> list[str]:
        self._logger.removeHandler(self)
        self.close()
        return [f"{text}  ({count} times)" if count > 1 else text for text, count in self._texts.items()]
