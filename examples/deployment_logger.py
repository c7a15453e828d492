"""The tutorial's first controller: say what is seen of every Deployment.

kcontroller run examples/deployment_logger.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller import Object, ObjectReconciler

if TYPE_CHECKING:
    from kcontroller import Context


class DeploymentLogger(ObjectReconciler[Object]):
    """Logs name and replicas whenever a Deployment changes."""

    kind = "apps/v1 Deployment"

    def reconcile_object(self, ctx: Context, deployment: Object) -> None:
        """Say what is true now."""
        ctx.log.info(
            "saw deployment %s",
            deployment.metadata.name,
            replicas=deployment.get("spec.replicas"),
            ready=deployment.get("status.readyReplicas", 0),
        )
