"""Objects reduced to their metadata: what it costs to look at labels, owners and finalizers of large objects.

The server sends them as PartialObjectMetadata (meta.k8s.io/v1) of any kind; here they carry their own kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api import codec
from kcontroller.api.objects import Object
from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.client.ports import Selection
from kcontroller.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.client.ports import Reader

_ACCEPT: Final = "application/json;as={};g=meta.k8s.io;v=v1,application/json"
PARTIAL_OBJECT: Final = _ACCEPT.format("PartialObjectMetadata")
"""The Accept header for one object, and for a watch; what the server cannot reduce comes whole."""
PARTIAL_LIST: Final = _ACCEPT.format("PartialObjectMetadataList")
"""The same for a list."""


class _Members(msgspec.Struct):
    metadata: msgspec.Raw


_decode: Final = msgspec.json.Decoder(_Members).decode
_encode: Final = msgspec.json.Encoder().encode


def reduced(raw: bytes, gvk: GVK) -> bytes:
    """Cut everything but the metadata out of an object's JSON."""
    return _encode({"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": _decode(raw).metadata})


class MetadataClient:
    """Reads of metadata; from the cache of whole objects, of metadata, or from the server, as it is declared.

    What it returns can be patched and deleted, but not updated: there is nothing in it but metadata.

    Args:
        reader: where it reads.
        local: takes the key out of a request of this cluster.
    """

    def __init__(self, reader: Reader, local: Callable[[Key | Request], Key]) -> None:
        self._reader = reader
        self._local = local

    def get(self, kind: KindRef, key: Key | Request) -> Object:
        """Read the metadata of one object; raises as `Client.get` does."""
        return codec.decode(self._reader.get(kind, self._local(key), metadata=True), Object)

    def get_or_none(self, kind: KindRef, key: Key | Request) -> Object | None:
        """Read the metadata of one object; None if it does not exist."""
        try:
            return self.get(kind, key)
        except NotFound:
            return None

    def list(
        self,
        kind: KindRef,
        *,
        namespace: str = "",
        labels: LabelSelector | Mapping[str, Any] | str | None = None,
        fields: FieldSelector | Mapping[str, str] | str | None = None,
        index: tuple[str, str] | None = None,
    ) -> list[Object]:
        """Read the metadata of all objects that match; arguments as for `Client.list`."""
        selection = Selection(namespace, LabelSelector.of(labels), FieldSelector.of(fields), index)
        return [codec.decode(raw, Object) for raw in self._reader.list(kind, selection, metadata=True)]
