"""Names of things: a kind, a resource, a key in a cluster, a request."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

import msgspec

_API_VERSION: Final = re.compile(r"(?:(?P<group>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)/)?(?P<version>v[0-9][a-z0-9]*)")
_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]*")


class Key(NamedTuple):
    """Where an object lives in one cluster; `namespace` is "" for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write ``namespace/name``, or ``name``, as client-go's key function does."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read ``namespace/name`` or ``name``.

        Raises:
            ValueError: a part is empty, or there are more than two.
        """
        parts = text.split("/")
        if not all(parts) or len(parts) > len(cls._fields):
            msg = f"{text[:80]!r} is not a key; write it like 'namespace/name', or 'name' without a namespace"
            raise ValueError(msg)
        return cls(parts[0] if len(parts) > 1 else "", parts[-1])


class Request(NamedTuple):
    """What a reconciler is asked about: an object's key in a cluster. A single cluster is the one named ""."""

    cluster: str
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        """The key without the cluster."""
        return Key(self.namespace, self.name)

    def __str__(self) -> str:
        """Write ``cluster:namespace/name``."""
        return f"{self.cluster}:{self.key}" if self.cluster else str(self.key)


class GVK(msgspec.Struct, frozen=True):
    """Group, version and kind; the core group is ""."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """``Deployment.apps``, or ``ConfigMap`` in the core group."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def __str__(self) -> str:
        """Write ``apps/v1 Deployment``."""
        return f"{self.api_version} {self.kind}"

    @classmethod
    def parse(cls, text: str) -> GVK:
        """Read ``apps/v1 Deployment``.

        Raises:
            ValueError: the text has another form.
        """
        return _parsed(text)

    @classmethod
    def of(cls, api_version: str, kind: str) -> GVK:
        """Join the two fields that every object carries.

        Raises:
            ValueError: `api_version` or `kind` is malformed.
        """
        return _gvk_of(api_version, kind)


@functools.lru_cache(maxsize=1024)  # Every read names its kind, and there are few kinds.
def _parsed(text: str) -> GVK:
    api_version, _, kind = text.strip().rpartition(" ")
    return _gvk_of(api_version.strip(), kind)


@functools.lru_cache(maxsize=1024)
def _gvk_of(api_version: str, kind: str) -> GVK:
    found = _API_VERSION.fullmatch(api_version)
    if found is None or not _KIND.fullmatch(kind):
        text = f"{api_version} {kind}".strip()
        msg = f"{text!r} is not a kind; write it like 'apps/v1 Deployment' or 'v1 ConfigMap'"
        raise ValueError(msg)
    return GVK(found["group"] or "", found["version"], kind)


class ResourceMapping(msgspec.Struct, frozen=True):
    """How a server serves a kind: the resource's plural name and whether it lives in namespaces."""

    gvk: GVK
    plural: str
    namespaced: bool

    def __str__(self) -> str:
        """Write ``deployments.apps``, the form that RBAC messages use."""
        return f"{self.plural}.{self.gvk.group}" if self.gvk.group else self.plural
