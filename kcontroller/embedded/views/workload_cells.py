"""The table cells of workloads, worded as the printers of kube-apiserver word them."""

from __future__ import annotations

from typing import Final

from kcontroller.embedded.views.ages import human, parse, since
from kcontroller.embedded.views.cell_parts import (
    NONE,
    UNSET,
    Document,
    Row,
    age,
    at,
    containers,
    labels,
    name,
    selector,
)

_JOB_STATES: Final = (
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("", "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


def deployment(o: Document, now: float) -> Row:
    """Write name, ready, up to date, available, age, containers, images, selector."""
    ready = f"{at(o, 'status.readyReplicas', 0)}/{at(o, 'spec.replicas', 0)}"
    counts = [at(o, "status.updatedReplicas", 0), at(o, "status.availableReplicas", 0)]
    chosen = at(o, "spec.selector")
    shown = selector(chosen) if chosen else ""
    return [name(o), ready, *counts, age(o, now), *containers(at(o, "spec.template.spec")), shown]


def replica_set(o: Document, now: float) -> Row:
    """Write name, desired, current, ready, age, containers, images, selector."""
    counts = [at(o, "spec.replicas", 0), at(o, "status.replicas", 0), at(o, "status.readyReplicas", 0)]
    template = containers(at(o, "spec.template.spec"))
    return [name(o), *counts, age(o, now), *template, selector(at(o, "spec.selector"))]


def replication_controller(o: Document, now: float) -> Row:
    """Write the columns of a ReplicaSet."""
    return [
        *replica_set({**o, "spec": {**o.get("spec", {}), "selector": None}}, now)[:-1],
        labels(at(o, "spec.selector")),
    ]


def stateful_set(o: Document, now: float) -> Row:
    """Write name, ready, age, containers, images."""
    ready = f"{at(o, 'status.readyReplicas', 0)}/{at(o, 'spec.replicas', 0)}"
    return [name(o), ready, age(o, now), *containers(at(o, "spec.template.spec"))]


def daemon_set(o: Document, now: float) -> Row:
    """Write name, desired, current, ready, up to date, available, node selector, age, containers, images, selector."""
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [at(o, f"status.{field}", 0) for field in fields]
    template = at(o, "spec.template.spec")
    chosen = labels(at(template, "nodeSelector"))
    return [name(o), *counts, chosen, age(o, now), *containers(template), selector(at(o, "spec.selector"))]


def job(o: Document, now: float) -> Row:
    """Write name, status, completions, duration, age, containers, images, selector."""
    done, wanted, parallel = at(o, "status.succeeded", 0), at(o, "spec.completions"), at(o, "spec.parallelism", 0)
    if wanted is not None:
        completions = f"{done}/{wanted}"
    else:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    start, end = parse(at(o, "status.startTime", "")), parse(at(o, "status.completionTime", ""))
    duration = "" if start is None else human((now if end is None else end) - start)
    true = {c.get("type") for c in at(o, "status.conditions", []) if c.get("status") == "True"}
    if at(o, "metadata.deletionTimestamp"):
        true.add("")
    status = next((shown for condition, shown in _JOB_STATES if condition in true), "Running")
    template = containers(at(o, "spec.template.spec"))
    return [name(o), status, completions, duration, age(o, now), *template, selector(at(o, "spec.selector"))]


def cron_job(o: Document, now: float) -> Row:
    """Write name, schedule, time zone, suspend, active, last schedule, age, containers, images, selector."""
    last = at(o, "status.lastScheduleTime")
    suspended = {True: "True", False: "False"}.get(at(o, "spec.suspend"), UNSET)
    active = len(at(o, "status.active", []))
    when = [
        at(o, "spec.schedule", ""),
        at(o, "spec.timeZone", NONE),
        suspended,
        active,
        since(last, now) if last else NONE,
    ]
    job = at(o, "spec.jobTemplate.spec", {})
    return [name(o), *when, age(o, now), *containers(at(job, "template.spec")), selector(job.get("selector"))]
