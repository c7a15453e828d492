"""Events for people: what a controller did to an object, as ``kubectl describe`` shows it.

::

    Recorder.event        checks, cuts, copies the reference; never waits
      └─ Broadcaster      a bounded lane per cluster, two threads for all lanes
          └─ Lane         one cluster: its queue, and what became of the last try
              └─ Correlator   spam filter, aggregation, counts; no I/O
              └─ Sink         events.k8s.io/v1, or core/v1 where a server has only that
"""

from __future__ import annotations

from kcontroller.events.broadcaster import Broadcaster
from kcontroller.events.recorded import RecordedEvent, Recorder, Reference, recorded

__all__ = ["Broadcaster", "RecordedEvent", "Recorder", "Reference", "recorded"]
