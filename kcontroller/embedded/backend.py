"""What every verb works on: the kinds that are served, the objects, and the time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kcontroller.api.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kcontroller.embedded.kinds import Catalog, Kind
    from kcontroller.embedded.store import Store, Stored


@dataclass(frozen=True, slots=True)
class Backend:
    """Used from the server's loop only."""

    catalog: Catalog
    store: Store
    now: Callable[[], datetime]

    def timestamp(self) -> str:
        """Write the time as metav1.Time does: whole seconds, UTC."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def uid(self) -> str:
        """Make the uid of a new object."""
        return str(uuid.uuid4())

    def find(self, plane: str, kind: Kind, key: Key) -> Stored | None:
        """Find an object of a kind."""
        return self.store.get(plane, kind.storage, key)


def key_of(document: dict[str, Any]) -> Key:
    """Give the key that stands in an object's metadata."""
    metadata = document["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])
