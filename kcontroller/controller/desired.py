"""What a child should be, and whether it is.

The document of a child is what the user gave, with the owner, two labels and one annotation:

* ``kcontroller.dev/owner-uid`` and ``kcontroller.dev/controller`` name the set that it belongs to (the idea of
  KEP-3659, ApplySet): ``kubectl get configmaps -l kcontroller.dev/owner-uid=...``.
* ``kcontroller.dev/fields`` is a digest of the *names* of the fields. A field that leaves the document must be applied
  once more, or the server would keep it; the object itself does not show that, and a memory would be lost with the
  process. So the digest differs from the cached one, and all else is seen by comparing values. It holds no value: a
  digest of a Secret's content in plain sight could be guessed. Behind it stands a digest of kind, namespace and name,
  which tells what was applied from a copy that somebody made of it, with labels, annotations and owner.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kcontroller.api import owners
from kcontroller.api.differences import same
from kcontroller.api.keys import GVK, Key
from kcontroller.api.objects import Object, key_of
from kcontroller.client.writes import wished
from kcontroller.controller.marks import CONTROLLER, FIELDS, OWNER_UID

if TYPE_CHECKING:
    from kcontroller.api.objects import KubeObject

_SECRET: Final = GVK("", "v1", "Secret")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Child(NamedTuple):
    """Which object is meant; its version may differ."""

    gvk: GVK
    key: Key

    def __str__(self) -> str:
        """Write ``v1 ConfigMap default/web``."""
        return f"{self.gvk} {self.key}"

    @property
    def place(self) -> tuple[str, str, Key]:
        """The same for all versions of the kind."""
        return self.gvk.group, self.gvk.kind, self.key


def desired(child: KubeObject, owner: KubeObject, *, controller: str) -> Object:
    """Make the document of a child; `child` itself stays as it is.

    Raises:
        AlreadyOwned: it says that it has another controller.
        ValueError: it has no name, its ``stringData`` is no text, or the owner cannot own it; or the controller's name
            cannot be a label.
    """
    if not child.metadata.name:
        msg = f"a child {child.gvk} has no name; a set is applied by name, and generateName has none"
        raise ValueError(msg)
    if not _LABEL_VALUE.fullmatch(controller):
        msg = f"controller {controller!r} cannot label its children; give the Reconciler a name like 'widget-a'"
        raise ValueError(msg)
    document = {name: value for name, value in wished(child).items() if name != "status"}
    obj = Object(_with_plain_data(document) if child.gvk == _SECRET else document)
    meta = obj.metadata
    meta.namespace = meta.namespace or owner.metadata.namespace
    if not meta.namespace:
        del document["metadata"]["namespace"]
    owners.set_controller(owner, obj)
    meta.labels.update({OWNER_UID: owner.metadata.uid, CONTROLLER: controller})
    meta.annotations[FIELDS] = f"{_short(_names(obj.data))}.{_short(child_of(obj).place)}"
    return obj


def is_copy(live: Object) -> bool:
    """Whether its mark is that of another object, or gone."""
    return live.metadata.annotations.get(FIELDS, "").rpartition(".")[2] != _short(child_of(live).place)


def _short(value: Any) -> str:
    return hashlib.sha256(_encode(value)).hexdigest()[:16]


def _with_plain_data(secret: dict[str, Any]) -> dict[str, Any]:
    """Write ``stringData`` as ``data``: the server does so and keeps none, so that nothing could be compared."""
    plain = secret.pop("stringData", None) or {}
    for name, value in plain.items():
        if not isinstance(value, str):
            whose = f"Secret {secret['metadata']['name']}"
            msg = f"stringData {name!r} of {whose} must be a str, got {type(value).__name__}"
            raise ValueError(msg)  # noqa: TRY004 - as for all that is wrong with a child
    written = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
    return {**secret, "data": {**(secret.get("data") or {}), **written}} if written else secret


def _names(value: Any) -> Any:
    """The fields of a document without their values."""
    if isinstance(value, dict):
        return {name: _names(each) for name, each in value.items()}
    return [_names(each) for each in value] if isinstance(value, list) else None


def covers(live: Any, wanted: Any) -> bool:
    """Whether every field of `wanted` is there and equal; other fields of maps may be there too.

    Lists are compared item by item. One to which somebody has added something, as the API may allow, counts as
    different: one apply tells, and the `Ledger` remembers.
    """
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            name in live and covers(live[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(covers, live, wanted))
    return same(live, wanted)


def state_of(live: Object, wanted: Object) -> bytes:
    """A digest of what is wanted, and of what stands there.

    The status is no part of it, nor what others set in the metadata, so that a busy child stays in its state. All else
    is, for only the server knows which maps and lists have one owner as a whole (a Service's selector, the rules of a
    Role): what somebody puts into one of those changes what was wanted, and no comparison by fields can see it.
    """
    metadata = _at_fields(live.data["metadata"], wanted.data["metadata"])
    rest = {name: value for name, value in live.data.items() if name not in {"metadata", "status"}}
    return hashlib.sha256(_encode([live.metadata.uid, wanted.data, metadata, rest])).digest()


def _at_fields(live: Any, wanted: Any) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {name: _at_fields(live[name], value) for name, value in wanted.items() if name in live}
    return live


def child_of(obj: KubeObject) -> Child:
    """Name an object."""
    return Child(obj.gvk, key_of(obj))
