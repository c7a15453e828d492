"""The forms that objects, lists and watch events are answered in, and which of them a client accepts.

JSON is made of the stored bytes; a Table or PartialObjectMetadata decodes each object, YAML encodes anew. Protobuf is
not spoken: clients that ask for it name JSON as well, and get that.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.store import Stored

_JSON: Final = "application/json"
_YAML: Final = "application/yaml"
_GROUP: Final = "meta.k8s.io"
_VERSIONS: Final = frozenset({"v1", "v1beta1"})
_FORMS: Final = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_ACCEPTED: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_STREAMED: Final = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
_INITIAL_END: Final = {"k8s.io/initial-events-end": "true"}

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Representation(ABC):
    """One form of answer. Made for one request: the first event of a watch may differ from the later ones.

    Attributes:
        content_type: of answers and of watches.
    """

    content_type: str = _JSON

    @abstractmethod
    def one(self, kind: Kind, stored: Stored) -> bytes:
        """Write an object.

        Raises:
            Refusal: the form is one of lists.
        """

    @abstractmethod
    def listing(self, kind: Kind, found: Iterable[Stored], meta: Mapping[str, Any]) -> bytes:
        """Write a list; `meta` is its ListMeta.

        Raises:
            Refusal: the form is one of objects.
        """

    @abstractmethod
    def told(self, kind: Kind, stored: Stored) -> bytes:
        """Write the object of a watch event."""

    @abstractmethod
    def marked(self, kind: Kind, document: dict[str, Any]) -> bytes:
        """Write the object of a bookmark."""

    def event(self, kind: Kind, change: str, stored: Stored) -> bytes:
        """Write one line of a watch; `change` is ``ADDED``, ``MODIFIED`` or ``DELETED``."""
        return b'{"type":"%s","object":%s}\n' % (change.encode(), self.told(kind, stored))

    def bookmark(self, kind: Kind, version: int, *, initial_end: bool) -> bytes:
        """Write the line that tells how far a watch is, or (`initial_end`) that its initial events are complete."""
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = _INITIAL_END
        document = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        return b'{"type":"BOOKMARK","object":%s}\n' % self.marked(kind, document)


class _Whole(Representation):
    """Objects as they are."""

    def one(self, kind: Kind, stored: Stored) -> bytes:
        return stored.encoded(kind.api_version) + b"\n"

    def listing(self, kind: Kind, found: Iterable[Stored], meta: Mapping[str, Any]) -> bytes:
        # A list of custom resources is no Go type: its items say what they are, and "continue" stands there empty.
        if kind.builtin:
            items = [_without_kind(kind, stored) for stored in found]
        else:
            items = [stored.encoded(kind.api_version) for stored in found]
            meta = {"continue": "", **meta}
        head = _encode({"kind": kind.list_name, "apiVersion": kind.api_version, "metadata": meta})
        return b'%s,"items":[%s]}\n' % (head[:-1], b",".join(items))

    def told(self, kind: Kind, stored: Stored) -> bytes:
        return stored.encoded(kind.api_version)

    def marked(self, kind: Kind, document: dict[str, Any]) -> bytes:  # noqa: ARG002
        return _encode(document)


def _without_kind(kind: Kind, stored: Stored) -> bytes:
    raw = stored.encoded(kind.api_version)
    for head in _heads(kind.kind, kind.api_version):
        if raw.startswith(head):
            return b"{" + raw[len(head) :]
    document = stored.document(kind.api_version)
    return _encode({field: value for field, value in document.items() if field not in {"kind", "apiVersion"}})


@lru_cache
def _heads(kind: str, api_version: str) -> tuple[bytes, bytes]:
    """Write how the bytes of an object start that names its kind first, in either order."""
    return f'{{"kind":"{kind}","apiVersion":"{api_version}",'.encode(), (
        f'{{"apiVersion":"{api_version}","kind":"{kind}",'.encode()
    )


@dataclass(slots=True)
class _Table(Representation):
    """Rows of cells."""

    version: str
    include: str
    now: Callable[[], float]
    defined: bool = False

    def one(self, kind: Kind, stored: Stored) -> bytes:
        meta = {"resourceVersion": str(stored.version)} if stored.version else {}  # A dry run has no version.
        return self._table(kind, [stored.document(kind.api_version)], meta) + b"\n"

    def listing(self, kind: Kind, found: Iterable[Stored], meta: Mapping[str, Any]) -> bytes:
        return self._table(kind, (stored.document(kind.api_version) for stored in found), meta) + b"\n"

    def told(self, kind: Kind, stored: Stored) -> bytes:
        return self._streamed(kind, stored.document(kind.api_version))

    def marked(self, kind: Kind, document: dict[str, Any]) -> bytes:
        return self._streamed(kind, document)

    def _streamed(self, kind: Kind, document: dict[str, Any]) -> bytes:
        meta = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
        written = self._table(kind, [document], meta, defined=not self.defined)
        self.defined = True  # A watch says its columns once.
        return written

    def _table(
        self, kind: Kind, documents: Iterable[dict[str, Any]], meta: Mapping[str, Any], *, defined: bool = True
    ) -> bytes:
        now = self.now()
        rows = [tables.row(kind, one, now, include=self.include, version=self.version) for one in documents]
        return _encode(tables.table(rows, tables.columns(kind) if defined else None, meta, self.version))


@dataclass(slots=True)
class _Metadata(Representation):
    """Objects without all but their metadata."""

    version: str
    of_lists: bool

    def one(self, kind: Kind, stored: Stored) -> bytes:
        if self.of_lists:
            if not kind.builtin:
                raise Refusal(500, "", "content is not a list")
            asked = "you requested PartialObjectMetadataList, but the requested object is not a list"
            raise _not_acceptable(f"{asked} (*{_package(kind)}.{kind.kind})")
        return self.told(kind, stored) + b"\n"

    def listing(self, kind: Kind, found: Iterable[Stored], meta: Mapping[str, Any]) -> bytes:
        if not self.of_lists:
            go_type = f"{_package(kind)}.{kind.list_name}" if kind.builtin else "unstructured.UnstructuredList"
            raise _not_acceptable(
                f"you requested PartialObjectMetadata, but the requested object is a list (*{go_type})"
            )
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"{_GROUP}/{self.version}", "metadata": meta}
        items = b",".join(self.told(kind, stored) for stored in found)
        return b'%s,"items":[%s]}\n' % (_encode(head)[:-1], items)

    def told(self, kind: Kind, stored: Stored) -> bytes:
        return self.marked(kind, stored.document())

    def marked(self, kind: Kind, document: dict[str, Any]) -> bytes:  # noqa: ARG002
        return _encode(tables.partial(document, self.version))


def _package(kind: Kind) -> str:
    """Name the Go package of a kind's internal type."""
    return kind.group.partition(".")[0] or "core"


class _Yaml(Representation):
    """Another form, as YAML; never of a watch."""

    content_type = _YAML

    def __init__(self, inner: Representation) -> None:
        self._inner = inner

    def one(self, kind: Kind, stored: Stored) -> bytes:
        return to_yaml(self._inner.one(kind, stored))

    def listing(self, kind: Kind, found: Iterable[Stored], meta: Mapping[str, Any]) -> bytes:
        return to_yaml(self._inner.listing(kind, found, meta))

    def told(self, kind: Kind, stored: Stored) -> bytes:
        return self._inner.told(kind, stored)

    def marked(self, kind: Kind, document: dict[str, Any]) -> bytes:
        return self._inner.marked(kind, document)


def to_yaml(encoded: bytes) -> bytes:
    """Write JSON as YAML."""
    text = yaml.dump(_decode(encoded), Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=80)
    return text.encode()


_Dumper: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def negotiate(
    accept: str, *, watch: bool = False, include: str = "", now: Callable[[], float] = time.time
) -> Representation:
    """Choose the form of an answer, by quality and then order, as kube-apiserver's negotiation does.

    What is returned is for one request: do not keep it for the next. To choose costs a microsecond.

    Args:
        accept: the header; empty for anything.
        watch: whether the answer is a stream, which has no YAML.
        include: the parameter ``includeObject``, for Tables.
        now: seconds since the epoch, for ages.

    Raises:
        Refusal: 406 if nothing fits; 400 for a wrong `include` of a Table.
    """
    media, form, version = _chosen(accept, watch=watch)
    inner: Representation
    if form == "Table":
        inner = _Table(version, tables.check_include(include), now)
    elif form:
        inner = _Metadata(version, of_lists=form.endswith("List"))
    else:
        inner = _Whole()
    return _Yaml(inner) if media == _YAML else inner


@lru_cache(maxsize=64)
def _chosen(accept: str, *, watch: bool) -> tuple[str, str, str]:
    """Find media type, form and version; a form is asked for by few headers again and again."""
    for media, options in clauses(accept or _JSON):
        if media not in {_JSON, _YAML, "*/*", "application/*"}:
            continue
        form, version = options.get("as", ""), options.get("v", "")
        if form and (form not in _FORMS or options.get("g") != _GROUP or version not in _VERSIONS):
            continue
        if media == _YAML and watch:
            break
        return media, form, version
    raise _not_acceptable(f"only the following media types are accepted: {_STREAMED if watch else _ACCEPTED}")


def _not_acceptable(message: str) -> Refusal:
    return Refusal(406, "NotAcceptable", message)


def clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Split an Accept header into media types with their parameters, best first; wildcards after what is named."""
    found = []
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        try:
            quality = float(options.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((-quality, media.count("*"), media, options))
    return [(media, options) for _, _, media, options in sorted(found, key=lambda entry: entry[:2])]
