"""What is served besides the API: health, version, and the list of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.kinds import Catalog

HEALTH: Final = frozenset({"/healthz", "/livez", "/readyz"})
"""The checks; whoever is answered at all is healthy."""

_OTHERS: Final = (
    "/healthz",
    "/healthz/ping",
    "/livez",
    "/livez/ping",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/readyz",
    "/readyz/ping",
    "/version",
)


def health(path: str, query: Mapping[str, str]) -> str | None:
    """Answer a health check, or one of its parts; None for any other path."""
    check = path.removesuffix("/ping")
    if check not in HEALTH:
        return None
    if "verbose" in query and check == path:
        return f"[+]ping ok\n{path[1:]} check passed\n"
    return "ok"


def index(catalog: Catalog) -> bytes:
    """List the paths, as ``GET /`` of kube-apiserver does."""
    paths = {"/api", "/api/v1", "/apis", "/apis/", *_OTHERS}
    for kind in catalog:
        if kind.group:
            paths |= {f"/apis/{kind.group}", f"/apis/{kind.api_version}"}
    return indented({"paths": sorted(paths)})


def indented(document: object) -> bytes:
    """Write JSON for people, as Go's MarshalIndent does."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
