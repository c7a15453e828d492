"""What a mode of Milo is: which objects stand for the projects, and where each control plane is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kcontroller.api.models import Model, Resource
    from kcontroller.multicluster.providers.milo.templates import Values
    from kcontroller.transport.config import Config


class Endpoints(Protocol):
    """Where the control planes are."""

    def config_of(self, values: Values) -> Config:
        """Say how a project is reached; no file is read and nothing is asked.

        Raises:
            Unfit: what is known of the project would lead elsewhere.
        """
        ...


class Mode(Protocol):
    """What `External` and `Internal` are."""

    @property
    def kind(self) -> type[Resource[Model, Model]]:
        """What is watched on the hub."""
        ...

    @property
    def condition(self) -> str:
        """The type of its condition that says whether the control plane is ready."""
        ...

    @property
    def uid_label(self) -> str:
        """The label that says whose control plane it is: another value is another tenant. "" asks the object's uid."""
        ...

    def endpoints(self, hub: Config) -> Endpoints:
        """Find the control planes of the projects of a hub.

        Raises:
            ConfigError: they would lead elsewhere.
        """
        ...
