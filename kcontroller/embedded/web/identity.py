"""Who asks, and whether they may.

Users have a bearer token each. There is no RBAC here: a user with a group of its own may do everything, one without
(``nobody``) may do what ``system:basic-user`` and ``system:discovery`` allow everybody, and is refused the rest in the
real server's words. Impersonation is for ``system:masters``.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from kcontroller.embedded import statuses
from kcontroller.embedded.calls import User
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import CIMultiDictProxy

USERS: Final[Mapping[str, tuple[str, ...]]] = {"admin": ("system:masters",), "nobody": ()}
"""The users of every server and their groups: one that may do everything, one that may do nothing."""

MASTERS: Final = "system:masters"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
ANONYMOUS: Final = User("system:anonymous", (UNAUTHENTICATED,))

OPEN_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
"""What needs no credential (ClusterRole system:public-info-viewer)."""

_BEARER: Final = "bearer "
_ACCOUNTS: Final = "system:serviceaccounts"
_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
_EXTRA: Final = "impersonate-extra-"
_DISCOVERY: Final = ("/api/", "/apis/", "/openapi/")
_DISCOVERY_PATHS: Final = frozenset({"/api", "/apis", "/openapi", *OPEN_PATHS})
_OWN_REVIEWS: Final = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
    }
)
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
_VERBS: Final = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PARTS_BEFORE_RESOURCE: Final = 2


class Identity:
    """The users of a server.

    Args:
        users: names and groups, besides `USERS`.
        token: of ``admin``; made up if empty, as those of all others are.
        anonymous: whether a request without a credential is one of ``system:anonymous`` (kube-apiserver's default),
            which is then forbidden most things, or is refused with 401.
    """

    def __init__(
        self, users: Mapping[str, Sequence[str]] | None = None, *, token: str = "", anonymous: bool = False
    ) -> None:
        """Make the tokens."""
        everybody = {**USERS, **(users or {})}
        self._tokens = {name: secrets.token_urlsafe(24) for name in everybody}
        if token:
            self._tokens["admin"] = token
        self._users = {
            self._tokens[name]: User(name, (*groups, AUTHENTICATED), uid=name) for name, groups in everybody.items()
        }
        # The whole header, so that the common request costs one look-up.
        self._by_header = {f"Bearer {token}": user for token, user in self._users.items()}
        self._anonymous = anonymous

    def token_of(self, name: str) -> str:
        """Give the token of a user.

        Raises:
            KeyError: there is no such user.
        """
        return self._tokens[name]

    def rotate(self, name: str) -> str:
        """Give a user another token, and know the old one no more.

        Raises:
            KeyError: there is no such user.
        """
        old, new = self._tokens[name], secrets.token_urlsafe(24)
        user = self._users[old]
        self._tokens[name], self._users[new], self._by_header[f"Bearer {new}"] = new, user, user
        del self._users[old], self._by_header[f"Bearer {old}"]
        return new

    def names(self) -> list[str]:
        """List the users."""
        return sorted(self._tokens)

    def by_token(self, token: str) -> User | None:
        """Find the user of a token."""
        return self._users.get(token)

    def authenticate(self, headers: CIMultiDictProxy[str], path: str) -> User:
        """Find out whose credential a request has.

        Args:
            headers: of the request.
            path: of the request; health and version need no credential.

        Raises:
            Refusal: 401 for a credential that nobody knows, or for none where one is needed.
        """
        header = headers.get("Authorization", "")
        user = self._by_header.get(header)
        return user if user is not None else self._unusual(header, path)

    def _unusual(self, header: str, path: str) -> User:
        if header[: len(_BEARER)].lower() == _BEARER and header[len(_BEARER) :].strip():
            user = self.by_token(header[len(_BEARER) :].strip())
            if user is None:
                raise statuses.unauthorized()
            return user
        if self._anonymous or path in OPEN_PATHS:
            return ANONYMOUS
        raise statuses.unauthorized()


def is_powerful(groups: Sequence[str]) -> bool:
    """Whether a user with these groups may do everything: one of them was given, not added by the server."""
    return any(
        group not in {AUTHENTICATED, UNAUTHENTICATED, "", _ACCOUNTS} and not group.startswith(f"{_ACCOUNTS}:")
        for group in groups
    )


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request asks for, read from its path alone as apiserver's RequestInfo does; nothing need be served there.

    Attributes:
        path: of what is no resource; empty otherwise.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @classmethod
    def of(cls, method: str, path: str, query: Mapping[str, str]) -> Attributes:
        """Read a raw path, without the control plane's prefix."""
        parts = unquote(path).strip("/").split("/")
        plain = cls(method.lower(), path=unquote(path))
        skipped = {"api": 1, "apis": 2}.get(parts[0], 0)
        if not skipped or len(parts) <= skipped + 1:
            return plain
        group, rest = parts[1] if skipped == _PARTS_BEFORE_RESOURCE else "", parts[skipped + 1 :]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 1:
            namespace = rest[1]
            if len(rest) > _PARTS_BEFORE_RESOURCE and rest[2] not in _NAMESPACE_SUBRESOURCES:
                rest = rest[2:]
        resource, name, subresource = (*rest, "", "")[:3]
        verb = _VERBS.get(method, "")
        if not name and verb == "get":
            verb = "watch" if query.get("watch") in {"1", "true", "True"} else "list"
        elif not name and verb == "delete":
            verb = "deletecollection"
        return cls(verb, group, resource, subresource, namespace, name)

    def allowed_to(self, groups: Sequence[str]) -> bool:
        """Whether a user with these groups may do it."""
        if is_powerful(groups):
            return True
        if self.path:
            if self.verb not in {"get", "head"}:
                return False
            if AUTHENTICATED not in groups:
                return self.path in OPEN_PATHS
            return self.path in _DISCOVERY_PATHS or self.path.startswith(_DISCOVERY)
        own = (self.group, self.resource) in _OWN_REVIEWS and not self.subresource
        return own and self.verb == "create" and AUTHENTICATED in groups

    def forbidden(self, user: User, *, verb: str = "") -> Refusal:
        """403: in the words of apiserver's responsewriters.ForbiddenStatus."""
        verb = verb or self.verb
        if self.path:
            message = f'forbidden: User "{user.name}" cannot {verb} path "{self.path}"'
            return Refusal(403, "Forbidden", message, details={})
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        qualified = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        subject = f'{qualified} "{self.name}"' if self.name else qualified
        message = (
            f'{subject} is forbidden: User "{user.name}" cannot {verb} resource "{resource}" '
            f'in API group "{self.group}" {where}'
        )
        details = {"name": self.name, "group": self.group, "kind": self.resource}
        return Refusal(403, "Forbidden", message, details={key: value for key, value in details.items() if value})


def impersonated(user: User, headers: CIMultiDictProxy[str], attributes: Attributes) -> User:
    """Give the user that the ``Impersonate-`` headers name, or the same user without them.

    Raises:
        Refusal: 400 if they name no user, 403 if `user` is not in `MASTERS`.
    """
    name, uid = headers.get("Impersonate-User", ""), headers.get("Impersonate-Uid", "")
    groups = headers.getall("Impersonate-Group", [])
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA):
            extra.setdefault(unquote(header[len(_EXTRA) :].lower()), []).append(value)
    if not name:
        if groups or uid or extra:
            raise statuses.bad_request(f"requested {_go_user(uid, groups, extra)} without impersonating a user name")
        return user
    if MASTERS not in user.groups:
        raise attributes.forbidden(user, verb=f"impersonate-on:user-info:{attributes.verb}")
    if name.startswith(_ACCOUNT_PREFIX) and not groups:
        groups = [_ACCOUNTS, f"{_ACCOUNTS}:{name.split(':')[2]}"]
    if name == ANONYMOUS.name and UNAUTHENTICATED not in groups:
        groups = [*groups, UNAUTHENTICATED]
    if not {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
        groups = [*groups, AUTHENTICATED]
    return User(name, tuple(groups), extra, uid)


def _go_user(uid: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]) -> str:
    """Write a user as Go's %#v does."""
    listed = f"[]string{{{_go_strings(groups)}}}" if groups else "[]string(nil)"
    pairs = ", ".join(f"{json.dumps(key)}:[]string{{{_go_strings(values)}}}" for key, values in sorted(extra.items()))
    mapped = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{json.dumps(uid)}, Groups:{listed}, Extra:{mapped}}}'


def _go_strings(values: Sequence[str]) -> str:
    return ", ".join(json.dumps(value) for value in values)
