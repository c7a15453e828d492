"""The Lease as a value: coordination.k8s.io/v1.

What others keep in it (annotations, ``strategy``, fields of a later version) goes back as it came.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import GVK, ResourceMapping

if TYPE_CHECKING:
    from collections.abc import Mapping

LEASES: Final = ResourceMapping(GVK("coordination.k8s.io", "v1", "Lease"), "leases", namespaced=True)
"""Known, so that no discovery is needed."""

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_TICK: Final = timedelta(microseconds=1)


class Claim(msgspec.Struct, frozen=True):
    """What one write says.

    Attributes:
        holder: "" to give the lease back.
        seconds: for which it is good, a whole number.
        transitions: how often the lease went to another holder.
        taken: when the holder got it; None keeps what the lease says.
        now: the wall time, for people.
    """

    holder: str
    seconds: int
    transitions: int
    taken: datetime | None
    now: datetime


class Lease(msgspec.Struct, frozen=True):
    """A Lease as the server gave it.

    Attributes:
        document: the whole object.
        holder: its holder; "" if it is free.
        preferred: whom a coordinator wants to be the next holder; "" for nobody.
        seconds: for which it is good after a renewal; 0 if it does not say.
        transitions: how often it went to another holder.
        renewed: the stamp of the last renewal, only good to tell one renewal from another.
        acquired: the stamp of the last change of holder, likewise.
    """

    document: Mapping[str, Any]
    holder: str
    preferred: str
    seconds: float
    transitions: int
    renewed: str
    acquired: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Lease:
        """Read an object; what is missing, null or of a wrong type counts as not there."""
        spec = document.get("spec") or {}
        return cls(
            document,
            holder=_text(spec.get("holderIdentity")),
            preferred=_text(spec.get("preferredHolder")),
            seconds=float(_number(spec.get("leaseDurationSeconds"))),
            transitions=_number(spec.get("leaseTransitions")),
            renewed=_text(spec.get("renewTime")),
            acquired=_text(spec.get("acquireTime")),
        )

    @classmethod
    def parse(cls, body: bytes) -> Lease:
        """Read an answer.

        Raises:
            ValueError: it is not a JSON object with a name.
        """
        document = _decode(body)
        metadata, spec = document.get("metadata"), document.get("spec")
        if not isinstance(metadata, dict) or not isinstance(spec, dict | None):
            msg = "the answer is not a Lease"
            raise ValueError(msg)  # noqa: TRY004 - like the decoder's
        return cls.of(document)

    @property
    def version(self) -> str:
        """Its resourceVersion."""
        return _text(self.document["metadata"].get("resourceVersion"))

    @property
    def uid(self) -> str:
        """Its identity; "" for one that is not on the server."""
        return _text(self.document["metadata"].get("uid"))

    def same_content(self, other: Lease) -> bool:
        """Whether nothing happened that concerns the election: a new label is no sign of life."""
        mine, others = self.document, other.document
        return mine.get("spec") == others.get("spec") and mine["metadata"].get("uid") == others["metadata"].get("uid")

    def claimed(self, claim: Claim, labels: Mapping[str, str]) -> Lease:
        """This Lease with a claim in it, to be sent at the version that was read."""
        spec = self.document.get("spec") or {}
        stamp = micro_time(claim.now)
        if stamp == self.renewed:
            # A write that changes nothing is none: others would see no sign of life.
            stamp = micro_time(claim.now + _TICK)
        changed = {
            **spec,
            "holderIdentity": claim.holder,
            "leaseDurationSeconds": claim.seconds,
            "leaseTransitions": claim.transitions,
            "renewTime": stamp,
        }
        if claim.taken is not None:
            changed["acquireTime"] = micro_time(claim.taken)
        metadata = dict(self.document["metadata"])
        if labels:
            metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        return Lease.of({**self.document, "metadata": metadata, "spec": changed})


def new_lease(name: str, namespace: str, spec: Mapping[str, Any] | None = None) -> Lease:
    """Make a Lease that is not on the server, with the content of an earlier one if it is given."""
    gvk = LEASES.gvk
    metadata = {"name": name, "namespace": namespace}
    return Lease.of({"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": metadata, "spec": dict(spec or {})})


def micro_time(moment: datetime) -> str:
    """Write a MicroTime: always six digits, zone Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
