"""Asks the API server whose a token is and what that user may do: TokenReview and SubjectAccessReview.

Both are created and never stored, so that sending one again is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from kcontroller.client.answers import SUCCESS, api_error
from kcontroller.errors import ApiError, Forbidden, KControllerError, RequestTimeout, TransportError
from kcontroller.process.stop import Deadline, StopToken
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.pool import Pools
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.transport.config import Config

REVIEW_SECONDS: Final = 4.0
"""The longest time for one review: a scrape may need two, and Prometheus waits ten seconds for it."""

_PAUSES: Final = (0.5, 0.75)
"""Before a second and a third try: controller-runtime's 0.5 s, times 1.5."""

_SERVER_ERROR: Final = 500
_TOKENS: Final = "tokenreviews.authentication.k8s.io"
_ACCESS: Final = "subjectaccessreviews.authorization.k8s.io"
_PATHS: Final = {
    _TOKENS: "/apis/authentication.k8s.io/v1/tokenreviews",
    _ACCESS: "/apis/authorization.k8s.io/v1/subjectaccessreviews",
}


class User(msgspec.Struct, frozen=True):
    """Who the API server says it is."""

    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: User | None = None


class _TokenReview(msgspec.Struct):
    status: _TokenStatus = msgspec.field(default_factory=_TokenStatus)


class _AccessStatus(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus = msgspec.field(default_factory=_AccessStatus)


_Review = TypeVar("_Review")


class Reviewer:
    """Sends reviews over connections of its own, so that busy traffic does not hold them up; for any thread.

    Args:
        config: the server, and who we are: the user needs create on both kinds.
        metrics: where requests are counted.
        clock: the time.
    """

    def __init__(self, config: Config, *, metrics: Metrics, clock: Clock) -> None:
        self._requester = Requester(config, metrics=metrics, clock=clock, pools=Pools())
        self._clock = clock
        self._stop = StopToken(clock=clock)

    def user_of(self, token: str) -> User | None:
        """Say whose token it is; None if nobody's.

        Raises:
            ApiError, TransportError: it could not be asked.
            Stopped: `close` was called.
        """
        status = self._create(_TOKENS, "authentication.k8s.io/v1", "TokenReview", {"token": token}, _TokenReview).status
        # A user without a name could not be asked about.
        return status.user if status.authenticated and status.user is not None and status.user.username else None

    def may(self, user: User, *, verb: str, path: str) -> bool:
        """Say whether a user may do that to a path that is no resource's, such as ``get`` to ``/metrics``.

        Raises:
            ApiError, TransportError: it could not be asked.
            Stopped: `close` was called.
        """
        spec = {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups or [],
            "extra": user.extra or {},
            "nonResourceAttributes": {"verb": verb, "path": path},
        }
        review = self._create(_ACCESS, "authorization.k8s.io/v1", "SubjectAccessReview", spec, _AccessReview)
        return review.status.allowed

    def close(self) -> None:
        """End the running reviews and close the connections."""
        self._stop.stop("the server stops")
        self._requester.close()

    def _create(self, resource: str, api_version: str, kind: str, spec: object, form: type[_Review]) -> _Review:
        body = msgspec.json.encode({"apiVersion": api_version, "kind": kind, "spec": spec})
        request = HttpRequest("POST", _PATHS[resource], body, "application/json", verb="create")
        deadline = Deadline.after(REVIEW_SECONDS, clock=self._clock)
        for pause in _PAUSES:
            try:
                return self._once(request, resource, form, deadline)
            except (ApiError, TransportError) as error:
                if not _passes(error) or deadline.remaining() <= pause:
                    raise
            self._stop.wait(pause)
            self._stop.raise_if_stopped()
        return self._once(request, resource, form, deadline)

    def _once(self, request: HttpRequest, resource: str, form: type[_Review], deadline: Deadline) -> _Review:
        answer = self._requester.send(request, timeout=deadline.remaining(), stop=self._stop)
        if answer.status not in SUCCESS:
            raise api_error(answer.status, answer.body, verb=request.verb, resource=resource)
        try:
            return msgspec.json.decode(answer.body, type=form)
        except (ValueError, RecursionError):
            msg = f"create {resource}: the answer is no review"
            raise TransportError(msg) from None  # The cause might show what was answered: the token is in it.


def _passes(error: KControllerError) -> bool:
    if isinstance(error, ApiError):
        return error.status >= _SERVER_ERROR
    return not isinstance(error, RequestTimeout)


def in_words(error: KControllerError) -> str:
    """Say what is wrong with the remedy where there is one."""
    if isinstance(error, Forbidden):
        return f"{error}; grant create on {_TOKENS} and {_ACCESS} to the user of this process"
    return str(error)
