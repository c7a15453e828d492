"""Bytes to objects and back, for every form of object.

An object remembers the bytes it was read from. `changed` answers what it says now as a full document: the bytes as
read, with only the differences between the model as read and the model now applied to them. So a typed model of three
fields never erases the other thirty, and a default is never mistaken for a change.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from kcontroller.api.differences import merge_diff, only_sets_leaves, rebase
from kcontroller.api.keys import GVK, Key, ResourceMapping
from kcontroller.api.objects import KubeObject, Object, tidy, tidy_metadata, without_content, without_none
from kcontroller.errors import ModelMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import TypeAlias

K = TypeVar("K", bound=KubeObject)

KindRef: TypeAlias = "type[KubeObject] | GVK | str"
"""How a kind is named in calls: a `Resource` class, ``"apps/v1 Deployment"`` or a `GVK`."""

encode = msgspec.json.encode
"""Writes JSON values as compact bytes."""

_decode_value = msgspec.json.Decoder().decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


class _TypeMeta(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


_decode_type_meta = msgspec.json.Decoder(_TypeMeta).decode

_decoders: dict[type[Any], Callable[[bytes], Any]] = {}
_learning = threading.Lock()


def gvk_of(kind: KindRef) -> GVK:
    """Resolve a kind to its GVK.

    Raises:
        ValueError: a string that is not like ``apps/v1 Deployment``, or a class that is not a `Resource` with a group.
    """
    try:
        return _gvk_of(kind)
    except TypeError:  # It cannot be a key: no kind, or an object of one.
        return _gvk_of.__wrapped__(kind)


@functools.lru_cache(maxsize=1024)  # Every read and write asks, some of them five times, and there are few kinds.
def _gvk_of(kind: KindRef) -> GVK:
    if isinstance(kind, GVK):
        return kind
    if isinstance(kind, str):
        return GVK.parse(kind)
    mapping = mapping_of(kind)
    if mapping is None:
        name = getattr(kind, "__name__", "") or f"a {type(kind).__name__}"  # Not what it holds: it may be a Secret.
        msg = f"{name} is not a kind; subclass Resource[Spec, Status] and give group=, version= and plural="
        raise ValueError(msg)
    return mapping.gvk


def mapping_of(kind: KindRef) -> ResourceMapping | None:
    """How the kind is served, if its class says so; None means that discovery must."""
    mapping = getattr(kind, "resource", None)
    return mapping if isinstance(mapping, ResourceMapping) else None


@overload
def decode(raw: bytes, kind: type[K]) -> K: ...
@overload
def decode(raw: bytes, kind: GVK | str) -> Object: ...
def decode(raw: bytes, kind: Any) -> Any:
    """Make an object of `kind` from its JSON.

    Raises:
        ModelMismatch: the bytes are not JSON, or do not fit the model; the text names the path, not the content.
    """
    try:
        if isinstance(kind, (str, GVK)) or kind is Object:
            return Object(_decode_any(raw), source=raw)
        decoder = _decoders.get(kind) or _new_decoder(kind)
        try:
            obj = decoder(raw)
        except msgspec.ValidationError:
            # The API may say null for an empty list or map; only then is the slow way taken.
            obj = msgspec.convert(without_none(_decode_any(raw)), kind, str_keys=True)
    except msgspec.DecodeError as error:
        msg = f"{_name_in(raw)} does not fit {getattr(kind, '__name__', kind)}: {without_content(error)}"
    except (UnicodeDecodeError, RecursionError) as error:
        msg = f"the object is not JSON: {type(error).__name__}"
    else:
        obj.__dict__["_source"] = raw
        return obj
    # Outside of the handlers: the original error, whose text may quote the content, must not be shown with this one.
    raise ModelMismatch(msg)


class _Name(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Named(msgspec.Struct):
    metadata: _Name = msgspec.field(default_factory=_Name)


_decode_name = msgspec.json.Decoder(_Named).decode


def _name_in(raw: bytes) -> str:
    """Name an object that cannot be decoded, so that it can be found among the others of a list."""
    try:
        metadata = _decode_name(raw).metadata
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "the object"
    return str(Key(metadata.namespace, metadata.name)) if metadata.name else "the object"


def _new_decoder(kind: type[Any]) -> Callable[[bytes], Any]:
    # msgspec 0.22 keeps what it learns of a class half done where other threads find it: two workers that meet a class
    # at once crash the process.
    with _learning:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind).decode
    return decoder


def source_of(obj: KubeObject) -> bytes:
    """The bytes the object was read from; empty for one that was made by hand."""
    if isinstance(obj, Object):
        return obj.source
    source: bytes = obj.__dict__.get("_source", b"")
    return source


def document(obj: KubeObject) -> dict[str, Any]:
    """What the model says, as JSON values with apiVersion and kind; fields the model does not know are not in it."""
    if isinstance(obj, Object):
        return _without_null(obj.data)
    body = _without_null(msgspec.to_builtins(obj, str_keys=True))
    return {"apiVersion": obj.gvk.api_version, "kind": obj.gvk.kind, **body}


def new_document(obj: KubeObject) -> dict[str, Any]:
    """What the model says, without metadata that is empty: for an object that the server does not have yet."""
    return tidy_metadata(document(obj), {})


def _without_null(value: Any) -> dict[str, Any]:
    tidied: dict[str, Any] = without_none(value)
    return tidied


def _own_changes(obj: KubeObject) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the model said when it was read, what it says now); the first is empty for an object that was not read."""
    source = source_of(obj)
    if not source:
        return {}, new_document(obj)
    read = decode(source, type(obj))
    if isinstance(obj, Object):
        base = document(read)
        return base, tidy(document(obj), base)
    names = _touched(read, obj)
    base = _parts(read, names)
    ours = tidy(_parts(obj, names), base)
    return base, ours if "metadata" in names else {name: part for name, part in ours.items() if name != "metadata"}


def _touched(read: Any, obj: Any) -> dict[str, str]:
    """The fields of a model that say something else now, with their names in JSON.

    Most changes touch one part, and the way of the others through JSON values is the larger half of a patch's cost.
    """
    names = zip(obj.__struct_fields__, obj.__struct_encode_fields__, strict=True)
    return {wire: field for field, wire in names if encode(getattr(read, field)) != encode(getattr(obj, field))}


def _parts(obj: Any, names: Mapping[str, str]) -> dict[str, Any]:
    said = {wire: msgspec.to_builtins(getattr(obj, field), str_keys=True) for wire, field in names.items()}
    return _without_null(said)


def changed(obj: KubeObject, *, onto: bytes = b"") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (before, after) as full documents.

    `before` is the object as read, or `onto` where a newer reading is at hand; `after` is `before` with the object's
    own changes applied. Equal documents mean that there is nothing to send.
    """
    before = _decode_any(onto or source_of(obj) or b"{}")
    return before, rebase(before, *_own_changes(obj))


def simple_difference(obj: KubeObject) -> dict[str, Any] | None:
    """The merge patch of what a typed object says now to what it said when it was read, where a short way is enough.

    None where it takes the long way, by `changed`: metadata, lists and removed fields, whose patch depends on what the
    model does not know; and unstructured objects.
    """
    source = source_of(obj)
    if not source or isinstance(obj, Object):
        return None
    read = decode(source, type(obj))
    patch: dict[str, Any] = {}
    for field, wire in zip(obj.__struct_fields__, obj.__struct_encode_fields__, strict=True):  # type: ignore[attr-defined]
        said, says = encode(getattr(read, field)), encode(getattr(obj, field))
        if said == says:
            continue
        if wire == "metadata" or b"null" in said or b"null" in says:
            return None
        base, ours = _decode_value(said), _decode_value(says)
        if not isinstance(base, dict) or not isinstance(ours, dict):
            return None
        part = merge_diff(base, ours)
        if not only_sets_leaves(part, base):
            return None
        if part:
            patch[wire] = part
    return patch


def replace(obj: KubeObject, raw: bytes, *, keep: Collection[str] = ()) -> None:
    """Overwrite an object in place with what the server answered, as controller-runtime's client does.

    `keep` names the parts (``spec``, ``metadata``) whose changes were not part of the request; they stay changes of the
    object in memory, on top of what others changed there.

    Raises:
        ModelMismatch: the answer does not fit; the object is as it was.
    """
    fresh = decode(raw, type(obj))
    if keep:
        base, ours = ({name: part[name] for name in keep if name in part} for part in _own_changes(obj))
        fresh = decode(encode(rebase(_decode_any(raw), base, ours)), type(obj))
    if isinstance(obj, Object):
        obj.data, obj.source = fresh.data, raw  # type: ignore[attr-defined]
        return
    for field in _fields(obj):
        setattr(obj, field, getattr(fresh, field))
    obj.__dict__["_source"] = raw


def _fields(model: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = model.__struct_fields__
    return names


def says_kind(raw: bytes, gvk: GVK) -> bool:
    """Whether the bytes are an object of that kind, or do not say what they are."""
    try:
        found = _decode_type_meta(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return found.kind in {"", gvk.kind} and found.api_version in {"", gvk.api_version}
