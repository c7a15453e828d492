"""The kubeconfig of an embedded server."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Final

import yaml

from kcontroller.embedded.milo import control_plane_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROOT_CONTEXT: Final = "embedded"
"""The context of the root; that of a project's control plane has the project's name."""


def kubeconfig(url: str, ca_pem: str, *, user: str, token: str, planes: Sequence[str], current: str = "") -> str:
    """Write a kubeconfig with a context for the root and one for each control plane.

    Args:
        url: of the root.
        ca_pem: whom to trust.
        user: the name of the entry with the token.
        token: the credential of all contexts.
        planes: names of projects.
        current: the control plane of the current context; empty for the root.
    """
    certificate = base64.b64encode(ca_pem.encode()).decode()
    places = {ROOT_CONTEXT: url, **{plane: url + control_plane_path(plane) for plane in planes}}
    clusters = [
        {"name": name, "cluster": {"server": at, "certificate-authority-data": certificate}}
        for name, at in places.items()
    ]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}} for name in places],
        "current-context": current or ROOT_CONTEXT,
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, also if it was there with other rights.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
