"""A small operator on Kopf, as people write them; test_kopf.py runs it."""

from __future__ import annotations

from typing import Any

import kopf

WIDGETS = ("clients.example.com", "v1", "widgets")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.networking.request_timeout = 10


@kopf.on.create(*WIDGETS)
def created(spec: kopf.Spec, body: kopf.Body, **_: Any) -> dict[str, Any]:
    kopf.info(body, reason="Made", message=f"a new one of size {spec['size']}")
    return {"size": spec["size"]}


@kopf.on.update(*WIDGETS, field="spec.size")
def resized(old: int, new: int, patch: kopf.Patch, **_: Any) -> None:
    patch.status["resized"] = f"{old} to {new}"


@kopf.on.delete(*WIDGETS)
def deleted(name: str | None, namespace: str | None, retry: int, **_: Any) -> None:
    if retry == 0:
        raise kopf.TemporaryError("not at the first try", delay=0.1)
    print(f"deleted {namespace}/{name}", flush=True)  # noqa: T201 - the test reads it


@kopf.timer(*WIDGETS, interval=0.2, labels={"timed": "yes"})
def tick(status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    patch.status["ticks"] = status.get("ticks", 0) + 1
