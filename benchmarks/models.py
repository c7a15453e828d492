"""The kinds as a controller on this framework declares them; go/widgets.go has the same fields of Widgets.

A model names what its controller looks at. That of a pod leaves some parts of the API out: what is not named is kept
and sent back as it was.
"""

# ruff: noqa: RUF012 - msgspec copies the defaults of a Model

from __future__ import annotations

from kcontroller import Condition, Model, Resource


class EnvVar(Model):
    """One variable."""

    name: str
    value: str = ""


class WidgetSpec(Model):
    """What is wanted."""

    replicas: int
    image: str
    args: list[str] = []
    env: list[EnvVar] = []
    selector: dict[str, str] = {}
    paused: bool = False


class WidgetStatus(Model):
    """What is true."""

    observed_generation: int = 0
    ready_replicas: int = 0
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="bench.example.com", version="v1", plural="widgets"):
    """The kind that widgets.py defines."""


class Gadget(Resource[WidgetSpec, WidgetStatus], group="bench.example.com", version="v1", plural="gadgets"):
    """Another kind of the same form, whose sync other work goes on beside."""


class Port(Model):
    """A port of a container."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Resources(Model):
    """What a container may use."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class Mount(Model):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool = False


class Container(Model):
    """A container of a pod."""

    name: str
    image: str
    args: list[str] = []
    env: list[EnvVar] = []
    ports: list[Port] = []
    resources: Resources | None = None
    volume_mounts: list[Mount] = []


class PodSpec(Model):
    """What is wanted."""

    containers: list[Container]
    init_containers: list[Container] = []
    node_name: str = ""
    service_account_name: str = ""
    priority: int = 0


class ContainerStatus(Model):
    """What became of a container."""

    name: str
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    container_id: str = ""


class PodStatus(Model):
    """What is true."""

    phase: str = ""
    message: str = ""
    pod_ip: str = ""
    host_ip: str = ""
    start_time: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []


class Pod(Resource[PodSpec, PodStatus], group="", version="v1", plural="pods"):
    """A pod, as far as the benchmark looks at it."""
