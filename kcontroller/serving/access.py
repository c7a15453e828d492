"""Who may read a page: the API server is asked, and believed for a while.

The times are those of controller-runtime's filter for metrics (``WithAuthenticationAndAuthorization``): what is known
of a token is believed for a minute, that a user may for five minutes, that one may not for half a minute. Whatever goes
wrong, nothing is shown. Tokens are kept nowhere; what is remembered of one is found by its hash.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from cachetools import LRUCache, TLRUCache

from kcontroller.errors import ApiError, KControllerError, Stopped
from kcontroller.process.logs import Log, one_line
from kcontroller.serving.dispatch import METHODS, Answer, respond
from kcontroller.serving.reviews import REVIEW_SECONDS, Reviewer, in_words
from kcontroller.transport.limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from contextlib import AbstractContextManager
    from wsgiref.types import StartResponse, WSGIApplication

    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.serving.reviews import User
    from kcontroller.transport.config import Config

_TOKEN_SECONDS: Final = 60.0
_ALLOWED_SECONDS: Final = 300.0
_DENIED_SECONDS: Final = 30.0
_REMEMBERED: Final = 1024
_SCRAPERS: Final = 64

# Tokens that nobody knows cost a review each: so many a second, and so many at once.
_STRANGERS_PER_SECOND: Final = 5.0
_STRANGERS_BURST: Final = 20
AT_ONCE: Final = 2
"""So many requests may wait for reviews, and one more of somebody whose token was good before."""

WORKERS: Final = AT_ONCE + 2
"""What a server needs: a worker is left for those whose answer is known."""

_BEARER: Final = re.compile(r"bearer +([\x21-\x7e]+) *", re.IGNORECASE)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_log: Final = Log("kcontroller.serving.access")


class _Busy(KControllerError):
    """Too many requests wait for reviews."""


class _TooMany(KControllerError):
    """Too many unknown tokens."""


@dataclass(frozen=True, slots=True)
class _Known(Generic[_Value]):
    """What a review said, and how long it is believed."""

    value: _Value
    seconds: float


class _Turns:
    """Taken by whoever waits for a review, so that not all workers do. Strangers cannot take the last one."""

    def __init__(self) -> None:
        self._of_all = threading.Semaphore(AT_ONCE)
        self._kept = threading.Semaphore(1)

    @contextmanager
    def one(self, *, is_known: bool) -> Iterator[None]:
        """Hold a turn; raises `_Busy` if there is none."""
        turns = (self._of_all, self._kept) if is_known else (self._of_all,)
        taken = next((each for each in turns if each.acquire(blocking=False)), None)
        if taken is None:
            raise _Busy
        try:
            yield
        finally:
            taken.release()


class _Memory(Generic[_Key, _Value]):
    """Outcomes of reviews by key. Of each key there is one review at a time; others that ask wait for it.

    Args:
        clock: the time by which outcomes grow old.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._asking: dict[_Key, threading.Event] = {}
        self._known: TLRUCache[_Key, _Known[_Value]] = TLRUCache(
            _REMEMBERED, ttu=lambda _, known, now: now + known.seconds, timer=clock.monotonic
        )

    def get(
        self, key: _Key, ask: Callable[[], _Known[_Value]], *, turn: Callable[[], AbstractContextManager[None]]
    ) -> _Value:
        """Give what is known, or `ask`, with no lock held and within a `turn`; raises what these raise, and `_Busy`."""
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known.value
        with turn():
            return self._asked(key, ask).value

    def _asked(self, key: _Key, ask: Callable[[], _Known[_Value]]) -> _Known[_Value]:
        while True:
            with self._lock:
                known = self._known.get(key)
                if known is not None:
                    return known
                under_way = self._asking.get(key)
                if under_way is None:
                    over = self._asking[key] = threading.Event()
                    break
            if not under_way.wait(REVIEW_SECONDS):
                raise _Busy
        try:
            known = ask()
            with self._lock:
                self._known[key] = known
            return known
        finally:
            with self._lock:
                del self._asking[key]
            over.set()


class Access:
    """Decides who may read; for any thread.

    Args:
        config: the server that knows the readers, and who we are there.
        metrics: where decisions and requests are counted.
        clock: the time by which decisions grow old.
    """

    def __init__(self, config: Config, *, metrics: Metrics, clock: Clock) -> None:
        self._reviewer = Reviewer(config, metrics=metrics, clock=clock)
        self._metrics = metrics
        self._turns = _Turns()
        self._users: _Memory[bytes, User | None] = _Memory(clock=clock)
        self._rights: _Memory[bytes, bool] = _Memory(clock=clock)
        self._strangers = RateLimiter(_STRANGERS_PER_SECOND, _STRANGERS_BURST, clock=clock)
        self._lock = threading.Lock()
        self._scrapers: LRUCache[bytes, bool] = LRUCache(_SCRAPERS)
        self._troubles: dict[str, str] = {}

    def refusal(self, authorization: str, *, verb: str, path: str) -> Answer | None:
        """Say why a request gets no answer; None if it gets one.

        Args:
            authorization: its header of that name, or "".
            verb: what it wants in RBAC's words, ``get``.
            path: of what.
        """
        try:
            return self._decided(authorization, verb, path)
        except _TooMany:
            return self._counted("limited", HTTPStatus.TOO_MANY_REQUESTS, "too many unknown tokens; try again later")
        except KControllerError as error:
            return self._failed(error)

    def close(self) -> None:
        """End the running reviews: who waits for one is refused."""
        self._reviewer.close()

    def _decided(self, authorization: str, verb: str, path: str) -> Answer | None:
        bearer = _BEARER.fullmatch(authorization)
        user = None if bearer is None else self._user_of(bearer[1])
        if user is None:
            return self._counted("unauthenticated", HTTPStatus.UNAUTHORIZED, "unauthorized: send a valid bearer token")
        if not self._may(user, verb, path):
            name = one_line(user.username)
            return self._counted("forbidden", HTTPStatus.FORBIDDEN, f"forbidden: user {name!r} cannot {verb} {path}")
        self._metrics.access.labels("allowed").inc()
        return None

    def _user_of(self, token: str) -> User | None:
        digest = hashlib.sha256(token.encode()).digest()
        return self._users.get(
            digest, lambda: _Known(self._reviewed(token, digest), _TOKEN_SECONDS), turn=lambda: self._turn_of(digest)
        )

    def _turn_of(self, digest: bytes) -> AbstractContextManager[None]:
        with self._lock:
            is_known = digest in self._scrapers
        # Who was somebody a minute ago does not stand in line with strangers.
        if not is_known and self._strangers.reserve(within=0) is None:
            raise _TooMany
        return self._turns.one(is_known=is_known)

    def _reviewed(self, token: str, digest: bytes) -> User | None:
        user = self._told("users", lambda: self._reviewer.user_of(token))
        with self._lock:
            if user is None:
                self._scrapers.pop(digest, None)
            else:
                self._scrapers[digest] = True
        return user

    def _may(self, user: User, verb: str, path: str) -> bool:
        def ask() -> _Known[bool]:
            allowed = self._told("rights", lambda: self._reviewer.may(user, verb=verb, path=path))
            return _Known(allowed, _ALLOWED_SECONDS if allowed else _DENIED_SECONDS)

        key = hashlib.sha256(msgspec.json.encode((user, verb, path))).digest()
        return self._rights.get(key, ask, turn=lambda: self._turns.one(is_known=True))

    def _failed(self, error: KControllerError) -> Answer:
        if isinstance(error, _Busy):
            return self._counted(
                "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "too many wait for an answer; try again"
            )
        if isinstance(error, Stopped):
            return self._counted("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "stopping")
        if isinstance(error, ApiError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            # Waiting does not mend it: a right of ours is missing.
            return self._counted("unavailable", HTTPStatus.INTERNAL_SERVER_ERROR, "it cannot be found out who you are")
        text = "it cannot be found out who you are; try again later"
        return self._counted("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, text)

    def _counted(self, result: str, status: HTTPStatus, text: str) -> Answer:
        self._metrics.access.labels(result).inc()
        return Answer(status, f"{one_line(text)}\n".encode())

    def _told(self, what: str, ask: Callable[[], _Value]) -> _Value:
        """Ask, and log what goes wrong when it begins and ends: a scrape each few seconds would say the same."""
        try:
            value = ask()
        except Stopped:
            raise
        except KControllerError as error:
            trouble = in_words(error)
            if self._troubles.get(what) != trouble:
                _log.error("metrics are not shown, because it cannot be asked who may read them: %s", trouble)
            self._troubles[what] = trouble
            raise
        if self._troubles.pop(what, ""):
            _log.info("it can be asked again who may read metrics")
        return value


class Guarded:
    """A WSGI application before another, which is called for known pages and for who may read them.

    Whatever else is asked gets its answer here, and costs no review: so there is one for each user and page.

    Args:
        app: the application that answers in the end.
        access: decides.
        pages: the paths that there are.
    """

    def __init__(self, app: WSGIApplication, access: Access, *, pages: Collection[str]) -> None:
        self._app = app
        self._access = access
        self._pages = frozenset(pages)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        refusal = self._refusal(environ)
        if refusal is not None:
            return respond(refusal, environ, start_response)
        return self._app(environ, start_response)

    def _refusal(self, environ: dict[str, Any]) -> Answer | None:
        # As it is looked up: /metrics/ and //metrics are the same page.
        path = "/" + str(environ["PATH_INFO"]).strip("/")
        if path not in self._pages:
            return Answer(HTTPStatus.NOT_FOUND, b"404 page not found\n")
        if environ["REQUEST_METHOD"] not in METHODS:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"method not allowed\n")
        authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
        return self._access.refusal(authorization, verb=str(environ["REQUEST_METHOD"]).lower(), path=path)
