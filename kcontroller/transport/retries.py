"""When a request is sent again, by client-go's rules.

* An answer of 429 with a Retry-After in whole seconds is obeyed, whatever the verb: the server says that it did
  nothing. So is one of 5xx to a GET; after a write it may have happened nevertheless, and whoever wrote must look. At
  most 10 times, and a wait that would end later than the request's time-out, or 60 s, after the first sending is not
  begun: the caller gets the answer as it is. After a 429 the other requests wait as well: see `throttle`.
* A GET whose connection was lost is sent again at most 3 times within its time-out. Other verbs never: see
  `OutcomeUnknown`.
* A connection that did not come about is not tried again here. Whoever asked has a backoff, and a circuit breaker to
  tell.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcontroller.errors import TransportError
from kcontroller.process.backoff import Backoff
from kcontroller.transport.measure import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable

    import tenacity

    from kcontroller.process.clock import Clock
    from kcontroller.transport.messages import HttpResponse

    Attempt = Callable[[], HttpResponse]

MAX_RETRIES: Final = 10
MAX_REPEATS: Final = 3
TOTAL_SECONDS: Final = 60.0
WAIT_JITTER: Final = 0.25
"""By so much of it a Retry-After is exceeded at most, or all who were sent away together would come back together."""
REPEAT: Final = Backoff(initial=0.5, cap=1.0, jitter=0.5)

TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Retries:
    """How one request may be sent again.

    Attributes:
        read_only: whether it may be repeated when it may have been served.
        timeout: seconds within which it may be sent again.
        pause: waits so many seconds, or raises Stopped.
        on_retry: told the code that causes the next sending.
        clock: the time by which `timeout` and `TOTAL_SECONDS` run.
    """

    read_only: bool
    timeout: float
    pause: Callable[[float], None]
    on_retry: Callable[[str], None]
    clock: Clock

    def run(self, attempt: Attempt) -> HttpResponse:
        """Call `attempt` until its outcome stands; returns or raises the last one."""
        started = self.clock.monotonic()
        first: HttpResponse | TransportError
        try:
            first = attempt()
        except TransportError as error:
            if not self._repeats(error):
                raise
            first = error
        else:
            if not self._asks_to_wait(first):
                return first
        return self._run_again(first, attempt, started)

    def _run_again(self, first: HttpResponse | TransportError, attempt: Attempt, started: float) -> HttpResponse:
        # Nearly every request is answered at once; only the others pay for (and import) tenacity.
        import tenacity  # noqa: PLC0415

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(self._asks_to_wait) | tenacity.retry_if_exception(self._repeats),
            wait=_wait,
            stop=lambda state: self._is_over(state, self.clock.monotonic() - started),
            sleep=self.pause,
            before_sleep=lambda state: self.on_retry(_code_of(state)),
            retry_error_callback=lambda state: _outcome(state).result(),
        )
        return retrying(_Resumed(first, attempt))

    def _repeats(self, error: BaseException) -> bool:
        # Its subclasses say that nothing was sent, that time is over, or that the outcome of a write is unknown.
        return self.read_only and type(error) is TransportError

    def _asks_to_wait(self, response: HttpResponse) -> bool:
        obeyed = response.status == TOO_MANY or (self.read_only and response.status >= _SERVER_ERROR)
        return obeyed and response.retry_after is not None

    def _is_over(self, state: tenacity.RetryCallState, elapsed: float) -> bool:
        lost = _outcome(state).failed
        limit = MAX_REPEATS if lost else MAX_RETRIES
        return state.attempt_number > limit or elapsed + state.upcoming_sleep > min(self.timeout, TOTAL_SECONDS)


class _Resumed:
    """An attempt whose first outcome is already known."""

    def __init__(self, first: HttpResponse | TransportError, attempt: Attempt) -> None:
        self._first: HttpResponse | TransportError | None = first
        self._attempt = attempt

    def __call__(self) -> HttpResponse:
        first, self._first = self._first, None
        if first is None:
            return self._attempt()
        if isinstance(first, TransportError):
            raise first
        return first


def _outcome(state: tenacity.RetryCallState) -> tenacity.Future:
    outcome = state.outcome
    assert outcome is not None  # noqa: S101 - tenacity asks after an attempt only
    return outcome


def _wait(state: tenacity.RetryCallState) -> float:
    outcome = _outcome(state)
    if outcome.failed:
        return REPEAT.delay(state.attempt_number)
    asked = float(outcome.result().retry_after)
    return asked * (1 + WAIT_JITTER * random.random())  # noqa: S311 - not a secret


def _code_of(state: tenacity.RetryCallState) -> str:
    outcome = _outcome(state)
    return NO_ANSWER if outcome.failed else str(outcome.result().status)
