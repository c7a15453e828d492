"""Owner references, by the rules of controller-runtime's controllerutil.

An owner is found again by group, kind and name; its version may differ. A namespaced owner must live in the child's
namespace, and a cluster-scoped child cannot have a namespaced owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.api.objects import OwnerReference
from kcontroller.errors import AlreadyOwned

if TYPE_CHECKING:
    from kcontroller.api.objects import KubeObject


def set_controller(owner: KubeObject, child: KubeObject, *, block_owner_deletion: bool = True) -> bool:
    """Make `owner` the one controller of `child`; returns whether the child changed.

    Raises:
        AlreadyOwned: another controller owns it. An earlier object with the owner's name is not another one.
        ValueError: the owner has no uid, or lives in another namespace.
    """
    current = controller_of(child)
    if current is not None and not _names(current, owner):
        msg = f"{child.metadata.name} is already controlled by {current.kind} {current.name}"
        raise AlreadyOwned(msg)
    return _upsert(child, owner, _reference(owner, child, controller=True, block=block_owner_deletion))


def add_owner(owner: KubeObject, child: KubeObject) -> bool:
    """Add `owner` as one of possibly many owners, not as controller; returns whether the child changed.

    An owner that was the controller is none afterwards, as with SetOwnerReference.

    Raises:
        ValueError: the owner has no uid, or lives in another namespace.
    """
    return _upsert(child, owner, _reference(owner, child, controller=None, block=None))


def remove_owner(owner: KubeObject, child: KubeObject) -> bool:
    """Take `owner`, or an earlier object of its name, off the child; returns whether the child changed."""
    references = child.metadata.owner_references
    kept = [each for each in references if not _names(each, owner)]
    if len(kept) == len(references):
        return False
    child.metadata.owner_references = kept
    return True


def remove_controller(owner: KubeObject, child: KubeObject) -> bool:
    """Take `owner` off the child if it is its controller; returns whether the child changed.

    Where somebody else is the controller, or `owner` is an owner only, nothing happens.
    """
    current = controller_of(child)
    return current is not None and _names(current, owner) and remove_owner(owner, child)


def has_owner(owner: KubeObject, child: KubeObject) -> bool:
    """Whether `owner`, or an earlier object of its name, is among the child's owners; see also `is_controlled_by`."""
    return any(_names(each, owner) for each in child.metadata.owner_references)


def controller_of(child: KubeObject) -> OwnerReference | None:
    """The owner reference that is marked as controller, if any."""
    return next((each for each in child.metadata.owner_references if each.controller), None)


def is_controlled_by(child: KubeObject, owner: KubeObject) -> bool:
    """Whether `owner` is the child's controller, by uid: a namesake does not count."""
    reference = controller_of(child)
    return reference is not None and bool(reference.uid) and reference.uid == owner.metadata.uid


def _reference(owner: KubeObject, child: KubeObject, *, controller: bool | None, block: bool | None) -> OwnerReference:
    meta = owner.metadata
    if not meta.uid:
        msg = f"{owner.gvk.kind} {meta.name} has no uid; own children only with an object that was read from the server"
        raise ValueError(msg)
    if meta.namespace and meta.namespace != child.metadata.namespace:
        where = f"namespace {child.metadata.namespace!r}" if child.metadata.namespace else "the cluster scope"
        msg = f"{owner.gvk.kind} {meta.namespace}/{meta.name} cannot own {child.metadata.name} in {where}"
        raise ValueError(msg)
    return OwnerReference(
        api_version=owner.gvk.api_version,
        kind=owner.gvk.kind,
        name=meta.name,
        uid=meta.uid,
        controller=controller,
        block_owner_deletion=block,
    )


def _upsert(child: KubeObject, owner: KubeObject, reference: OwnerReference) -> bool:
    references = child.metadata.owner_references
    wanted = list(references)
    place = next((place for place, each in enumerate(references) if _names(each, owner)), None)
    if place is None:
        wanted.append(reference)
    else:
        wanted[place] = reference
    if wanted == references:
        return False
    child.metadata.owner_references = wanted
    return True


def _names(reference: OwnerReference, owner: KubeObject) -> bool:
    group = reference.api_version.rpartition("/")[0]
    return (group, reference.kind, reference.name) == (owner.gvk.group, owner.gvk.kind, owner.metadata.name)
