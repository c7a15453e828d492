"""Milo: every ready Project of an API server is a cluster.

::

    provider.py    what the provider is told, and what it watches on the hub
    projects.py    what is heard of the projects, and what the fleet is told of it
    admission.py   which of them are to be worked on
    endpoints.py   what a mode is: external.py (a path of Milo's server), internal.py (a host of its own)
    templates.py   the values of a project in a URL, host, address or file name
    parents.py     asks a server whether it takes us for inside of the project
    kinds.py       Project and ProjectControlPlane

A control plane answers whether its Project exists or not: only the object tells that a cluster is there.
"""

from __future__ import annotations

from kcontroller.multicluster.providers.milo.external import External, control_plane_path
from kcontroller.multicluster.providers.milo.internal import Internal
from kcontroller.multicluster.providers.milo.kinds import Project, ProjectControlPlane
from kcontroller.multicluster.providers.milo.provider import MiloProvider

__all__ = ["External", "Internal", "MiloProvider", "Project", "ProjectControlPlane", "control_plane_path"]
