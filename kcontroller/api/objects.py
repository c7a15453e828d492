"""Objects as the API sends them: a dictionary with a typed view of its metadata."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol, TypeVar

import msgspec

from kcontroller.api.keys import GVK, Key
from kcontroller.errors import ModelMismatch

T = TypeVar("T")
_SERVER_OWNED: Final = frozenset(
    (
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    )
)
_QUOTING: Final = re.compile(r"(Invalid (?:enum )?value) .*?( - at `[^`]*`)?", re.DOTALL)


class OwnerReference(msgspec.Struct, kw_only=True, rename="camel"):
    """One entry of ``metadata.ownerReferences``."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


msgspec.json.Decoder(OwnerReference)  # Learnt now, and not by two threads at once; see `codec`.


class Metadata(Protocol):
    """What both forms of an object offer as ``obj.metadata``; timestamps are RFC 3339 text as on the wire."""

    name: str
    namespace: str
    generate_name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    finalizers: list[str]
    owner_references: list[OwnerReference]
    resource_version: str
    uid: str
    generation: int
    creation_timestamp: str
    deletion_timestamp: str


class KubeObject(Protocol):
    """Any object of the API, typed or not."""

    @property
    def gvk(self) -> GVK:
        """Its group, version and kind."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Its metadata."""
        ...


class MetadataView:
    """``metadata`` of an unstructured object: attributes over the dictionary, nothing copied.

    `labels`, `annotations` and `finalizers` are the live containers; assign `owner_references` to change them. A value
    of the wrong JSON type raises `ModelMismatch`.
    """

    __slots__ = ("_data",)

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    @property
    def name(self) -> str:
        """The name, "" before a create with `generate_name`."""
        return str(self._data.get("name") or "")

    @name.setter
    def name(self, value: str) -> None:
        self._data["name"] = value

    @property
    def namespace(self) -> str:
        """The namespace, "" for cluster-scoped kinds."""
        return str(self._data.get("namespace") or "")

    @namespace.setter
    def namespace(self, value: str) -> None:
        self._data["namespace"] = value

    @property
    def generate_name(self) -> str:
        """The prefix from which the server makes a name."""
        return str(self._data.get("generateName") or "")

    @generate_name.setter
    def generate_name(self, value: str) -> None:
        self._data["generateName"] = value

    @property
    def resource_version(self) -> str:
        """The version this object was read at."""
        return str(self._data.get("resourceVersion") or "")

    @resource_version.setter
    def resource_version(self, value: str) -> None:
        self._data["resourceVersion"] = value

    @property
    def uid(self) -> str:
        """The identity that survives nothing, unlike the name."""
        return str(self._data.get("uid") or "")

    @uid.setter
    def uid(self, value: str) -> None:
        self._data["uid"] = value

    @property
    def generation(self) -> int:
        """The server's count of changes to the spec, 0 if it keeps none."""
        return converted(self._data.get("generation") or 0, int, "metadata.generation")

    @generation.setter
    def generation(self, value: int) -> None:
        self._data["generation"] = value

    @property
    def creation_timestamp(self) -> str:
        """When it was made, "" before."""
        return str(self._data.get("creationTimestamp") or "")

    @creation_timestamp.setter
    def creation_timestamp(self, value: str) -> None:
        self._data["creationTimestamp"] = value

    @property
    def deletion_timestamp(self) -> str:
        """When its deletion was asked for, "" if it was not."""
        return str(self._data.get("deletionTimestamp") or "")

    @deletion_timestamp.setter
    def deletion_timestamp(self, value: str) -> None:
        self._data["deletionTimestamp"] = value

    @property
    def labels(self) -> dict[str, str]:
        """The labels; changes to the dictionary count."""
        return member(self._data, "labels", dict, "metadata")

    @labels.setter
    def labels(self, value: dict[str, str]) -> None:
        self._data["labels"] = value

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations; changes to the dictionary count."""
        return member(self._data, "annotations", dict, "metadata")

    @annotations.setter
    def annotations(self, value: dict[str, str]) -> None:
        self._data["annotations"] = value

    @property
    def finalizers(self) -> list[str]:
        """The finalizers; changes to the list count."""
        return member(self._data, "finalizers", list, "metadata")

    @finalizers.setter
    def finalizers(self, value: list[str]) -> None:
        self._data["finalizers"] = value

    @property
    def owner_references(self) -> list[OwnerReference]:
        """A copy of the owner references."""
        references = without_none(self._data.get("ownerReferences") or [])
        return converted(references, list[OwnerReference], "metadata.ownerReferences")

    @owner_references.setter
    def owner_references(self, value: list[OwnerReference]) -> None:
        self._data["ownerReferences"] = [without_none(msgspec.to_builtins(each)) for each in value]


def converted(value: Any, type_: type[T], where: str) -> T:
    """Convert a JSON value to a type.

    Raises:
        ModelMismatch: it does not fit; the text names the path, not the content.
    """
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        msg = f"{where}: {without_content(error)}"
        raise ModelMismatch(msg) from None


def member(data: dict[str, Any], name: str, type_: type[T], where: str = "") -> T:
    """Return the live map or list of that name, made if it is absent or null.

    Raises:
        ModelMismatch: it is something else.
    """
    if data.get(name) is None:
        # The API may say null where it means empty; hand out a container that belongs to the object either way.
        data[name] = type_()
    value = data[name]
    if not isinstance(value, type_):
        path = f"{where}.{name}".lstrip(".")
        msg = f"{path} is a {type(value).__name__}, not a {type_.__name__}"
        raise ModelMismatch(msg)
    return value


def without_content(error: Exception) -> str:
    """The text of a msgspec error without the value it may quote, which may be a secret."""
    text = str(error)
    quoting = _QUOTING.fullmatch(text)
    return "".join(part or "" for part in quoting.groups()) if quoting else text


class Object:
    """An unstructured object: `data` is its JSON.

    ``obj["spec"]["replicas"]`` reads and writes like a dictionary; `get` walks a path without failing on a gap.
    """

    __slots__ = ("data", "source")

    def __init__(self, data: dict[str, Any], *, source: bytes = b"") -> None:
        """Wrap `data`; `source` is the JSON it was read from, "" for an object that was not read.

        Raises:
            TypeError: `data` is no dictionary.
        """
        if not isinstance(data, dict):
            msg = f"Object takes a dict, the JSON of an object, got {type(data).__name__}"
            raise TypeError(msg)
        self.data = data
        self.source = source

    @property
    def gvk(self) -> GVK:
        """Its kind.

        Raises:
            ValueError: apiVersion or kind is missing or malformed.
        """
        return GVK.of(str(self.data.get("apiVersion") or ""), str(self.data.get("kind") or ""))

    @property
    def metadata(self) -> MetadataView:
        """A view of ``data["metadata"]``."""
        return MetadataView(member(self.data, "metadata", dict))

    @property
    def spec(self) -> dict[str, Any]:
        """``data["spec"]``, made if absent."""
        return member(self.data, "spec", dict)

    @property
    def status(self) -> dict[str, Any]:
        """``data["status"]``, made if absent."""
        return member(self.data, "status", dict)

    def get(self, path: str, default: Any = None) -> Any:
        """Read a dotted path such as ``spec.replicas``; `default` where any step is missing or null."""
        value: Any = self.data
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
            if value is None:
                return default
        return value

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.data[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def __eq__(self, other: object) -> bool:
        """Compare the JSON; null, and an empty part that a look may have made, count as absent."""
        return isinstance(other, Object) and tidy(without_none(self.data), {}) == tidy(without_none(other.data), {})

    __hash__ = None  # type: ignore[assignment]  # mutable, like the dictionary inside

    def __repr__(self) -> str:
        """Name the object; never its content, which may be a Secret's."""
        get = self.data.get
        return label_of(get("apiVersion"), get("kind"), self.get("metadata.namespace"), self.get("metadata.name"))


def key_of(obj: KubeObject) -> Key:
    """Where the object lives."""
    return Key(obj.metadata.namespace, obj.metadata.name)


def is_deleting(obj: KubeObject) -> bool:
    """Whether its deletion was asked for."""
    return bool(obj.metadata.deletion_timestamp)


def without_none(value: Any) -> Any:
    """Drop null members at every depth: the API takes null and an absent optional field for the same."""
    if isinstance(value, dict):
        return {key: without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_none(each) for each in value]
    return value


def tidy_metadata(document: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return the document without metadata that is empty, "" or 0, unless `base`, the object as read, has it too."""
    known = base.get("metadata") or {}
    metadata = document.get("metadata") or {}
    return {**document, "metadata": {name: value for name, value in metadata.items() if value or name in known}}


def tidy(document: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the empty parts that a mere look at the object has made; `base` is as it was read."""
    return {
        name: value
        for name, value in tidy_metadata(document, base).items()
        if value or name in base or name not in {"metadata", "spec", "status"}
    }


def without_server_metadata(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the metadata that only the server writes."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {name: value for name, value in metadata.items() if name not in _SERVER_OWNED}}


def label_of(api_version: object, kind: object, namespace: object, name: object) -> str:
    """How an object is shown to people: by its name, never by its content, which may be a Secret's."""
    where = f"{namespace}/{name}" if namespace else name or ""
    return f"<{api_version} {kind} {where}>"
