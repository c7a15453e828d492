"""Asks a control plane whether it takes us for inside of the project: what a gateway has lost shows here.

Milo puts the project of a path into the user of each request below it. A SelfSubjectReview (KEP-3325) gives that user
back, and every user may ask for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.client.answers import SUCCESS, api_error
from kcontroller.errors import ApiError, Forbidden, TransportError
from kcontroller.multicluster.providers.milo.kinds import GROUP
from kcontroller.process.logs import one_line
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Config

SECONDS: Final = 10.0
"""The longest time for the question."""

_RESOURCE: Final = "selfsubjectreviews.authentication.k8s.io"
_REQUEST: Final = HttpRequest(
    "POST",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
    "application/json",
    verb="create",
)
_PARENT: Final = "iam.miloapis.com/parent-"
_SHOWN: Final = 128


class _User(msgspec.Struct):
    extra: dict[str, list[str]] | None = None


class _Status(msgspec.Struct, rename="camel"):
    user_info: _User = msgspec.field(default_factory=_User)


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


def other_parent(spec: ClusterSpec, stop: StopToken) -> str:
    """Say what speaks against it that the server of a project's cluster is that project; "" if nothing does.

    It waits for the server, for `SECONDS` at most.

    Raises:
        Stopped: `stop` was stopped.
    """
    try:
        extra = _asked(spec.config, stop)
    except Forbidden as error:
        return f"{error}; grant create on {_RESOURCE} to this user, or leave out the check of the parent"
    except (ApiError, TransportError) as error:
        return f"it cannot be asked for its parent: {error}"
    found = {name: extra.get(_PARENT + name, []) for name in ("api-group", "type", "name")}
    if found == {"api-group": [GROUP], "type": ["Project"], "name": [spec.name]}:
        return ""
    names = " ".join((*found["type"], *found["name"]))
    where = f"inside of {one_line(names[:_SHOWN])}" if names else "outside of all projects"
    return f"{spec.config.server} takes us for {where}, and not for inside of Project {spec.name}"


def _asked(config: Config, stop: StopToken) -> dict[str, list[str]]:
    requester = Requester(config)
    try:
        answer = requester.send(_REQUEST, timeout=SECONDS, stop=stop)
    finally:
        requester.close()
    if answer.status not in SUCCESS:
        raise api_error(answer.status, answer.body, verb=_REQUEST.verb, resource=_RESOURCE, headers=answer.headers)
    try:
        return msgspec.json.decode(answer.body, type=_Review).status.user_info.extra or {}
    except (ValueError, RecursionError):
        msg = f"create {_RESOURCE}: the answer is no review"
        raise TransportError(msg) from None
