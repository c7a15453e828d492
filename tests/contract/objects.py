"""The objects that cases are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STRING: Final = {"type": "string"}
INTEGER: Final = {"type": "integer"}
ANYTHING: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def namespace(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}


def config_map(name: str = "", data: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """Make a ConfigMap; `metadata` gives further fields such as labels or finalizers."""
    named = {"name": name, **metadata} if name else metadata
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named}
    return document if data is None else {**document, "data": data}


def ingress(name: str, host: str = "a.test", **metadata: Any) -> dict[str, Any]:
    """Make an Ingress: a built-in kind with status and generation to which the server adds no defaults."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, **metadata},
        "spec": {"rules": [rule]},
    }


def closed(**fields: Any) -> dict[str, Any]:
    """Make the schema of an object with these fields."""
    return {"type": "object", "properties": fields}


WIDGET: Final = closed(
    spec=closed(size={**INTEGER, "minimum": 0}, colour=STRING, tags={"type": "array", "items": STRING}),
    status=closed(phase=STRING, seen=INTEGER),
)


def version(name: str = "v1", schema: dict[str, Any] = WIDGET, *, storage: bool = True, **more: Any) -> dict[str, Any]:
    """Make one version of a CRD; `more` gives subresources, additionalPrinterColumns and the like."""
    shape = {"openAPIV3Schema": schema}
    return {"name": name, "served": True, "storage": storage, "schema": shape, "subresources": {"status": {}}, **more}


def crd(
    group: str, plural: str = "widgets", kind: str = "Widget", scope: str = "Namespaced", **more: Any
) -> dict[str, Any]:
    """Make a CRD; `versions` and `names` replace and extend what a plain Widget has."""
    versions = more.pop("versions", None) or [version(**more)]
    names = {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"}
    for item in versions:
        names |= item.pop("names", {})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": versions},
    }


@dataclass(frozen=True, slots=True)
class Defined:
    """A resource that a case installed."""

    definition: dict[str, Any]
    namespace: str

    @property
    def group(self) -> str:
        return str(self.definition["spec"]["group"])

    @property
    def at(self) -> str:
        """The path of the CRD itself."""
        return f"{CRDS}/{self.definition['metadata']['name']}"

    @property
    def path(self) -> str:
        """The collection, of the case's namespace if it has namespaces, in the first version."""
        return self.path_of(self.definition["spec"]["versions"][0]["name"])

    def path_of(self, version: str) -> str:
        spec = self.definition["spec"]
        within = f"namespaces/{self.namespace}/" if spec["scope"] == "Namespaced" else ""
        return f"/apis/{self.group}/{version}/{within}{spec['names']['plural']}"

    def make(self, name: str = "w", *, version: str = "", metadata: Any = None, **fields: Any) -> dict[str, Any]:
        """Make an object; `fields` are spec, status and whatever else."""
        spec = self.definition["spec"]
        served = version or spec["versions"][0]["name"]
        return {
            "apiVersion": f"{self.group}/{served}",
            "kind": spec["names"]["kind"],
            "metadata": {"name": name, **(metadata or {})},
            **fields,
        }
