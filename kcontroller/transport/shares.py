"""A cluster's share of a loop that carries many."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log
from kcontroller.transport.curl import USER_AGENT, check_target
from kcontroller.transport.refresh import NotReady
from kcontroller.transport.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.errors import TransportError
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config
    from kcontroller.transport.streams import StreamLoop
    from kcontroller.transport.tenant import Observer
    from kcontroller.transport.timers import Timer
    from kcontroller.transport.transfer import Probe, Receiver, Stream

SILENCE_SECONDS: Final = 90.0
"""A cluster that is silent for so long is probed: a server sends a bookmark every minute, see KEP-956."""

_PROBE_SECONDS: Final = 10.0

PROBE_SECONDS: Final = 10.0
"""How long the answer to that may take."""

_log: Final = Log("kcontroller.transport")


class LoopShare:
    """A cluster's share of a loop: to its user it is what a `StreamLoop` is.

    An exception of a `call` or a timer ends this cluster, as it ends a loop that is not shared.

    Args:
        loop: carries it.
        config: the server and who we are.
        name: the cluster.
        metrics: where to count.
        clock: the loop's.
        began: called before the first thread is needed; raises RuntimeError if there is none.
        ended: called once when nothing of it is left on the loop, on the loop's thread.
        moved: called when its streams lead to another endpoint from now on.
        fits: whether a configuration may be used on the loop.
        silence: see `SILENCE_SECONDS`.
        probe_timeout: see `PROBE_SECONDS`.

    Attributes:
        name: that of the thread which it would be.
        fits: whether it can exchange its configuration for another one: credentials that may block would block others.

    Raises:
        ConfigError: libcurl or a header is unfit.
    """

    def __init__(
        self,
        loop: StreamLoop,
        config: Config,
        *,
        name: str,
        metrics: Metrics | None,
        clock: Clock,
        began: Callable[[], None],
        ended: Callable[[LoopShare], None],
        moved: Callable[[], None],
        fits: Callable[[Config], bool],
        silence: float,
        probe_timeout: float,
    ) -> None:
        self.name = f"kc-cluster-{name}"
        self._cluster = name
        self._loop = loop
        self._tenant = Tenant(loop, config, metrics=metrics, user_agent=USER_AGENT)
        self._clock = clock
        self._began = began
        self._ended = ended
        self._moved = moved
        self.fits = fits
        self._silence = silence
        self._probe_timeout = probe_timeout
        self._lock = threading.Lock()
        self._early: list[Callable[[], None]] | None = []
        self._stopped = False
        self._over = threading.Event()
        self._fail: Callable[[str, BaseException], None] = lambda _name, _error: None

    @property
    def on_loop_thread(self) -> bool:
        """Whether the caller is the thread of the loop."""
        return self._loop.on_loop_thread

    def observe(self, observer: Observer) -> None:
        """Have someone hear how streams begin; before `start`."""
        self._tenant.observer = _Guarded(observer, self.fail)

    def start(self, threads: ThreadGroup) -> None:
        """Work from now on; the group counts it as a thread until `stop` has worked.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        self._began()
        self._fail = threads.adopt(self)
        if self._over.is_set():  # Whoever ended it before knew nobody to tell.
            msg = f"the loop of cluster {self._cluster} has ended"
            raise RuntimeError(msg)
        self._tenant.heard = self._clock.monotonic()  # A new cluster is not a silent one.
        with self._lock:
            early = self._early or ()
            for function in (*early, self._look_later):
                self._loop.call(partial(self._run, function))
            self._early = None

    def stop(self) -> None:
        """End it soon: no callback follows what runs now. Any thread, and more than once."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            started = self._early is None
        self._tenant.close()
        if started:
            self._loop.call(self._leave)
        else:
            self._end()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the loop thread soon, in the order of the calls; dropped after `stop`. Any thread."""
        if self._early is not None and self._waits(function):
            return
        if not self._stopped:
            self._loop.call(partial(self._run, function))

    def _waits(self, function: Callable[[], None]) -> bool:
        with self._lock:
            if self._early is None:
                return False
            self._early.append(function)
            return True

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        """Run a function after so many seconds. Loop thread only."""
        return self._loop.call_later_for(self._tenant, seconds, partial(self._run, function))

    def open(self, target: str, receiver: Receiver, *, timeout: float, accept: str = "application/json") -> Stream:
        """Begin a GET, as `StreamLoop.open`."""
        check_target(target)
        return self._loop.open_for(self._tenant, target, receiver, timeout=timeout, accept=accept)

    def exchange(self, config: Config) -> None:
        """Open every stream that begins from now on with another configuration, as `StreamLoop.exchange`."""
        if self._tenant.exchange(config):
            self._moved()

    # A thread to its group.

    def is_alive(self) -> bool:
        """Whether something of it is left on its loop."""
        return not self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until nothing is left, for so many seconds at most."""
        self._over.wait(timeout)

    def fail(self, error: BaseException) -> None:
        """End it as one that has failed; also when its loop has."""
        if not self._stopped:
            self.stop()
            self._fail(self.name, error)

    def leave_loop(self) -> None:
        """Note that the loop has ended, and all that was on it."""
        self._over.set()

    def _run(self, function: Callable[[], None]) -> None:
        if self._stopped:
            return
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - the other clusters of the loop must not pay for it
            self.fail(error)

    def _leave(self) -> None:
        self._loop.end_all(self._tenant)
        self._end()

    def _end(self) -> None:
        self._over.set()
        self._ended(self)

    # The loop's own probe asks whether the connection lives; whether this cluster does is asked here.

    def _look_later(self) -> None:
        silent = self._clock.monotonic() - self._tenant.heard
        self.call_later(max(self._silence / 10, self._silence - silent), self._look)

    def _look(self) -> None:
        silent = self._clock.monotonic() - self._tenant.heard
        if silent < self._silence or not self._loop.stands(self._tenant):
            self._look_later()
            return
        try:
            self._loop.probe(self._tenant, timeout=self._probe_timeout, judge=self._judge)
        except NotReady:
            self.call_later(self._silence / 10, self._look)
        except Exception as error:  # noqa: BLE001 - credentials that fail say nothing about the connection
            _log.warning("cannot probe a silent cluster: %s", error, cluster=self._cluster)
            self.call_later(self._silence, self._look)

    def _judge(self, probe: Probe, error: TransportError | None) -> None:
        if self._stopped:
            return
        answers = probe.status is not None
        if not answers:
            _log.warning("it is silent, its streams begin anew: %s", error, cluster=self._cluster)
        proved = probe.took if answers else None
        self.call(partial(self._loop.renew, self._tenant, silence=self._silence, proved=proved))
        self.call_later(self._silence, self._look)


class _Guarded:
    """An observer whose exception ends its cluster, and not the loop of all."""

    def __init__(self, observer: Observer, fail: Callable[[BaseException], None]) -> None:
        self._observer = observer
        self._fail = fail

    def answered(self, status: int, *, waits: bool, stands: bool) -> None:
        """See `Observer`."""
        try:
            self._observer.answered(status, waits=waits, stands=stands)
        except BaseException as error:  # noqa: BLE001 - the other clusters of the loop must not pay for it
            self._fail(error)

    def unanswered(self, error: TransportError, *, stands: bool) -> None:
        """See `Observer`."""
        try:
            self._observer.unanswered(error, stands=stands)
        except BaseException as fault:  # noqa: BLE001 - as above
            self._fail(fault)
