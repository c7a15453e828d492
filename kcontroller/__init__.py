"""Kubernetes controllers in Python: shared informers, a work queue, reconcilers.

One event's way through the files::

    API server
      └─ transport/streams.py      bytes of a watch, on the one thread of the cluster
          └─ cache/receivers.py     lines -> cache/events.py: a watch event
              └─ cache/reflector.py   what to do about it -> cache/store.py: the object as immutable bytes
                  └─ controller/sources.py   which changes count (predicates.py), and whom they concern (handlers.py)
                      └─ workqueue/queue.py    each request once, delayed, fair between clusters
                          └─ controller/worker.py   Reconciler.reconcile(ctx, request) -> Result
                              └─ client/client.py   reads by cluster/reader.py, writes by cluster/writer.py
                                  └─ API server: the write comes back as an event, and the next read waits for it

Users import from here; the names below are the public API. Everything is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from kcontroller.version import VERSION

if TYPE_CHECKING:
    from kcontroller import errors
    from kcontroller.api import conditions, finalizers, owners, patches
    from kcontroller.api.keys import Key, Request
    from kcontroller.api.models import Condition, Model, ObjectMeta, Resource
    from kcontroller.api.objects import Object, OwnerReference
    from kcontroller.client.client import Client
    from kcontroller.cluster import Cluster
    from kcontroller.config import ManagerOptions
    from kcontroller.controller import Builder, Context, ObjectReconciler, Reconciler, Result, predicates
    from kcontroller.errors import KControllerError, TerminalError, Wait
    from kcontroller.leaderelection import LeaderElection
    from kcontroller.manager import Manager
    from kcontroller.transport.config import Config
    from kcontroller.transport.loading import load_config

__version__: Final = VERSION

_HOMES: Final = {
    "Builder": "kcontroller.controller",
    "Client": "kcontroller.client.client",
    "Cluster": "kcontroller.cluster",
    "Condition": "kcontroller.api.models",
    "Config": "kcontroller.transport.config",
    "Context": "kcontroller.controller",
    "KControllerError": "kcontroller.errors",
    "Key": "kcontroller.api.keys",
    "LeaderElection": "kcontroller.leaderelection",
    "Manager": "kcontroller.manager",
    "ManagerOptions": "kcontroller.config",
    "Model": "kcontroller.api.models",
    "Object": "kcontroller.api.objects",
    "ObjectMeta": "kcontroller.api.models",
    "ObjectReconciler": "kcontroller.controller",
    "OwnerReference": "kcontroller.api.objects",
    "Reconciler": "kcontroller.controller",
    "Request": "kcontroller.api.keys",
    "Resource": "kcontroller.api.models",
    "Result": "kcontroller.controller",
    "TerminalError": "kcontroller.errors",
    "Wait": "kcontroller.errors",
    "conditions": "kcontroller.api",
    "errors": "kcontroller",
    "finalizers": "kcontroller.api",
    "load_config": "kcontroller.transport.loading",
    "owners": "kcontroller.api",
    "patches": "kcontroller.api",
    "predicates": "kcontroller.controller",
}

__all__ = [
    "Builder",
    "Client",
    "Cluster",
    "Condition",
    "Config",
    "Context",
    "KControllerError",
    "Key",
    "LeaderElection",
    "Manager",
    "ManagerOptions",
    "Model",
    "Object",
    "ObjectMeta",
    "ObjectReconciler",
    "OwnerReference",
    "Reconciler",
    "Request",
    "Resource",
    "Result",
    "TerminalError",
    "Wait",
    "__version__",
    "conditions",
    "errors",
    "finalizers",
    "load_config",
    "owners",
    "patches",
    "predicates",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562): a plugin pays only for what it imports."""
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'kcontroller' has no attribute {name!r}"
        raise AttributeError(msg)
    submodule = f"{home}.{name}" if name.islower() and name != "load_config" else ""
    value = importlib.import_module(submodule) if submodule else getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
