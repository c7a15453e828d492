"""What tests of controllers need, of kcontroller's own and of those built on it; nothing else here imports it.

As fixtures (`plugin`), loaded by pytest wherever kcontroller is installed::

    api_server   client   manager   install_crds   faults   clock   eventually   no_leaks
    control_plane   fresh_control_plane             real servers

As functions and classes, for any test runner; all of them can be imported from here::

    reconcile_once                   one reconcile in memory: an Outcome              reconciling.py
    RecordedWrite                    one write in it                                  world.py
    eventually, assert_settled       wait for what other threads do                   polling.py, settled.py
    install_crds, open_crd           definitions on a server                          crds.py
    Managers, ServerClient           what the fixtures manager and client are         managers.py
    VirtualClock                     time that a test moves                           clock.py
    LeakCheck                        threads and descriptors left behind              leaks.py
    FaultProxy, Latency, ...         a bad network                                    proxy.py, toxics.py
    HttpFaultProxy, HoldAnswer, ...  faults for single paths, on any server           http_proxy.py, http_faults.py
    MiloRouter                       Milo's projects on real API servers              milo_router.py
    HostFront                        one server under several host names              host_front.py
    MemoryProvider                   clusters that come and go by a test's word       providers.py
    ProviderConformance, ProviderWorld   what every provider of clusters must do      providers.py
    Rule, Refuse, Delay, ...         faults of the embedded server                    ../embedded/faults.py
    EmbeddedServer, Milo             an API server in a thread                        ../embedded/server.py
    ControlPlane                     real kube-apiservers                             control_plane.py
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kcontroller.embedded.faults import (
        Cut,
        Delay,
        DropEvents,
        EndWatch,
        ExpireWatch,
        FreezeWatch,
        Garbage,
        Hang,
        Refuse,
        Rule,
        SlowWatch,
    )
    from kcontroller.embedded.milo import Milo
    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.testing.clock import VirtualClock
    from kcontroller.testing.control_plane import ControlPlane
    from kcontroller.testing.crds import install_crds, open_crd
    from kcontroller.testing.host_front import HostFront
    from kcontroller.testing.http_faults import Answer, HoldAnswer, Truncate
    from kcontroller.testing.http_proxy import HttpFaultProxy
    from kcontroller.testing.leaks import LeakCheck
    from kcontroller.testing.managers import Managers, ServerClient, config_of
    from kcontroller.testing.milo_router import MiloRouter
    from kcontroller.testing.polling import eventually
    from kcontroller.testing.providers import MemoryProvider, ProviderConformance, ProviderWorld
    from kcontroller.testing.proxy import FaultProxy
    from kcontroller.testing.reconciling import Outcome, reconcile_once
    from kcontroller.testing.settled import assert_settled
    from kcontroller.testing.toxics import Bandwidth, BlackHole, Latency, Limit, Reset, Slicer, SlowClose
    from kcontroller.testing.world import RecordedWrite

_FAULTS: Final = (
    *("Cut", "Delay", "DropEvents", "EndWatch", "ExpireWatch", "FreezeWatch"),
    *("Garbage", "Hang", "Refuse", "Rule", "SlowWatch"),
)
_TOXICS: Final = ("Bandwidth", "BlackHole", "Latency", "Limit", "Reset", "Slicer", "SlowClose")
_HOMES: Final = {
    **dict.fromkeys(_FAULTS, "kcontroller.embedded.faults"),
    **dict.fromkeys(_TOXICS, "kcontroller.testing.toxics"),
    "Answer": "kcontroller.testing.http_faults",
    "ControlPlane": "kcontroller.testing.control_plane",
    "EmbeddedServer": "kcontroller.embedded.server",
    "FaultProxy": "kcontroller.testing.proxy",
    "HoldAnswer": "kcontroller.testing.http_faults",
    "HostFront": "kcontroller.testing.host_front",
    "HttpFaultProxy": "kcontroller.testing.http_proxy",
    "LeakCheck": "kcontroller.testing.leaks",
    "Managers": "kcontroller.testing.managers",
    "MemoryProvider": "kcontroller.testing.providers",
    "Milo": "kcontroller.embedded.milo",
    "MiloRouter": "kcontroller.testing.milo_router",
    "Outcome": "kcontroller.testing.reconciling",
    "ProviderConformance": "kcontroller.testing.providers",
    "ProviderWorld": "kcontroller.testing.providers",
    "RecordedWrite": "kcontroller.testing.world",
    "ServerClient": "kcontroller.testing.managers",
    "Truncate": "kcontroller.testing.http_faults",
    "VirtualClock": "kcontroller.testing.clock",
    "assert_settled": "kcontroller.testing.settled",
    "config_of": "kcontroller.testing.managers",
    "eventually": "kcontroller.testing.polling",
    "install_crds": "kcontroller.testing.crds",
    "open_crd": "kcontroller.testing.crds",
    "reconcile_once": "kcontroller.testing.reconciling",
}

__all__ = [
    "Answer",
    "Bandwidth",
    "BlackHole",
    "ControlPlane",
    "Cut",
    "Delay",
    "DropEvents",
    "EmbeddedServer",
    "EndWatch",
    "ExpireWatch",
    "FaultProxy",
    "FreezeWatch",
    "Garbage",
    "Hang",
    "HoldAnswer",
    "HostFront",
    "HttpFaultProxy",
    "Latency",
    "LeakCheck",
    "Limit",
    "Managers",
    "MemoryProvider",
    "Milo",
    "MiloRouter",
    "Outcome",
    "ProviderConformance",
    "ProviderWorld",
    "RecordedWrite",
    "Refuse",
    "Reset",
    "Rule",
    "ServerClient",
    "Slicer",
    "SlowClose",
    "SlowWatch",
    "Truncate",
    "VirtualClock",
    "assert_settled",
    "config_of",
    "eventually",
    "install_crds",
    "open_crd",
    "reconcile_once",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used (PEP 562).

    Raises:
        ModuleNotFoundError: it needs what only the extra ``embedded`` installs.
    """
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'kcontroller.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        value = getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "kcontroller":
            raise
        msg = f"{name} needs {package}; install kcontroller[embedded]"
        raise ModuleNotFoundError(msg, name=error.name, path=error.path) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
