"""Values of built-in kinds as they come out of Go again: quantities, times, and what is empty and not written.

The rules are those of ``k8s.io/apimachinery`` (``resource.Quantity``, ``metav1.Time``) and of the ``omitempty`` in the
``types.go`` of ``k8s.io/api``, v0.36.3. OpenAPI does not tell which fields are pointers; the plain ones are named here
as far as clients write their zero values.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.schemas import Schema

_QUANTITY: Final = re.compile(r"([+-]?[0-9]*\.?[0-9]*)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_KIBI: Final = 1024
_SMALLEST: Final = -9
_LONGEST_EXPONENT: Final = 4  # Nobody writes more, and an endless one must not fill the memory.
_LONGEST: Final = 1000
_IN_UTC: Final = len("2006-01-02T15:04:05Z")

_ZEROS: Final = frozenset(
    {
        *(f"PodSpec.{name}" for name in ("hostNetwork", "hostPID", "hostIPC", "nodeName", "hostname", "subdomain")),
        *(f"{each}.{name}" for each in ("Container", "EphemeralContainer") for name in ("stdin", "stdinOnce", "tty")),
        *(
            f"{each}Spec.minReadySeconds"
            for each in ("Deployment", "DaemonSet", "ReplicaSet", "ReplicationController", "StatefulSet")
        ),
        *(
            f"{each}VolumeSource.readOnly"
            for each in (
                "PersistentVolumeClaim",
                "NFS",
                "ISCSI",
                "RBD",
                "CephFS",
                "GCEPersistentDisk",
                "FC",
                "Glusterfs",
            )
        ),
        "VolumeMount.readOnly",
        "DeploymentSpec.paused",
        "NodeSpec.unschedulable",
        "ServiceSpec.publishNotReadyAddresses",
        "ServiceSpec.externalName",
        "PriorityClass.globalDefault",
        "Probe.initialDelaySeconds",
        "ContainerPort.hostPort",
        "ServicePort.nodePort",
        "EnvVar.value",
        *(f"DeploymentStatus.{name}Replicas" for name in ("ready", "available", "unavailable", "updated")),
        *(f"{each}Status.{name}Replicas" for each in ("ReplicaSet", "StatefulSet") for name in ("ready",)),
        *(f"{each}.observedGeneration" for each in ("DeploymentStatus", "ReplicaSetStatus", "StatefulSetStatus")),
        "DeploymentStatus.replicas",
    }
)
"""Fields that are no pointers and are not written when they are zero."""


def omitted(schema: Schema) -> frozenset[str]:
    """Name the fields of a struct that are not written when they are empty: lists, maps, and plain zeros."""
    struct = schema.reference.rpartition(".")[2]
    names = set()
    for name in schema.properties:
        field = schema.field(name)
        is_container = field is not None and (field.type == "array" or field.values is not None)
        if (is_container and name not in schema.node.get("required", ())) or f"{struct}.{name}" in _ZEROS:
            names.add(name)
    return frozenset(names - {"managedFields"})  # An empty managedFields is an order.


def zero(schema: Schema) -> Any | None:
    """Give what Go makes of a null in a list of this type; None where null stays."""
    if schema.is_open or schema.type == "array":
        return None
    return {"object": {}, "string": "", "integer": 0, "number": 0, "boolean": False}.get(schema.type)


def writer(schema: Schema) -> Callable[[Any], Any] | None:
    """Give the function that writes a value of a type of Go's that has a form of its own; None for any other type."""
    return _WRITERS.get(schema.reference.rpartition(".")[2])


def quantity(value: Any) -> Any:
    """Write a quantity in its canonical form: no fraction, the largest suffix, of the family that was given."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = str(value).strip()
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or not any(letter.isdigit() for letter in found[1]):
        return value
    number, suffix = Fraction(found[1].removesuffix(".")), found[2] or ""
    if suffix.endswith("i"):
        number *= _KIBI ** _BINARY.index(suffix)
        whole = number.denominator == 1 and abs(number) >= _KIBI
        return _in_binary(number.numerator) if whole else _in_decimal(number, exponents=False)
    exponent = suffix[:1] in {"e", "E"} and suffix != "E"
    if exponent and len(suffix) > _LONGEST_EXPONENT:
        return value
    power = int(suffix[1:]) if exponent else _DECIMAL[suffix]
    return _in_decimal(number * Fraction(10) ** power, exponents=exponent)


def _in_binary(number: int) -> str:
    power = 0
    while number % _KIBI == 0 and power < len(_BINARY) - 1:
        number //= _KIBI
        power += 1
    return f"{number}{_BINARY[power]}"


def _in_decimal(number: Fraction, *, exponents: bool) -> str:
    nano = number * 10**-_SMALLEST
    # What is smaller than can be kept is rounded away from zero.
    whole = -(-nano.numerator // nano.denominator) if nano >= 0 else nano.numerator // nano.denominator
    if not whole:
        return "0"
    power = _SMALLEST
    while whole % 1000 == 0 and power < _DECIMAL["E"]:
        whole //= 1000
        power += 3
    if exponents:
        return f"{whole}e{power}" if power else str(whole)
    return f"{whole}{_DECIMAL_SUFFIXES[power]}"


def _time(value: Any) -> Any:
    moment = None if isinstance(value, str) and len(value) == _IN_UTC and value[-1] == "Z" else _parsed(value)
    return value if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(value: Any) -> Any:
    moment = _parsed(value)
    return value if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parsed(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


_WRITERS: Final[dict[str, Callable[[Any], Any]]] = {"Quantity": quantity, "Time": _time, "MicroTime": _micro_time}
