"""Events for people: what a controller did to an object, as ``kubectl describe`` shows it."""

from __future__ import annotations

from kcontroller.events.broadcaster import Broadcaster, Recorder

__all__ = ["Broadcaster", "Recorder"]
