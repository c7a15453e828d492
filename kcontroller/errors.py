"""Every exception of kcontroller, and the table that says what a framework does about an API status.

::

    KControllerError
    ├── ConfigError                 a kubeconfig, an option, a certificate: names the thing and the remedy
    ├── PluginError                 a Reconciler or provider that cannot be found or loaded
    ├── ControlPlaneError           the test control plane could not be built or started
    ├── TransportError              no HTTP answer (also a ConnectionError)
    │   ├── ConnectFailed           nothing was sent: any verb may be repeated
    │   │   └── TLSFailed           the peer could not be verified, or refused our certificate
    │   ├── Garbled                 an answer came, but it is not what an API server sends
    │   ├── RequestTimeout          the time of the request is over (also a TimeoutError)
    │   ├── ServerSilent            a stream ended because its connection is dead
    │   └── OutcomeUnknown          a write was sent and its answer lost: read before you repeat it
    ├── ApiError                    an answer of status 400 or more
    │   ├── BadRequest              400
    │   ├── Unauthorized            401 (also a PermissionError)
    │   ├── Forbidden               403 (also a PermissionError)
    │   │   └── ClusterSuspended    the cluster takes no writes for now (also a ClusterError): requeue
    │   ├── NotFound                404
    │   ├── MethodNotAllowed        405
    │   ├── Conflict                409: the resourceVersion is old, or an apply met another owner
    │   │   └── AlreadyExists       409 with reason AlreadyExists
    │   ├── Expired                 410
    │   ├── Invalid                 422
    │   ├── TooManyRequests         429
    │   └── ServerError             5xx
    ├── KindNotServed               the server does not know the kind (yet)
    ├── CacheError
    │   ├── NotSynced               the informer has not seen its first list
    │   ├── NotCached               no informer covers what was asked
    │   ├── UnlistedNamespace       the informer watches other namespaces (this is not NotFound)
    │   ├── StaleRead               the cache has not caught up with an own write: requeue
    │   ├── TooManyTracked          an object cannot be watched by itself: there are too many of them
    │   └── WouldDeadlock           waiting here would stop the thread that must make it come true
    ├── ClusterError
    │   ├── ClusterNotFound         no such cluster is engaged
    │   ├── ClusterMismatch         a request of one cluster was handed to the client of another
    │   └── ClusterUnavailable      the cluster's circuit breaker is open: requeue
    ├── FinalizerOnDeleting         a finalizer was added to an object that is being deleted
    ├── AlreadyOwned                another controller owns the object
    ├── BudgetSpent                 the controller may delete or write no more in this cluster until somebody says so
    ├── Stopped                     the work was asked to stop
    ├── NotLeader                   a write of a leader-only controller without the lease
    ├── TerminalError               raised by users: do not retry
    │   └── ModelMismatch           an object does not fit the class it is read into
    └── Wait                        raised by users: requeue later; not an error

No message carries the body of an object, a token or a certificate.
"""

from __future__ import annotations

import enum
from typing import Final

_TEXT_LIMIT: Final = 256  # Bodies come from anywhere; a log line must not.


class KControllerError(Exception):
    """Root of every exception that kcontroller raises on purpose."""


class ConfigError(KControllerError, ValueError):
    """A configuration cannot be used; the text names the thing and the remedy."""


class PluginError(KControllerError):
    """A Reconciler or provider cannot be found or loaded; the text names the file, module or class, and the remedy."""


class ControlPlaneError(KControllerError):
    """The control plane for tests could not be built, found or started."""


class TransportError(KControllerError, ConnectionError):
    """No HTTP answer came back.

    Attributes:
        ours: the cause lies in this process, such as no file descriptor being left: it says nothing of the server.
    """

    def __init__(self, message: str = "", *, ours: bool = False) -> None:
        """Record the message and whose fault it is."""
        super().__init__(message)
        self.ours = ours


class ConnectFailed(TransportError):
    """No connection; nothing was sent, so that any verb may be repeated."""


class TLSFailed(ConnectFailed):
    """The server's certificate could not be verified, or the server refused ours."""


class Garbled(TransportError):
    """The answer is not what a Kubernetes API server sends; something between it and us may have made it."""


class RequestTimeout(TransportError, TimeoutError):
    """The time of the request is over. A write may or may not have happened unless `sent` is False."""

    def __init__(self, message: str, *, sent: bool = True, ours: bool = False) -> None:
        """Record the message, whether bytes of the request had left, and whose fault it is."""
        super().__init__(message, ours=ours)
        self.sent = sent


class ServerSilent(TransportError):
    """Nothing came on a stream for long, and no answer to the question whether its server lives."""


class OutcomeUnknown(TransportError):
    """A write was sent and its answer was lost. Read the object before repeating it: it may have happened."""


class Treatment(enum.Enum):
    """What the layer that asked does about a failed answer."""

    RETRY = "retry"
    RELIST = "relist"
    REAUTHENTICATE = "re-authenticate"
    TERMINAL = "terminal"


class ApiError(KControllerError):
    """The API server answered with a status of 400 or more.

    Attributes:
        status: the HTTP status.
        reason: the machine-readable reason of the Status object, such as ``AlreadyExists``; "" if there was none.
        message: the server's text, at most 256 characters.
        verb: what was asked, in RBAC's words (``get``, ``list``, ``watch``, ``create``, ...).
        resource: ``widgets.example.com``, with ``/status`` for a subresource.
        retry_after: seconds the server asks to wait, or None.
        causes: the ``reason`` of each of the Status's causes, for example ``ResourceVersionTooLarge``.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int,
        reason: str = "",
        verb: str = "",
        resource: str = "",
        retry_after: float | None = None,
        causes: tuple[str, ...] = (),
    ) -> None:
        """Keep the parts; `str()` joins them to one line."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message[:_TEXT_LIMIT]
        self.verb = verb
        self.resource = resource
        self.retry_after = retry_after
        self.causes = causes

    def __str__(self) -> str:
        """Say verb, resource, status, reason and the server's text in one line."""
        asked = f"{self.verb} {self.resource}: ".lstrip() if self.verb or self.resource else ""
        reason = f" {self.reason}" if self.reason else ""
        return f"{asked}{self.status}{reason}: {self.message}".rstrip(": ")

    @property
    def treatment(self) -> Treatment:
        """What to do about it, from `TREATMENTS`."""
        return treatment_of(self.status)


class BadRequest(ApiError):
    """400: the request is malformed."""


class Unauthorized(ApiError, PermissionError):
    """401: the credentials are missing, expired or unknown."""


class Forbidden(ApiError, PermissionError):
    """403: a right is missing; the text names verb and resource."""


class NotFound(ApiError, LookupError):
    """404: the object, or the whole resource, does not exist."""


class MethodNotAllowed(ApiError):
    """405: the resource does not have this verb."""


class Conflict(ApiError):
    """409: the object changed since it was read, or an apply met another owner."""


class AlreadyExists(Conflict):
    """409 with reason ``AlreadyExists``: an object of that name exists."""


class Expired(ApiError):
    """410: the resourceVersion or continue token is older than the server's window."""


class Invalid(ApiError):
    """422: the object does not pass validation."""


class TooManyRequests(ApiError):
    """429: asked to wait; `retry_after` says how long."""


class ServerError(ApiError):
    """Any 5xx. A write that is answered so may have happened."""


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
}

TREATMENTS: Final[dict[int, Treatment]] = {
    401: Treatment.REAUTHENTICATE,
    408: Treatment.RETRY,
    409: Treatment.RETRY,
    410: Treatment.RELIST,
    429: Treatment.RETRY,
    500: Treatment.RETRY,
    502: Treatment.RETRY,
    503: Treatment.RETRY,
    504: Treatment.RETRY,
}

_SERVER_ERRORS: Final = 500
_FORBIDDEN: Final = 403
_SUSPENDED: Final = "ProjectSuspended"


def error_type(status: int, reason: str, causes: tuple[str, ...] = ()) -> type[ApiError]:
    """Choose the class for an answer's status, reason and causes."""
    if reason == "AlreadyExists":
        return AlreadyExists
    if status == _FORBIDDEN and _SUSPENDED in causes:
        return ClusterSuspended
    return _BY_STATUS.get(status, ServerError if status >= _SERVER_ERRORS else ApiError)


def treatment_of(status: int) -> Treatment:
    """Look a status up in `TREATMENTS`; what is not in it is terminal below 500 and a retry above."""
    return TREATMENTS.get(status, Treatment.RETRY if status >= _SERVER_ERRORS else Treatment.TERMINAL)


class KindNotServed(KControllerError, LookupError):
    """The server does not serve a kind; its CRD may not be installed yet."""


class CacheError(KControllerError):
    """A read that the cache cannot answer."""


class NotSynced(CacheError):
    """The informer has not seen its first complete list."""


class NotCached(CacheError):
    """No informer covers what was asked; declare the kind or the index in `Reconciler.setup`."""


class UnlistedNamespace(CacheError):
    """The informer watches other namespaces only, so absence would mean nothing."""


class StaleRead(CacheError):
    """The cache has not caught up with one of our own writes within the time a read may wait."""


class TooManyTracked(CacheError):
    """A tracked read would need one more watch of a single object than a cluster may have; cache the kind instead."""


class WouldDeadlock(CacheError):
    """The calling thread is the one that would have to deliver what it wants to wait for."""


class ClusterError(KControllerError):
    """Something about a cluster as a whole."""


class ClusterNotFound(ClusterError, LookupError):
    """No cluster of that name is engaged."""


class ClusterMismatch(ClusterError):
    """A request of one cluster was handed to the client of another."""


class ClusterUnavailable(ClusterError):
    """The cluster's circuit breaker is open: nothing was sent. A reconcile that ends with it is requeued.

    Attributes:
        retry_after: seconds until the server is asked whether it is back.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        """Record the message and when to try again."""
        super().__init__(message)
        self.retry_after = retry_after


class ClusterSuspended(Forbidden, ClusterError):
    """The cluster takes no writes for now, but deletes and what lets a deletion end; reads go on.

    The server said so (403 with the cause ``ProjectSuspended``), or has said so lately and was not asked again. A
    reconcile that ends with it is requeued after `retry_after`.
    """


class FinalizerOnDeleting(KControllerError):
    """A finalizer cannot be added to an object that is being deleted; the API server would answer 422."""


class AlreadyOwned(KControllerError):
    """Another controller already owns the object."""


class BudgetSpent(KControllerError):
    """A write was refused because its controller has used up what it may write or delete in this cluster: requeue.

    Nothing was sent. The text says how the controller is told to go on.
    """


class Stopped(KControllerError):
    """The work was asked to stop."""


class NotLeader(KControllerError):
    """A write of a leader-only controller was refused because the lease may have passed to another replica."""


class TerminalError(KControllerError):
    """Raise it from a reconcile to say that a retry is of no use; the next event still reconciles the object."""


class ModelMismatch(TerminalError, ValueError):
    """An object does not fit the class it is read into; only a change of the object or of the class helps."""


class Wait(KControllerError):
    """Raise it from any depth of a reconcile to be called again later; counted as requeue_after, not as an error.

    Args:
        after: seconds until the next try; 0 takes the object's backoff.
        why: one clause for the log, such as ``database not ready``.
    """

    def __init__(self, *, after: float, why: str = "") -> None:
        """Keep the delay and the reason."""
        super().__init__(why)
        self.after = after
        self.why = why
