"""The process of a controller: its parts, their order of start and stop, and what ends it.

::

    manager.py     what users call
    parts.py       what a manager is made of, put together from its options
    lifecycle.py   the order in which it starts, and in reverse stops
    once.py        one round of work instead, for CronJobs
    readiness.py   what it waits for before it says that it is ready
    supervisor.py  its threads, and the first thing that failed
"""

from __future__ import annotations

from kcontroller.manager.manager import Manager

__all__ = ["Manager"]
