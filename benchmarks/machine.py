"""What the figures were measured on; no names of hosts, people or folders."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pycurl

from benchmarks.building import GO_SOURCE, KOPF_REQUIREMENTS, go_program
from kcontroller.testing import binaries
from kcontroller.version import VERSION

_LIBRARIES: Final = ("msgspec", "pycurl")


def facts() -> dict[str, Any]:
    """Collect them."""
    modules = (GO_SOURCE / "go.mod").read_text(encoding="utf-8")
    return {
        "load": round(os.getloadavg()[0], 1),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "go": _go(),
        "kcontroller": VERSION,
        "controller-runtime": _required(modules, "sigs.k8s.io/controller-runtime"),
        "multicluster-runtime": _required(modules, "sigs.k8s.io/multicluster-runtime"),
        "client-go": _required(modules, "k8s.io/client-go"),
        "kopf": _kopf(),
        "kube-apiserver": binaries.KUBERNETES_VERSION,
        "etcd": binaries.ETCD_VERSION,
        "libcurl": pycurl.version_info()[1],
        **{name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.processor()


def _go() -> str:
    """The version of Go that built the peer: it stands in the program."""
    found = re.search(rb"go(1\.\d+(?:\.\d+)?)", _build_information())
    return found[1].decode() if found else ""


def _build_information() -> bytes:
    path = go_program()
    data = path.read_bytes() if path.exists() else b""
    at = data.find(b"\xff Go buildinf:")
    return data[at : at + 100] if at >= 0 else b""


def _kopf() -> str:
    found = re.search(r"^kopf==(\S+)$", KOPF_REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def _required(modules: str, name: str) -> str:
    found = re.search(rf"^\s*{re.escape(name)} v(\S+)$", modules, re.MULTILINE)
    return found[1] if found else ""
