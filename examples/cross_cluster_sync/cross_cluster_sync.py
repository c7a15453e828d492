"""ConfigMaps of the hub, copied to every project, or to those that an annotation chooses by their labels.

kcontroller run --provider milo examples/cross_cluster_sync/cross_cluster_sync.py
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kcontroller import Object, Reconciler, Request, TerminalError, Wait, errors, finalizers, predicates
from kcontroller.api.selectors import LabelSelector
from kcontroller.controller import FLEET, HUB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kcontroller import Builder, Context
    from kcontroller.cluster import ClusterView

CONFIG_MAP = "v1 ConfigMap"
LABEL = "example.com/sync"
ORIGINAL, COPY = "original", "copy"
"""The values of the label: people set the first, we set the second."""
PROJECTS = "example.com/sync-to"
"""An annotation of originals: which projects, such as ``tier=prod``; without it all of them."""
FINALIZER = "example.com/sync"


class ConfigMapSync(Reconciler):
    """Each copy has a request of its own in its project, and each original one on the hub, which holds its finalizer.

    So a project that is slow, or away, holds up nobody but itself.
    """

    name = "configmap-sync"

    def setup(self, builder: Builder) -> None:
        """Originals concern themselves and every project, copies themselves and their original."""
        builder.for_(CONFIG_MAP, clusters=HUB)
        builder.watches(CONFIG_MAP, self.copies, clusters=HUB, predicates=[predicates.selector({LABEL: ORIGINAL})])
        builder.watches(CONFIG_MAP, self.copy_and_original, clusters=FLEET)
        builder.watches_clusters(self.all_originals)
        builder.cache(CONFIG_MAP, labels=LABEL)

    def copies(self, hub: ClusterView, original: Object) -> Iterator[Request]:
        """Name the copies of an original that changed."""
        for cluster in hub.clusters:
            yield Request(cluster.name, original.metadata.namespace, original.metadata.name)

    def copy_and_original(self, cluster: ClusterView, copy: Object) -> Iterator[Request]:
        """Name a copy that changed, and its original: it may wait for the copy to go."""
        for name in (cluster.name, ""):
            yield Request(name, copy.metadata.namespace, copy.metadata.name)

    def all_originals(self, cluster: ClusterView) -> Iterator[Request]:
        """Name what a project should have that joins or has other labels, and who waits for one that has left."""
        for original in cluster.clusters.get("").client.list(CONFIG_MAP, labels={LABEL: ORIGINAL}):
            for name in (cluster.name, ""):
                yield Request(name, original.metadata.namespace, original.metadata.name)

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Look after an original, or after a copy."""
        if request.cluster:
            self.reconcile_copy(ctx)
        else:
            self.reconcile_original(ctx)

    def reconcile_original(self, ctx: Context) -> None:
        """Keep the finalizer on what is copied, and take it off when the last copy has gone."""
        original = ctx.client.get_or_none(CONFIG_MAP, ctx.request)
        if original is None:  # Also what lost its label is not in memory.
            original = ctx.cluster.api_reader.get_or_none(CONFIG_MAP, ctx.request)
        if original is None:
            return
        if is_wanted(original):
            if finalizers.add(original, FINALIZER):
                ctx.client.patch(original)
        elif finalizers.has(original, FINALIZER):
            key = ctx.request.key
            left = [each.name for each in ctx.clusters if is_copy(each.client.get_or_none(CONFIG_MAP, key))]
            if left:
                raise Wait(after=60, why=f"there are copies in {', '.join(left)}")
            finalizers.remove(original, FINALIZER)
            ctx.client.patch(original)

    def reconcile_copy(self, ctx: Context) -> None:
        """Make the copy as the original is, or delete it."""
        original = ctx.clusters.get("").client.get_or_none(CONFIG_MAP, ctx.request.key)
        copy = ctx.client.get_or_none(CONFIG_MAP, ctx.request)
        if original is not None and is_wanted(original, ctx.cluster.labels):
            # Without the finalizer the original might go, and nobody would know of the copy.
            if finalizers.has(original, FINALIZER):
                self.apply(ctx, original, copy)
        elif copy is not None and is_copy(copy):
            with suppress(errors.NotFound):
                ctx.client.delete(copy)

    def apply(self, ctx: Context, original: Object, copy: Object | None) -> None:
        """Create or repair the copy; what somebody else has under this name is left alone."""
        if copy is None:
            copy = Object({"apiVersion": "v1", "kind": "ConfigMap"})
            copy.metadata.namespace, copy.metadata.name = ctx.request.namespace, ctx.request.name
            copy.metadata.labels[LABEL] = COPY
            take_over(original, copy)
            try:
                ctx.client.create(copy)
            except errors.AlreadyExists:
                raise Wait(after=60, why="the project has a ConfigMap of this name that is no copy") from None
            except errors.NotFound:
                raise Wait(after=60, why=f"the project has no namespace {ctx.request.namespace}") from None
        elif is_copy(copy):
            take_over(original, copy)
            ctx.client.patch(copy)


def is_wanted(original: Object, labels: Mapping[str, str] | None = None) -> bool:
    """Whether an original is to be copied, at all or to a project with these labels.

    Raises:
        TerminalError: nobody can tell; what has been copied stays until the annotation is repaired.
    """
    if original.metadata.labels.get(LABEL) != ORIGINAL or original.metadata.deletion_timestamp:
        return False
    try:
        chosen = LabelSelector.parse(original.metadata.annotations.get(PROJECTS, ""))
    except ValueError as error:
        msg = f"annotation {PROJECTS} of {original.metadata.namespace}/{original.metadata.name}: {error}"
        raise TerminalError(msg) from None
    return labels is None or chosen.matches(labels)


def is_copy(found: Object | None) -> bool:
    """Whether a ConfigMap was made here."""
    return found is not None and found.metadata.labels.get(LABEL) == COPY


def take_over(original: Object, copy: Object) -> None:
    """Give a copy what its original has."""
    for field in ("data", "binaryData"):
        if original.get(field) != copy.get(field):
            copy[field] = original.get(field)
