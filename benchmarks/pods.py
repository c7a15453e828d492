"""Pods of about 8 KB of JSON on the wire: a Deployment's, with a sidecar, as its controllers and a kubelet leave it."""

from __future__ import annotations

import random
from typing import Any, Final

from benchmarks.widgets import namespace

_SETTINGS: Final = ("DATABASE_URL", "CACHE_URL", "LOG_LEVEL", "REGION")
_STARTED: Final = "2026-01-01T00:00:07Z"


def pod(number: int) -> dict[str, Any]:
    """Make the body of one pod, without its status; the same number gives the same body."""
    rng = random.Random(number)  # noqa: S311 - contents, not secrets
    app, template = f"app-{number // 10:05}", f"{rng.getrandbits(36):09x}"
    labels = {
        "app.kubernetes.io/name": app,
        "app.kubernetes.io/instance": f"{app}-{number % 3}",
        "app.kubernetes.io/part-of": f"shop-{number % 40}",
        "app.kubernetes.io/version": f"1.{number % 40}.{number % 7}",
        "pod-template-hash": template,
    }
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{app}-{template}",
        "uid": f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{number:06}",
            "namespace": namespace(number),
            "labels": labels,
            "annotations": {
                "checksum/config": f"{rng.getrandbits(256):064x}",
                "prometheus.io/scrape": "true",
            },
            "ownerReferences": [owner],
        },
        "spec": _spec(number, app, rng),
    }


def _spec(number: int, app: str, rng: random.Random) -> dict[str, Any]:
    return {
        "nodeName": f"node-{number % 200:03}",
        "serviceAccountName": app,
        "automountServiceAccountToken": False,
        "containers": [_container("app", app, rng, settings=4), _container("proxy", "proxy", rng, settings=1)],
        "volumes": [
            {"name": "config", "configMap": {"name": f"{app}-config"}},
        ],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        "terminationGracePeriodSeconds": 60,
    }


def _container(name: str, image: str, rng: random.Random, *, settings: int) -> dict[str, Any]:
    chosen = _SETTINGS[:settings]
    return {
        "name": name,
        "image": f"registry.example.com/{image}@sha256:{rng.getrandbits(256):064x}",
        "args": ["--listen=:8080", "--config=/etc/app/config.yaml"],
        "env": [{"name": each, "value": f"{each.lower()}.{rng.getrandbits(64):016x}.svc:80"} for each in chosen],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app", "readOnly": True},
        ],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 10},
    }


def status(number: int) -> dict[str, Any]:
    """Make the status that a kubelet reports of a running pod."""
    rng = random.Random(~number)  # noqa: S311 - contents, not secrets
    address = f"10.{number >> 14 & 255}.{number >> 7 & 127}.{number & 127}"
    host = f"192.168.0.{number % 200}"
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "hostIP": host,
        "podIP": address,
        "qosClass": "Burstable",
        "startTime": "2026-01-01T00:00:01Z",
        "conditions": [{"type": each, "status": "True", "lastTransitionTime": _STARTED} for each in types],
        "containerStatuses": [_container_status(name, rng) for name in ("app", "proxy")],
    }


def _container_status(name: str, rng: random.Random) -> dict[str, Any]:
    image = f"registry.example.com/{name}@sha256:{rng.getrandbits(256):064x}"
    return {
        "name": name,
        "image": image,
        "imageID": image,
        "containerID": f"containerd://{rng.getrandbits(256):064x}",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": _STARTED}},
    }
