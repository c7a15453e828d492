"""The one place that states the version; packaging and `kcontroller version` read it here."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
