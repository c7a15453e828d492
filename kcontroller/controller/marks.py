"""The labels and the annotation of children; `desired` says what they are for.

Apart from it, because every `Builder` wants the index, and few processes the rest.
"""

from __future__ import annotations

from typing import Final

OWNER_UID: Final = "kcontroller.dev/owner-uid"
CONTROLLER: Final = "kcontroller.dev/controller"
FIELDS: Final = "kcontroller.dev/fields"

OWNER_INDEX: Final = "metadata.labels." + OWNER_UID.replace(".", r"\.")
"""The index by which the children of an owner are found; every kind of `owns` has it."""
