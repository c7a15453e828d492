"""Secrets as the hub's cache shows them, and kubeconfigs in them."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

from kcontroller.api.keys import GVK
from kcontroller.cache.projection import Entry, Projection

SECRET = GVK("", "v1", "Secret")
LABELS = {"kcontroller.dev/kubeconfig": "true"}


def kubeconfig(*, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://east.test", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
        **more,
    }
    return str(yaml.safe_dump(content))


def secret(
    name: str = "east",
    text: str | None = None,
    *,
    uid: str = "u1",
    version: str = "1",
    key: str = "kubeconfig",
    data: Any = None,
    **more: Any,
) -> Entry:
    encoded = base64.b64encode((kubeconfig() if text is None else text).encode()).decode()
    metadata = {"namespace": "fleet", "name": name, "uid": uid, "resourceVersion": version, "labels": LABELS, **more}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data or {key: encoded}}
    return Projection(SECRET).entry(json.dumps(body).encode())
