"""Learns from a real kube-apiserver which fields it adds to objects, for `recording`.

The defaults of built-in kinds are Go code that no schema tells of. Every object of ``samples.yaml`` is created as a dry
run, and what stands in the answer but not in the sample is filed under the type it was added to. A field has a default
if it was added with the same value wherever its type occurred without it, or in every such occurrence of one place
(the ``spec`` of a Pod, but not that of a template). The default of an object is the default of the absent field; the
fields inside it have their own, for when it is given in part.

What this cannot cover, and is left out:

- values that follow from another field or object: ``imagePullPolicy`` from the tag, ``targetPort`` from the port,
  requests from limits, ``rollingUpdate`` where the type is given, the ``completions`` and selector of a Job, its
  ``backoffLimit``, the ``internalTrafficPolicy`` of a Service, the API group of a subject;
- what is made up: addresses, ports, names, uids;
- ``null``, which Go writes for some empty fields (``eventTime``, a Role's ``rules``);
- what the server sets at creation and not again: it stands apart, see `Defaults.created`;
- types and fields that are in no sample.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.testing.control_plane import ApiServer

_SAMPLES: Final = Path(__file__).parent / "samples.yaml"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Given by admission or storage to a new object; a later write without the field must not bring it back.
_CREATION: Final = {"v1/Namespace": ("spec", "status"), "v1/Node": ("spec", "status")}
# Given to a Pod by admission: nobody owns it, so that it cannot be a default.
_ADMITTED: Final = {"v1/Pod": ("priority", "preemptionPolicy", "tolerations")}
# The embedded server has a controller for these.
_CONTROLLED: Final = frozenset(
    {"apiextensions.k8s.io/v1/CustomResourceDefinition", "apiregistration.k8s.io/v1/APIService"}
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_ABSENT: Final = ""
_CREATED: Final = 201

Place = tuple[str, str]
"""A type and one of its fields; ``[]`` after the name means the items of the field."""


class Defaults:
    """What was added to which type, and in which place the type stood.

    Args:
        definitions: the recorded schemas, with references as plain names.

    Attributes:
        created: fields that a new object has and its schema cannot give it, by ``apiVersion/Kind``.
    """

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.created: dict[str, dict[str, Any]] = {}
        self._definitions = definitions
        # type -> field -> place of the type -> JSON of every value that was added there, or nothing.
        self._seen: dict[str, dict[str, dict[Place, set[str]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(set))
        )

    def learn(self, server: ApiServer, collections: Mapping[str, str]) -> None:
        """Create every sample as a dry run; `collections` gives the path for an ``apiVersion/Kind``."""
        for sample in yaml.safe_load(_SAMPLES.read_text(encoding="utf-8")):
            of = f"{sample['apiVersion']}/{sample['kind']}"
            status, answer = server.request("POST", f"{collections[of]}?dryRun=All&fieldValidation=Strict", sample)
            if status != _CREATED:
                msg = f"sample {of} {sample['metadata']['name']}: {json.dumps(answer)}"
                raise click.ClickException(msg)
            for field in _ADMITTED.get(of, ()):
                answer["spec"].pop(field, None)
            given = {field: answer.pop(field, None) for field in _CREATION.get(of, ("status",))}
            given = {field: _timeless(value) for field, value in given.items() if value is not None}
            if of not in _CONTROLLED:
                self.created.setdefault(of, given)
            group, _, version = sample["apiVersion"].rpartition("/")
            root = {"group": group, "version": version, "kind": sample["kind"]}
            name = next(
                name
                for name, definition in self._definitions.items()
                if root in definition.get("x-kubernetes-group-version-kind", ())
            )
            self._compare({"$ref": name}, sample, answer, ("", ""))

    def _compare(self, node: Mapping[str, Any], before: Any, after: Any, place: Place) -> None:
        name = node.get("$ref", "")
        node = self._definitions[name] if name else node
        if name == _META:
            return
        if isinstance(before, dict) and isinstance(after, dict):
            values = node.get("additionalProperties")
            for field, inner in node.get("properties", {}).items():
                if field in before:
                    self._compare(inner, before[field], after.get(field), (name, field))
                elif name:
                    added = _ABSENT if after.get(field) is None else json.dumps(after[field], sort_keys=True)
                    self._seen[name][field][place].add(added)
            if isinstance(values, dict):
                for field in before:
                    self._compare(values, before[field], after.get(field), place)
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for one, other in zip(before, after, strict=True):
                self._compare(node.get("items", {}), one, other, (place[0], f"{place[1]}[]"))

    def write(self) -> int:
        """Put what was learned into the definitions as ``default``; returns how many there are.

        A default of one place alone is written there, beside the reference, as ``properties`` that win over the type's.
        """
        count = 0
        local: list[tuple[Place, str, str, Any]] = []
        for name, fields in self._seen.items():
            for field, places in fields.items():
                everywhere = set[str]().union(*places.values())
                if _constant(everywhere):
                    self._definitions[name]["properties"][field]["default"] = json.loads(everywhere.pop())
                    count += 1
                else:
                    local += [
                        (place, name, field, json.loads(next(iter(values))))
                        for place, values in places.items()
                        if place[0] and _constant(values)
                    ]
        for (owner, at), name, field, value in local:
            node = self._definitions[owner]["properties"][at.removesuffix("[]")]
            node = node["items"] if at.endswith("[]") else node
            properties = node.setdefault("properties", dict(self._definitions[name]["properties"]))
            properties[field] = {**properties[field], "default": value}
        return count + len(local)


def _constant(values: set[str]) -> bool:
    return len(values) == 1 and _ABSENT not in values


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {field: _timeless(inner) for field, inner in value.items()}
        return {
            field: inner
            for field, inner in kept.items()
            if inner is not None and not (isinstance(inner, str) and _TIME.fullmatch(inner))
        }
    return value
