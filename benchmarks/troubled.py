"""The way to the clusters that go wrong in ``bin/bench isolation``, in a process of its own.

``python -m benchmarks.troubled`` takes its order as JSON, the first line on its standard input, and prints where it
listens. A line ``wrong`` makes the clusters go wrong, ``well`` makes them well; the end of its input ends it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.faults import Delay, Hang, Refuse
from kcontroller.testing.http_proxy import HttpFaultProxy

if TYPE_CHECKING:
    from kcontroller.testing.http_faults import HttpFault

FAULTS: Final[dict[str, HttpFault]] = {"black-holed": Hang(), "failing": Refuse(500), "slow": Delay(2.0)}


def main() -> None:
    """Do what is told."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    with HttpFaultProxy(order["url"], ca_pem=order["ca_pem"]) as proxy:
        print(json.dumps({"url": proxy.url, "ca_pem": proxy.ca_pem}), flush=True)
        for line in sys.stdin:
            if line.strip() == "well":
                proxy.clear()
            else:
                # Their watches go on, so that what is reconciled there does not become less.
                for name, prefixes in order["prefixes"].items():
                    for prefix in prefixes:
                        proxy.add(FAULTS[name], path_prefix=prefix, watch=False)
            print("done", flush=True)


if __name__ == "__main__":
    main()
