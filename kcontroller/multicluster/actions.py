"""What an `Engagement` answers: where a cluster stands, and what is to be done."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from kcontroller.multicluster.provider import ClusterSpec


class State(enum.Enum):
    """Where a cluster stands.

    Attributes:
        DISCOVERED: told of, and waiting for the next try.
        CONNECTING: being made.
        SYNCING: its caches fill.
        ENGAGED: every member has its first objects.
        DRAINING: it leaves; its last reconciles end.
        GONE: it has left, or never was there.
        REFUSED: its provider cannot use what is there; see `Sink.refused`.
    """

    DISCOVERED = "discovered"
    CONNECTING = "connecting"
    SYNCING = "syncing"
    ENGAGED = "engaged"
    DRAINING = "draining"
    GONE = "gone"
    REFUSED = "refused"


class Connect(msgspec.Struct, frozen=True):
    """Make the cluster; answer with `connected` or `failed`."""

    generation: int
    spec: ClusterSpec


class Engage(msgspec.Struct, frozen=True):
    """Let the members take it on; answer with `synced` when all of them are, or `failed`."""

    generation: int


class Prove(msgspec.Struct, frozen=True):
    """Try a configuration beside the one in use; answer with `proved`, `another` or `failed`."""

    generation: int
    spec: ClusterSpec


class Adopt(msgspec.Struct, frozen=True):
    """Go over to the configuration that was proved; nothing that is known of the cluster is lost."""

    spec: ClusterSpec


class Keep(msgspec.Struct, frozen=True):
    """The configuration in use is the one that is wished for again: no other one is to be tried."""


class Overdue(msgspec.Struct, frozen=True):
    """Its caches are not full yet. Tell people; nothing is undone, since a list that is under way would be lost."""


class Drain(msgspec.Struct, frozen=True):
    """Let the members let go of it and stop its reconciles; answer with `idle` when nothing works on it any more."""

    generation: int
    why: str


class Close(msgspec.Struct, frozen=True):
    """End it, whatever still runs. Nothing is to be answered."""

    generation: int


class Failed(msgspec.Struct, frozen=True):
    """Tell people; it is tried again in so many seconds."""

    why: str
    seconds: float


class Announce(msgspec.Struct, frozen=True):
    """The state is another one."""

    state: State
    why: str = ""


class Relabel(msgspec.Struct, frozen=True):
    """What is said of it is other: its labels, its source or its weight."""

    spec: ClusterSpec


Action: TypeAlias = Connect | Engage | Prove | Adopt | Keep | Overdue | Drain | Close | Failed | Announce | Relabel
