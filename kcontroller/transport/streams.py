"""The loop of one cluster's thread: its lists and watches over HTTP/2, its timers, and calls from other threads.

libcurl's rules shape it. Only the loop's thread touches the multi. Inside a receiver's callback nothing may be added or
removed, so `open` and `close` take effect when libcurl has returned. A callback never raises.

Dead connections are found by `silence`. Whether streams share a connection: `sharing`. What a rotation of credentials
does to them: `rotation`.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConnectFailed, KControllerError, ServerSilent, TransportError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.curl import USER_AGENT, check_target
from kcontroller.transport.faults import TIMED_OUT
from kcontroller.transport.gate import CONNECTING
from kcontroller.transport.multi import Multi
from kcontroller.transport.pollers import EventPoller
from kcontroller.transport.refresh import SOON_SECONDS, NotReady, waking
from kcontroller.transport.rotation import Rotation
from kcontroller.transport.sharing import Sharing
from kcontroller.transport.silence import Silence
from kcontroller.transport.tenant import Tenant
from kcontroller.transport.timers import Timer, Timers
from kcontroller.transport.transfer import Probe, Receiver, Stream, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config
    from kcontroller.transport.gate import ConnectGate, Place
    from kcontroller.transport.tenant import Observer

_LONGEST_TURN: Final = 3600.0  # A bound only: nothing but silence checks, timers and sockets ends an idle turn.
_PLACE_SECONDS: Final = 2.0  # Long enough for any handshake that goes well; a black hole must not hold up the line.
_OK: Final = 200

__all__ = ["Receiver", "Stream", "StreamLoop", "Timer"]


class StreamLoop:
    """Runs streams, timers and calls for one cluster on the thread that calls `run`.

    An exception of a receiver ends its stream only. One of a `call` or a timer ends `run`, which raises it after it has
    closed everything: the cluster's engagement has failed.

    Args:
        config: the server and who we are.
        name: the cluster, for log lines.
        metrics: where to count; a stream counts as a GET with its status.
        clock: the time of `call_later` and of silence.
        user_agent: the header of that name.
        silence: seconds without a byte after which the connection is probed.
        probe_timeout: seconds the probe may take.
        gate: how many loops of the process may connect at once.
        roams: whether it carries tenants alone; then its probes lead to where one of them is.
        on_stop: called once, by the first `stop`.

    Attributes:
        name: see above.
    """

    def __init__(
        self,
        config: Config,
        *,
        name: str,
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
        user_agent: str = USER_AGENT,
        silence: float = 30.0,
        probe_timeout: float = 10.0,
        gate: ConnectGate = CONNECTING,
        roams: bool = False,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        """Open nothing yet; raises ConfigError if libcurl or a header is unfit."""
        self.name = name
        self._own = Tenant(self, config, metrics=metrics, user_agent=user_agent)
        self._clock = clock
        self._probe_timeout = probe_timeout
        self._roams = roams
        self._on_stop = on_stop
        self._stop_lock = threading.Lock()
        self._gate = gate
        self._place: Place | None = None
        self._multi: Multi | None = None
        self._thread: int | None = None
        self._stopping = False
        self._woken = False
        self._calls: deque[Callable[[], None]] = deque()
        self._timers = Timers(clock=clock)
        self._opening: deque[Stream] = deque()
        self._next_look: Timer | None = None
        self._closing: list[Stream] = []
        self._running: dict[int, Transfer] = {}
        self._sharing = Sharing(self._running, timers=self._timers, clock=clock)
        self._rotation = Rotation(self._running, silence=silence, timers=self._timers, clock=clock, end=self._end_old)
        self._silence = Silence(self._running, seconds=silence, clock=clock, cluster=name, send=self._send_probe)

    @property
    def on_loop_thread(self) -> bool:
        """Whether the caller is the thread inside `run`."""
        return self._thread == threading.get_ident()

    def observe(self, observer: Observer) -> None:
        """Have someone hear how streams begin; before `run`."""
        self._own.observer = observer

    def start(self, threads: ThreadGroup) -> None:
        """Call `run` on a thread of its own.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        threads.spawn("cluster", self.name, self.run)

    def run(self) -> None:
        """Work until `stop`; then close every stream without a further callback, and drop timers and calls.

        Closing waits for a name server that does not answer, some ten seconds; whoever joins the thread must not mind.
        """
        multi = self._multi = Multi(EventPoller())
        self._thread = threading.get_ident()
        try:
            with waking(self._wake):  # The others on it must not wait for one's credentials.
                while not self._stopping:
                    self._step(multi)
        finally:
            self._close_all(multi)

    def stop(self) -> None:
        """End `run` at once. Any thread, also before `run` and more than once."""
        with self._stop_lock:
            told, self._on_stop = self._on_stop, None
        self._stopping = True
        self._own.close()
        self._wake()
        if told is not None:
            told()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the loop thread soon, in the order of the calls; dropped after `stop`. Any thread."""
        self._calls.append(function)
        self._wake()

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        """Run a function after so many seconds. Loop thread only."""
        return self._timers.add(seconds, function)

    def call_later_for(self, tenant: Tenant, seconds: float, function: Callable[[], None]) -> Timer:
        """Run a function of a tenant after so many seconds, unless `end_all` comes first; else as `call_later`."""
        return self._timers.add(seconds, function, owner=tenant)

    def open(self, target: str, receiver: Receiver, *, timeout: float, accept: str = "application/json") -> Stream:
        """Begin a GET whose answer goes to `receiver` piece by piece. Loop thread only, also inside callbacks.

        Nothing is called before this returns; what goes wrong is told to `Receiver.on_end`.

        Args:
            target: path and query below `Config.server`, percent-encoded.
            receiver: told on the loop thread.
            timeout: seconds for the whole stream; a watch takes its timeoutSeconds and some more.
            accept: the header of that name.

        Raises:
            ValueError: the target cannot go on the wire.
        """
        return self.open_for(self._own, target, receiver, timeout=timeout, accept=accept)

    def open_for(self, tenant: Tenant, target: str, receiver: Receiver, *, timeout: float, accept: str) -> Stream:
        """Begin a GET for a tenant; else as `open`."""
        if self._thread not in {None, threading.get_ident()}:
            msg = "streams are opened on the thread of their loop; use StreamLoop.call"
            raise RuntimeError(msg)
        check_target(target)
        stream = Stream(tenant, target, receiver, timeout=timeout, accept=accept)
        self._opening.append(stream)
        return stream

    def fits(self, config: Config) -> bool:  # noqa: ARG002 - a loop that is shared may refuse one
        """Whether it can exchange its configuration for another one."""
        return True

    def exchange(self, config: Config) -> None:
        """Open every stream that begins from now on with another configuration. Loop thread only.

        Those that run should be closed and opened anew by their users. If the new one cannot travel on the old
        connection, that is shut down.

        Raises:
            ConfigError: a header is unfit; nothing has changed then.
        """
        if self._own.exchange(config):
            self._sharing.on = True
            for transfer in self._running.values():
                transfer.shut_down()

    def end_all(self, tenant: Tenant) -> None:
        """End every stream and timer of a tenant without a further callback. Loop thread only."""
        self._timers.stop_of(tenant)
        for stream in (*self._opening, *self._running.values()):
            if isinstance(stream, Stream) and stream.owner is tenant:
                stream.close()
        self._rotation.forget(tenant)

    def probe(self, tenant: Tenant, *, timeout: float, judge: Callable[[Probe, TransportError | None], None]) -> Probe:
        """Ask a tenant's server whether it answers; raises what the credentials raise. Loop thread, not in a callback.

        Args:
            tenant: whose server.
            timeout: seconds that it may take.
            judge: told how it ended; any status is an answer.
        """
        probe = Probe(tenant, timeout=timeout, judge=judge)
        if self._multi is not None:
            self._start(self._multi, probe)
        return probe

    def renew(self, tenant: Tenant, *, silence: float, proved: int | None) -> None:
        """Have the streams of a silent tenant opened anew, where that helps. Loop thread only, not in a callback.

        A probe says only whether the connection that it took lives. Another one, on which nobody heard anything, is
        shut down. On one that lives the streams are ended if the tenant does not answer.

        Args:
            tenant: whose.
            silence: seconds without a byte that are too long.
            proved: the socket that a probe of the tenant was answered on; None if it was not answered.
        """
        now = self._clock.monotonic()
        heard = {} if proved is None else {proved: now}
        running = tuple(self._running.values())
        for each in running:
            heard[each.socket] = max(each.heard, heard.get(each.socket, 0.0))
        for each in running:
            if not isinstance(each, Stream) or each.owner is not tenant or each.status != _OK:
                continue
            if each.shared and heard[each.socket] <= now - silence:
                each.dead = proved is None
                each.shut_down()
            elif proved is None:
                self._end_now(each, ServerSilent("the cluster is silent, and does not answer a probe"))

    # What tenants tell their loop.

    def hear(self) -> float:
        """Note that the server sent something; gives the time."""
        return self._silence.hear()

    def connected(self, *, shared: bool) -> None:
        """Note that a connection stands, and whether it carries several streams at the same time."""
        self._sharing.on = shared
        self._leave_gate()

    def stands(self, tenant: Tenant) -> bool:
        """Whether a stream of a tenant is answered, and goes on."""
        running = (each for each in self._running.values() if each.owner is tenant)
        return any(each.status == _OK and not each.dead for each in running)

    def remove_soon(self, stream: Stream) -> None:
        """Reset a stream when libcurl has returned."""
        self._closing.append(stream)

    def _step(self, multi: Multi) -> None:
        shared = self._sharing.on
        multi.turn(self._patience())
        self._woken = False  # Before the calls are run: who comes later wakes anew.
        self._finish(multi)
        self._run_calls()
        self._run_timers()
        if shared and not self._sharing.on:
            self._sharing.separate(multi)
        self._silence.check()
        self._remove_closed(multi)
        self._start_opened(multi)

    def _patience(self) -> float:
        # Streams that wait for the gate need no look: it wakes the loop.
        if self._calls or self._closing:
            return 0.0
        now = self._clock.monotonic()
        until = min(now + _LONGEST_TURN, self._timers.next_at, self._silence.probe_at)
        return max(0.0, until - now)

    def _wake(self) -> None:
        multi = self._multi
        if multi is not None and not self._woken:
            self._woken = True
            multi.wake()

    def _finish(self, multi: Multi) -> None:
        for handle, code, text in multi.finished():
            transfer = self._running.pop(id(handle))
            error = transfer.error(code, text)
            if code == TIMED_OUT and self._silence.lasts(transfer.timeout / 2):
                # Its connection may be dead, and libcurl would give it to the next stream. Not measured from its start:
                # bytes that were on their way when the peer died arrive just after.
                self._suspect(transfer)
            if isinstance(transfer, Probe):
                transfer.took = transfer.socket
            _discard(multi, transfer)
            if isinstance(transfer, Probe):
                transfer.judge(transfer, error)
            else:
                _end(transfer, error)

    def _suspect(self, transfer: Transfer) -> None:
        taken = transfer.socket
        if all(each.owner is transfer.owner for each in self._running.values() if each.socket == taken):
            transfer.shut_down()
        else:  # It may be that this cluster hangs, which is nothing to the others.
            self._silence.doubt()

    def _run_calls(self) -> None:
        for _ in range(len(self._calls)):
            if self._stopping:
                return
            self._calls.popleft()()

    def _run_timers(self) -> None:
        while not self._stopping and (timer := self._timers.take_due()) is not None:
            timer.fire()

    def _remove_closed(self, multi: Multi) -> None:
        closing, self._closing = self._closing, []
        for stream in closing:
            if self._running.pop(id(stream.handle), None) is not None:
                _discard(multi, stream)

    def _start_opened(self, multi: Multi) -> None:
        waiting: list[Stream] = []  # For credentials; `waking` says when to look again, or that of a file is given up.
        while self._opening and not self._stopping and self._may_connect():
            stream = self._opening.popleft()
            if stream.closed:
                continue
            try:
                self._start(multi, stream)
            except NotReady:
                waiting.append(stream)
            except Exception as error:  # noqa: BLE001 - credentials may raise anything; it is this stream's end
                _end(stream, _as_transport_error(error))
        self._opening.extendleft(reversed(waiting))
        if waiting and self._next_look is None:
            self._next_look = self._timers.add(SOON_SECONDS, self._end_look)
        if not self._running and not self._opening:
            self._leave_gate()

    def _end_look(self) -> None:
        self._next_look = None

    def _start(self, multi: Multi, transfer: Transfer) -> None:
        if not self._running:
            self.hear()
        self._sharing.look_later()
        handle = transfer.begin(now=self._clock.monotonic(), share=self._sharing.on)
        self._running[id(handle)] = transfer
        multi.add(handle)
        if transfer.trust is not None:
            self._rotation.began(transfer.owner, transfer.trust)

    def _send_probe(self) -> Probe:
        if self._roams:
            self._lead_to_a_tenant()
        return self.probe(self._own, timeout=self._probe_timeout, judge=self._silence.judge)

    def _lead_to_a_tenant(self) -> None:
        # To the root: a cluster that hangs must not look like a connection that is dead. As somebody who is there: who
        # made this loop may have left, or moved.
        streams = [each for each in self._running.values() if isinstance(each, Stream)]
        answered = next((each for each in streams if each.status == _OK), None) or next(iter(streams), None)
        if answered is not None:
            config = answered.owner.endpoint.config
            self._own.exchange(replace(config, server=config.origin))

    def _end_old(self, stream: Stream) -> None:
        self._end_now(stream, TransportError("the certificates were renewed: the stream begins anew with them"))

    def _end_now(self, stream: Stream, why: TransportError) -> None:
        if self._multi is not None:
            del self._running[id(stream.handle)]
            _discard(self._multi, stream)
            _end(stream, why)

    # The gate: passed before the first stream of a connection, left when it stands, fails or takes too long.

    def _may_connect(self) -> bool:
        if self._sharing.is_answered():
            return True
        if self._place is None:
            place = self._place = self._gate.enter(self._wake)
            self.call_later(_PLACE_SECONDS, lambda: self._leave_gate(place))
        return self._place.admitted

    def _leave_gate(self, place: Place | None = None) -> None:
        if self._place is not None and place in {None, self._place}:
            self._place.leave()
            self._place = None

    def _close_all(self, multi: Multi) -> None:
        self._thread = self._multi = None
        for stream in (*self._opening, *self._running.values()):
            if isinstance(stream, Stream):
                stream.closed = True
        for transfer in self._running.values():
            _discard(multi, transfer)
        self._running.clear()
        self._opening.clear()
        self._closing.clear()
        self._calls.clear()
        self._timers.clear()
        multi.close()
        self._leave_gate()


def _end(transfer: Transfer, error: TransportError | None) -> None:
    if transfer.status is None:
        transfer.owner.unanswered(error)
    transfer.ended(error)


def _discard(multi: Multi, transfer: Transfer) -> None:
    multi.remove(transfer.handle)
    transfer.handle.close()
    transfer.handle = None


def _as_transport_error(error: Exception) -> TransportError:
    if isinstance(error, TransportError):
        return error
    wrapped = ConnectFailed(str(error) if isinstance(error, KControllerError) else type(error).__name__, ours=True)
    wrapped.__cause__ = error
    return wrapped
