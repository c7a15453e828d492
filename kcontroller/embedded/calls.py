"""One request for a resource, parsed: who asks for which verb on what, and the options in its query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from kcontroller.embedded import statuses
from kcontroller.embedded.milo import visible
from kcontroller.embedded.selector_grammar import FieldSelector, LabelSelector
from kcontroller.embedded.store import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kcontroller.embedded.kinds import Catalog, Kind

_READ: Final = frozenset({"get", "update", "patch", "delete"})
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "HEAD": "get"}
_MATCHES: Final = ("", "Exact", "NotOlderThan")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a resource.

    Attributes:
        verb: as RBAC names it: get, list, watch, create, update, patch, delete, deletecollection.
        plane: the control plane, empty for the root.
        namespace: of the path; empty for cluster-scoped kinds and for requests over all namespaces.
        name: of the path; empty for collections.
        subresource: empty for the object itself.
        query: the last value of each parameter.
        agent: the User-Agent.
    """

    verb: str
    plane: str
    kind: Kind
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    user: User
    agent: str = ""

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be stored; that the value is ``All`` has been checked (`options`)."""
        return "dryRun" in self.query

    @property
    def manager(self) -> str:
        """The field manager: the parameter, or the start of the User-Agent up to its first slash."""
        return self.query.get("fieldManager") or self.agent.partition("/")[0] or "unknown"

    @property
    def validation(self) -> str:
        """What happens with unknown fields: ``Ignore``, ``Warn`` or ``Strict``."""
        return self.query.get("fieldValidation") or "Warn"

    def flag(self, name: str) -> bool:
        """Read a boolean parameter as Go's ParseBool-like conversion does: present and not ``false`` or ``0``."""
        value = self.query.get(name)
        return value is not None and value not in {"false", "0", "False", "f", "F", "FALSE"}

    def number(self, name: str) -> int:
        """Read a number; 0 if absent.

        Raises:
            Refusal: it is not a number.
        """
        value = self.query.get(name, "")
        if not value:
            return 0
        try:
            return int(value)
        except ValueError:
            raise statuses.bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a collection are meant."""

    labels: LabelSelector
    fields: FieldSelector

    @classmethod
    def of(cls, call: Call) -> Selection:
        """Read both selectors of a request.

        Raises:
            Refusal: one cannot be parsed; with two of them the label selector's fault is told.
        """
        try:
            labels = LabelSelector.parse(call.query.get("labelSelector", ""))
            fields = FieldSelector.parse(call.query.get("fieldSelector", ""))
        except ValueError as error:
            raise statuses.bad_request(str(error)) from None
        return cls(labels, fields)


def parse(catalog: Catalog, method: str, path: str, query: Mapping[str, str], user: User, **rest: str) -> Call:
    """Read the path below a control plane: ``/api/v1/…`` or ``/apis/GROUP/VERSION/…``.

    `rest` gives `plane` and `agent`.

    Raises:
        Refusal: nothing is served there, or not with this method.
    """
    group, version, tail = _split(path)
    # The paths of before there was a parameter `watch`.
    is_watch = tail[:1] == ["watch"]
    tail = tail[1:] if is_watch else tail
    namespace = ""
    # A namespace is itself a resource: below it only what is not one of its own subresources belongs to others.
    if tail[:1] == ["namespaces"] and len(tail) > 2 and (group or tail[2] not in {"status", "finalize"}):  # noqa: PLR2004
        namespace, tail = tail[1], tail[2:]
    if not tail or len(tail) > 3 or "" in tail:  # noqa: PLR2004 - plural, name, subresource
        raise statuses.not_served()
    plural, name, subresource = (*tail, "", "")[:3]
    kind = catalog.find(group, version, plural)
    # Definitions are global: what one control plane defines is served in all of them (Milo's restoptions.go).
    plane = ROOT if plural == "customresourcedefinitions" else rest.get("plane", ROOT)
    if kind is None or not visible(plane, kind) or (namespace and not kind.namespaced):
        raise statuses.not_served()
    verb = "watch" if is_watch else _verb(method, name, query)
    call = Call(verb, plane, kind, namespace, name, subresource, query, user, rest.get("agent", ""))
    _check_verb(call, method)
    return call


def _split(path: str) -> tuple[str, str, list[str]]:
    match [unquote(part) for part in path.strip("/").split("/")]:
        case ["api", version, *tail]:
            return "", version, tail
        case ["apis", group, version, *tail]:
            return group, version, tail
        case _:
            raise statuses.not_served()


def _check_verb(call: Call, method: str) -> None:
    """Hold the verb against what the path is: a collection, an object, one of its subresources."""
    kind, verb = call.kind, call.verb
    subresource = kind.subresources.get(call.subresource) if call.subresource else None
    everywhere = kind.namespaced and not call.namespace
    if kind.builtin:
        allowed = subresource.verbs if subresource else kind.verbs
        if (call.subresource and not subresource) or (
            call.name and not _READ.intersection(allowed) and not subresource
        ):
            raise statuses.not_served()
        nameless = verb in {"update", "patch"} and not call.name
        named = verb == "create" and bool(call.name) and not subresource
        astray = everywhere and (bool(call.name) or verb in {"create", "deletecollection"})
        if method == "HEAD" or verb not in allowed or nameless or named or astray:
            raise statuses.method_not_allowed()
        return
    if everywhere and (call.name or verb in {"create", "deletecollection"}):
        raise statuses.not_served()
    if call.subresource and subresource is None:
        raise statuses.not_found(kind, call.name)
    if subresource is not None and verb not in subresource.verbs:
        raise statuses.not_supported(kind, verb)
    if method == "HEAD" or verb not in kind.verbs:
        raise statuses.method_not_allowed()
    if verb in {"update", "patch"} and not call.name:
        raise statuses.bad_request("name must be provided")


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "GET":
        if name:
            return "get"
        return "watch" if query.get("watch") in {"1", "true", "True"} else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())
