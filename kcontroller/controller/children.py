"""The objects that one object owns, as a set: applied where they differ, deleted where they are no longer wanted."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kcontroller.api import owners
from kcontroller.api.codec import gvk_of
from kcontroller.api.given import check_object, check_objects
from kcontroller.api.objects import Object, is_deleting
from kcontroller.controller.desired import Child, child_of, covers, desired, is_copy, state_of
from kcontroller.controller.ledger import Ledger
from kcontroller.controller.marks import CONTROLLER, OWNER_INDEX
from kcontroller.errors import AlreadyOwned, NotFound, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.api.keys import GVK
    from kcontroller.api.objects import KubeObject
    from kcontroller.controller.context import Context


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a set; all three are empty if its owner is gone or is being deleted.

    Attributes:
        applied: were sent, because they were absent or differed.
        unchanged: were as they should be; nothing was sent.
        pruned: were deleted, because they are no longer wanted.
    """

    applied: tuple[Child, ...] = ()
    unchanged: tuple[Child, ...] = ()
    pruned: tuple[Child, ...] = ()


class Children:
    """What the request's object owns; ``ctx.children``.

    Args:
        ctx: of the reconcile.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._ledger = ctx.ledger or Ledger("kcontroller")

    def apply(
        self,
        children: Iterable[KubeObject],
        *,
        owner: KubeObject | None = None,
        prune: bool = False,
        adopt: bool = False,
    ) -> Applied:
        """Make the children what they should be, in order: server-side apply of each that is not (KEP-555).

        The controller owns the fields that are given and takes them over from others (``force``): KEP-555 advises
        controllers to, because a conflict tells them nothing that they could act upon. Fields that are not given are
        left to others; one that is given no longer is removed. Nothing is sent for a child that is as it should be. One
        that others have changed, apart from its status and the metadata, is sent once more: only the server knows what
        is owned as a whole.

        The first error ends it; what was applied stays, nothing is pruned, and the next reconcile goes on from there.

        Args:
            children: typed or not; they stay as they are. One without a namespace gets its owner's. Their kinds must
                be declared by `owns`.
            owner: becomes the controller of each; the request's object, from the cache, unless given.
            prune: delete what this controller has applied for this owner before and is not among `children`, of all
                kinds of `owns`, in the owner's namespace (for a cluster-scoped owner, in all).
            adopt: take an object of a child's name over that nobody owns, or that another controller has applied for
                this owner, instead of refusing it. (One that the cache does not show yet is taken over in any case.)

        Raises:
            AlreadyOwned: an object of a child's name belongs to somebody else, or to another controller's set.
            Wait: it belongs to an earlier object of the owner's name; the garbage collector will remove it.
            TypeError: a child or `owner` is no object; a dictionary becomes one by `Object`.
            ValueError: a kind is not declared, a child has no name or comes twice, or `owner` cannot own it.
        """
        wanted = check_objects(children, to="children.apply")
        self._check_declared(wanted)
        if owner is None:
            owner = self._owner()
        else:
            check_object(owner, to="children.apply(owner=)")
        if owner is None or is_deleting(owner):
            return Applied()
        self._check_owner(owner)
        documents = self._documents(wanted, owner)
        there = self._inventory(owner) if prune else {}
        applied: list[Child] = []
        unchanged: list[Child] = []
        for document in documents.values():
            child = child_of(document)
            live = there.get(child.place)
            if live is None or live.gvk != child.gvk:
                live = self._read(child)
            (applied if self._apply(document, live, owner, adopt=adopt) else unchanged).append(child)
        pruned = [self._delete(live) for place, live in there.items() if place not in documents]
        return Applied(tuple(applied), tuple(unchanged), tuple(pruned))

    def _check_declared(self, children: list[KubeObject]) -> None:
        declared = {gvk_of(kind) for kind in self._ctx.owned}
        for child in children:
            if child.gvk not in declared:
                msg = f"{child.gvk} is not declared: add builder.owns({str(child.gvk)!r}) to setup"
                raise ValueError(msg)

    def _owner(self) -> KubeObject | None:
        if self._ctx.kind is None:
            msg = "whose children? setup declares no for_; give owner="
            raise ValueError(msg)
        found: KubeObject | None = self._ctx.client.get_or_none(self._ctx.kind, self._ctx.request)
        return found

    def _check_owner(self, owner: KubeObject) -> None:
        """Refuse an owner that would not hear of its children: `owns` reconciles the kind of `for_`."""
        if self._ctx.kind is None:
            return
        own = gvk_of(self._ctx.kind)
        if (owner.gvk.group, owner.gvk.kind) != (own.group, own.kind):
            msg = f"{owner.gvk} {owner.metadata.name} cannot own children here: owns reconciles each {own}"
            raise ValueError(msg)

    def _documents(self, children: list[KubeObject], owner: KubeObject) -> dict[Any, Object]:
        documents: dict[Any, Object] = {}
        for child in children:
            document = desired(child, owner, controller=self._ledger.controller)
            named = child_of(document)
            place = named.place
            if place in documents:
                msg = f"{named} comes twice in a set of children"
                raise ValueError(msg)
            namespaced = self._ctx.cluster.is_namespaced(named.gvk)
            if namespaced is not None and namespaced is not bool(named.key.namespace):
                remedy = (
                    "give it a namespace, its owner has none" if namespaced else "it is in no namespace, its owner is"
                )
                msg = f"{owner.gvk.kind} {owner.metadata.name} cannot own {named}: {remedy}"
                raise ValueError(msg)
            documents[place] = document
        return documents

    def _inventory(self, owner: KubeObject) -> dict[Any, Object]:
        """What this controller has applied for this owner, as cached; by place."""
        return {
            child_of(live).place: live
            for gvk in dict.fromkeys(map(gvk_of, self._ctx.owned))
            for live in self._ctx.client.list(
                gvk,
                namespace=owner.metadata.namespace,
                labels={CONTROLLER: self._ledger.controller},
                index=(OWNER_INDEX, owner.metadata.uid),
            )
            if owners.is_controlled_by(live, owner) and not is_copy(live)
        }

    def _read(self, child: Child) -> Object | None:
        return self._ctx.client.get_or_none(child.gvk, child.key)

    def _apply(self, document: Object, live: Object | None, owner: KubeObject, *, adopt: bool) -> bool:
        """Send the document if the child is not what it says; returns whether it was sent."""
        child, cluster = child_of(document), self._ctx.cluster.itself
        if live is not None:
            self._check_ours(live, child, owner, adopt=adopt)
            if is_deleting(live):
                _without_lost_finalizers(document, live)
            known, state = self._ledger.state(cluster, child), state_of(live, document)
            if known is None and covers(live.data, document.data):
                self._ledger.note(cluster, child, known := state)
            if known == state:
                return False
        answer = self._ctx.client.apply(Object(document.data), force=True)
        self._ledger.note(cluster, child, state_of(answer, document))
        return True

    def _check_ours(self, live: Object, child: Child, owner: KubeObject, *, adopt: bool) -> None:
        controller = owners.controller_of(live)
        if controller is None:
            # The label alone is left where an owner was deleted with --cascade=orphan and made again.
            if adopt or live.metadata.labels.get(CONTROLLER) == self._ledger.controller:
                return
            msg = f"{child} is there and belongs to nobody; adopt=True would take it over"
            raise AlreadyOwned(msg)
        if controller.uid == owner.metadata.uid:
            other = live.metadata.labels.get(CONTROLLER, self._ledger.controller)
            if adopt or other == self._ledger.controller:
                return
            msg = (
                f"{child} is applied by controller {other!r} for {controller.kind} {controller.name}; "
                "adopt=True would take it over"
            )
            raise AlreadyOwned(msg)
        if _same_name(controller.api_version, controller.kind, controller.name, owner):
            raise Wait(after=0, why=f"{child} belongs to an earlier {controller.kind} {controller.name}")
        msg = f"{child} is already controlled by {controller.kind} {controller.name}"
        raise AlreadyOwned(msg)

    def _delete(self, live: Object) -> Child:
        if not is_deleting(live):
            with contextlib.suppress(NotFound):  # It is what was wanted.
                # Said, because Jobs of batch/v1 leave their Pods behind otherwise.
                self._ctx.client.delete(live, propagation="Background")
        return child_of(live)


def _without_lost_finalizers(document: Object, live: Object) -> None:
    """Ask for no finalizer that has come off: the server refuses new ones on an object that is being deleted."""
    wanted = document.data["metadata"].get("finalizers")
    if wanted:
        document.metadata.finalizers = [name for name in wanted if name in live.metadata.finalizers]


def _same_name(api_version: str, kind: str, name: str, owner: KubeObject) -> bool:
    gvk: GVK = owner.gvk
    return (api_version.rpartition("/")[0], kind, name) == (gvk.group, gvk.kind, owner.metadata.name)
