"""Start and stop, in order.

Start: HTTP servers, the hub cluster, the provider, which engages clusters as it finds them, the election, the workers.
Caches fill before a leader is elected, so that a standby takes over without a list; a replica whose caches do not fill
leaves the lease to the others for a while (`LeaderElection.sync_patience`). A kind that cannot be synced does not end
the process: it is pending, readiness and the log say why, and the others work.

Stop, in reverse: mappers and queues hand out nothing more, running reconciles get the drain time, then their tokens
stop; the provider stops. When nothing of the user's writes any more the lease is given back; clusters and HTTP servers
end last, so that probes are answered to the end. What is the user's gets a time limit each, and what is past it is left
behind. A lost lease ends the process at once and with exit code 1, and so does a thread that dies, at any time.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.manager.readiness import missing
from kcontroller.process.descriptors import raise_open_files_limit
from kcontroller.process.garbage import rarer_collections
from kcontroller.process.logs import Log, described
from kcontroller.version import VERSION

if TYPE_CHECKING:
    from kcontroller.controller import Controller
    from kcontroller.manager.parts import Parts
    from kcontroller.multicluster import Provider

_JOIN_SECONDS: Final = 5.0
_ABANDON_SECONDS: Final = 0.5
_INTERRUPT_SECONDS: Final = 1.0
_PROVIDER_SECONDS: Final = 2.0
_FLUSH_SECONDS: Final = 1.0
_NO_LIMIT_SECONDS: Final = 365 * 24 * 3600.0

_log: Final = Log("kcontroller.manager")


class Lifecycle:
    """The one start and the one stop of a manager; any thread may ask for either.

    Args:
        parts: what starts and stops.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._supervisor = parts.supervisor
        self._threads = parts.supervisor.threads
        self._started = False
        self._switch_before = 0.0
        self._settings = ExitStack()
        self._engaged = False
        self._stopping = False
        self._ended = threading.Event()
        self._drained = False
        parts.readyz.add("caches", self.not_ready)

    def add(self, controller: Controller) -> None:
        """Take a controller; it starts with the others, or at once if they have started.

        Raises:
            ConfigError: two controllers have one name.
            RuntimeError: the manager has stopped.
        """
        with self._parts.turns:
            self._refuse_after_stop()
            self._parts.controllers.add(controller)
            if self._started:
                self._run(controller)

    def start(self) -> None:
        """See `Manager.start`."""
        with self._parts.turns:
            self._refuse_after_stop()
            if self._started:
                msg = "a manager starts once; make a new one"
                raise RuntimeError(msg)
            self._parts.pauses.refuse_unknown([each.name for each in self._parts.controllers])
            self._parts.servers.bind()
            self._started = True
            try:
                self._start_all()
            except BaseException:
                self._supervisor.stop.stop("the start failed")
                self._stopping = True
                self._parts.leadership.close()
                self._stop_all(0.0)
                raise
        self._engaged = True

    def stop(self, grace: float | None) -> bool:
        """See `Manager.stop`."""
        self._supervisor.stop.stop("stop was called")
        with self._parts.turns:
            first, self._stopping = not self._stopping, True
            self._parts.leadership.close()
        if not first:
            self._ended.wait(_NO_LIMIT_SECONDS)
            return self._drained
        seconds = self._parts.options.graceful_shutdown_timeout if grace is None else grace
        if self._parts.leadership.lost:
            seconds = 0.0  # Another replica may be working already.
        self._stop_all(_NO_LIMIT_SECONDS if seconds < 0 else seconds)
        return self._drained

    def not_ready(self) -> str | None:
        """Say why the process is not ready; None if it is."""
        if self._supervisor.stop.stopped:
            return "stopping"
        if not self._engaged:
            return "starting"
        return missing(self._parts.clusters, self._parts.controllers)

    # ---- start ---------------------------------------------------------------------------------------------------

    def _refuse_after_stop(self) -> None:
        if self._stopping:
            msg = "the manager has stopped; make a new one"
            raise RuntimeError(msg)

    def _start_all(self) -> None:
        parts = self._parts
        if parts.options.switch_interval:
            self._switch_before = sys.getswitchinterval()
            sys.setswitchinterval(parts.options.switch_interval)
        self._settings.enter_context(rarer_collections())
        raise_open_files_limit()
        names = ", ".join(controller.name for controller in parts.controllers)
        _log.info("kcontroller %s starts", VERSION, **self._where(), controllers=names)
        kinds = {each.gvk.group_kind for each in parts.controllers if each.gvk is not None}
        for kind in sorted(parts.options.concurrency.keys() - kinds):
            _log.warning("concurrency is given for %s, which no controller reconciles", kind)
        parts.servers.start(self._threads)
        parts.mappers.start(self._threads)
        parts.watchdog.start(self._threads)
        parts.events.start(self._threads)
        if parts.provider is not None:
            parts.metrics.fold_hosts()
        parts.clusters.start(self._threads)
        for controller in parts.controllers:
            self._run(controller)
        if parts.provider is not None:
            parts.provider.start(parts.clusters, hub=parts.hub)
        parts.leadership.start(missing=partial(missing, parts.clusters, parts.controllers))

    def _run(self, controller: Controller) -> None:
        self._parts.controllers.start(controller, self._threads)
        self._parts.clusters.join(controller)

    def _where(self) -> dict[str, str]:
        parts = self._parts
        hub = {} if parts.hub is None else {"server": parts.hub.config.server}
        return hub if parts.provider is None else {**hub, "provider": parts.provider.name}

    # ---- stop ----------------------------------------------------------------------------------------------------

    def _stop_all(self, seconds: float) -> None:
        try:
            self._parts.mappers.stop()  # What they would queue is dropped from here on.
            self._drained = self._parts.controllers.drain(seconds)
            self._end()
        finally:
            self._ended.set()

    def _end(self) -> None:
        parts = self._parts
        self._interrupt()
        self._stop_provider()
        self._threads.join(_ABANDON_SECONDS, role="mapper")
        parts.leadership.resign()
        parts.events.stop(_FLUSH_SECONDS)
        parts.leadership.stop(release=self._drained)
        parts.watchdog.stop()
        seconds = _JOIN_SECONDS if self._drained else _ABANDON_SECONDS
        left = parts.clusters.stop(seconds)
        parts.servers.stop(timeout=_JOIN_SECONDS)
        if self._switch_before:
            sys.setswitchinterval(self._switch_before)
        self._settings.close()
        left += self._threads.join(seconds)
        if left:
            _log.warning("threads that did not end: %s", ", ".join(left))
        _log.info("stopped" if self._drained else "stopped without waiting longer")

    def _interrupt(self) -> None:
        self._parts.controllers.interrupt(self._threads, _INTERRUPT_SECONDS)
        if self._drained:
            return
        for cluster in self._parts.clusters:
            # Its token has reconciles too, and must be stopped before the cluster does it on this thread.
            self._threads.apart("leave", cluster.name or "local", partial(cluster.leaving.stop, "the process stops"))
            cluster.leaving.wait(_ABANDON_SECONDS)

    def _stop_provider(self) -> None:
        """Stop it on a thread of its own: it may be a user's, and the lease must be given back all the same."""
        provider = self._parts.provider
        if provider is None:
            return
        thread = self._threads.apart("provider", "", partial(_stop, provider))
        if thread is not None:
            thread.join(_PROVIDER_SECONDS)
            if thread.is_alive():
                _log.warning("provider %s has not stopped within %g s; not waiting", provider.name, _PROVIDER_SECONDS)


def _stop(provider: Provider) -> None:
    try:
        provider.stop()
    except Exception as error:  # noqa: BLE001 - it may raise anything
        _log.exception_of(error, "provider %s failed to stop: %s", provider.name, described(error))
