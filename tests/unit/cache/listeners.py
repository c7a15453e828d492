"""A subscriber that writes down what it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.store import Change
    from kcontroller.cache.subscribers import Subscription


def words(change: Change) -> str:
    """``add a@5``, ``initial a@5``, ``update a@5->7``, ``delete a@8``, ``unseen a@5``."""
    name = change.entry.key.name
    match (change.old, change.new):
        case (None, new) if new is not None:
            return f"{'initial' if change.initial else 'add'} {name}@{new.version}"
        case (old, None) if old is not None:
            return f"{'unseen' if change.unseen else 'delete'} {name}@{old.version}"
        case (old, new) if old is not None and new is not None:
            return f"update {name}@{old.version}->{new.version}"
    raise AssertionError(change)


class Listener:
    """Hears an informer; `heard` is what it was told since the last `take`."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self.heard: list[str] = []
        self.changes: list[Change] = []
        self.subscription: Subscription = informer.subscribe(self.hear, self.synced)

    def hear(self, change: Change) -> None:
        self.heard.append(words(change))
        self.changes.append(change)

    def synced(self) -> None:
        self.heard.append("synced")

    def take(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard
