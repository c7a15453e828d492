"""The public names: few, all there, and loaded only when used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kcontroller

PUBLIC = [
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


def test_the_public_names_change_on_purpose_only() -> None:
    assert sorted(kcontroller.__all__) == sorted(PUBLIC)
    assert len(PUBLIC) <= 30


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(kcontroller, name)
    assert name.startswith("__") or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Reconsiler'"):
        _ = kcontroller.Reconsiler


def test_importing_the_package_loads_no_library() -> None:
    code = (
        "import sys, kcontroller; print(sorted({'msgspec', 'pycurl', 'yaml', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
