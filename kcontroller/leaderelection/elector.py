"""The thread that gets and keeps the Lease: a shell around `Decision` that does its steps over HTTP.

A second thread watches the first while it leads: a renewal may hang where no time-out reaches, such as in the plugin
that brings the credentials, and the process must learn of the loss all the same.
"""

from __future__ import annotations

import math
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Final

from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.errors import Conflict, KControllerError, NotFound, NotLeader, Stopped
from kcontroller.leaderelection.decision import Decision, Look, Lost, Wait
from kcontroller.leaderelection.leases import LeaseClient, in_words
from kcontroller.leaderelection.record import LEASES
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline, StopToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.leaderelection.decision import Write
    from kcontroller.leaderelection.options import LeaderElection
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config

_JOIN_SECONDS: Final = 2.0
_RELEASE_TRIES: Final = 5
_SHOWN: Final = 100
_GRACE_SECONDS: Final = 0.1  # The thread that renews tells of a loss itself, if it can.

_log: Final = Log("kcontroller.leaderelection")


class Elector:
    """Gets and keeps a Lease; `decision` has the rules.

    Args:
        config: the server that holds the Lease; its connections are the elector's own.
        options: see there.
        on_elected: called once, on the elector's thread, when this process leads; must not block.
        on_lost: called once, with a line that says why, when the lease was lost; not after `stop`; must not block.
        clock: the time.
        metrics: where to count.

    Attributes:
        identity: the holder that this process writes into the Lease.
    """

    def __init__(
        self,
        config: Config,
        options: LeaderElection,
        *,
        on_elected: Callable[[], None],
        on_lost: Callable[[str], None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.identity = options.identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._options = options
        self._key = Key(options.namespace, options.name)
        self._on_elected = on_elected
        self._on_lost = on_lost
        self._clock = clock
        self._decision = Decision(options, self.identity)
        self._leases = LeaseClient(config, self._key, clock=clock, metrics=metrics)
        self._stop = StopToken(clock=clock)
        self._over = self._stop.child()  # There is nothing more to do: stopped, or lost.
        self._missing: Callable[[], str | None] = lambda: None
        self._thread: threading.Thread | None = None
        self._watcher: threading.Thread | None = None
        self._elected = False
        self._lock = threading.Lock()
        self._lost = False
        self._holder = ""
        self._troubles: set[str] = set()
        self._status = metrics.leader_status.labels(options.name)
        self._slow_path = metrics.leader_slow_path.labels(options.name)

    def start(self, threads: ThreadGroup, *, missing: Callable[[], str | None] = lambda: None) -> None:
        """Begin, on the thread ``kc-elector``; ``kc-elector-watch`` joins it when this process leads.

        Args:
            threads: where they are started.
            missing: says what this process needs before it can work, None if it can; must not block.
        """
        self._missing = missing
        self._thread = threads.spawn("elector", "", lambda: self._run(threads))

    def stop(self, *, release: bool) -> None:
        """End; with `release` and if this process holds it, give the lease back, within the renew deadline.

        A running request is ended at once. From here on `guard` refuses; neither callback is called any more.
        """
        self._stop.stop("the process stops")
        deadline = Deadline.after(_JOIN_SECONDS, clock=self._clock)
        for thread in (self._thread, self._watcher):
            if thread is not None and thread is not threading.current_thread():
                thread.join(deadline.remaining())
                release = release and not thread.is_alive()
        until, held = self._decision.until, self._decision.leading
        self._decision.resign()
        self._status.set(0)
        if release and held and self._options.release_on_stop:
            self._release(until)
        self._leases.close()

    @property
    def holder(self) -> str:
        """Who holds the lease, as far as this process has seen; "" if nobody."""
        return self.identity if self.is_leader else self._holder

    @property
    def is_leader(self) -> bool:
        """Whether the lease is held, as far as the clock tells."""
        return not self._lost and self._decision.holds(self._clock.elapsed())

    @property
    def lease(self) -> Object:
        """The Lease, without its content: what an event about it names."""
        gvk, seen = LEASES.gvk, self._decision.lease
        metadata = {"namespace": self._key.namespace, "name": self._key.name}
        if seen is not None:
            metadata |= {"uid": seen.uid, "resourceVersion": seen.version}
        return Object({"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": metadata})

    def guard(self) -> None:
        """Do nothing while the lease is surely held: until `renew_deadline` after the last renewal was sent.

        What passes here should arrive within ``lease_duration - renew_deadline``. What comes later, because the process
        was paused between this check and the sending, only a ``resourceVersion`` in the write keeps off.

        Raises:
            NotLeader: it may have passed to another replica.
        """
        if not self.is_leader:
            msg = f"lease {self._key} is not held any more; the write was not sent"
            raise NotLeader(msg)

    def check(self) -> str | None:
        """Say what is wrong for ``/healthz``: the lease is held but was not renewed in time.

        client-go's HealthzAdaptor: unhealthy when a lease that is held has expired for longer than a time-out. A loss
        ends the process well before; so this tells of a thread that hangs.
        """
        until = self._decision.until
        if until == -math.inf or self._stop.stopped:
            return None
        age = self._clock.elapsed() - until + self._options.renew_deadline
        if age <= self._options.lease_duration + self._options.request_timeout:
            return None
        return f"lease {self._key} is held but was last renewed {age:.0f} s ago"

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self, threads: ThreadGroup) -> None:
        _log.info("attempting to acquire lease %s", self._key, identity=self.identity)
        while not self._over.stopped:
            ready = self._decision.leading or self._missing() is None
            step = self._decision.step(self._clock.elapsed(), self._clock.now(), ready=ready)
            if isinstance(step, Lost):
                self._lose(step.why)
                return
            if isinstance(step, Wait):
                self._over.wait(step.seconds)
                continue
            try:
                self._do(step)
            except Stopped:
                return
            self._tell(threads)

    def _do(self, step: Look | Write) -> None:
        verb = "get" if isinstance(step, Look) else "create" if step.create else "update"
        try:
            if isinstance(step, Look):
                self._look(step)
            else:
                self._write(step)
        except Stopped:
            raise
        except Conflict:
            self._refused()
        except NotFound as error:
            if verb == "update":
                self._refused()
            else:
                self._failed(verb, error)
        except KControllerError as error:
            self._failed(verb, error)
        else:
            if verb in self._troubles:
                self._troubles.discard(verb)
                _log.info("%s of lease %s works again", verb, self._key)

    def _look(self, step: Look) -> None:
        lease = self._leases.read(timeout=step.timeout, stop=self._over)
        self._decision.looked(lease, self._clock.elapsed())

    def _write(self, step: Write) -> None:
        sent = self._clock.elapsed()  # Before it can have arrived, however long anything takes from here on.
        lease = self._leases.write(step.lease, create=step.create, timeout=step.timeout, stop=self._over)
        self._decision.written(lease, sent=sent, now=self._clock.elapsed())

    def _refused(self) -> None:
        if self._decision.leading:
            self._slow_path.inc()
        self._decision.refused(self._clock.elapsed())

    def _failed(self, verb: str, error: KControllerError) -> None:
        if verb not in self._troubles:
            self._troubles.add(verb)
            _log.warning("%s of lease %s fails, trying on: %s", verb, self._key, in_words(error, self._key))
        self._decision.failed(self._clock.elapsed())

    def _tell(self, threads: ThreadGroup) -> None:
        """Report what has changed."""
        if self._over.stopped:
            return
        if self._decision.leading:
            if not self._elected:
                self._elected = True
                self._status.set(1)
                _log.info("became leader", lease=str(self._key), transitions=self._decision.transitions)
                if why := self._missing():
                    _log.warning("leads although it is not ready, since nobody else took the lease: %s", why)
                self._watcher = threads.spawn("elector", "watch", self._watch)
                self._on_elected()
        elif self._decision.holder != self._holder:
            self._holder = self._decision.holder
            if self._holder:
                _log.info("%s leads", self._holder[:_SHOWN], lease=str(self._key))

    def _lose(self, why: str) -> None:
        """Tell of the loss, once, whichever thread finds it first."""
        with self._lock:
            first, self._lost = not self._lost, True
        if not first or self._over.stopped:
            return
        self._over.stop("the lease was lost")
        self._status.set(0)
        self._on_lost(why)

    # ---- the thread that watches it ------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.stopped:
            until = self._decision.until
            if until == -math.inf:
                return  # The other thread knows, and is about to tell.
            left = until + _GRACE_SECONDS - self._clock.elapsed()
            if left <= 0:
                self._lose(f"it could not be renewed within {self._options.renew_deadline:g} s, and the last try hangs")
                return
            self._over.wait(min(left, self._options.retry_period))  # Waits do not count the sleep of the machine.

    # ---- giving it back ------------------------------------------------------------------------------------------

    def _release(self, deadline: float) -> None:
        try:
            for _ in range(_RELEASE_TRIES):
                if self._give_back(deadline):
                    return
        except KControllerError as error:
            seconds = self._options.lease_duration
            _log.warning("lease %s was not given back and ends in %g s: %s", self._key, seconds, error)

    def _give_back(self, deadline: float) -> bool:
        """Write an empty holder; False if somebody changed the Lease meanwhile."""

        def timeout() -> float:
            return min(self._options.request_timeout, deadline - self._clock.elapsed())

        if timeout() <= 0:
            return True
        lease = self._leases.read(timeout=timeout(), stop=None)
        given = None if lease is None else self._decision.returned(lease, self._clock.now())
        if given is None or timeout() <= 0:
            return True
        try:
            self._leases.write(given, create=False, timeout=timeout(), stop=None)
        except (Conflict, NotFound):
            return False
        _log.info("gave lease %s back", self._key)
        return True
