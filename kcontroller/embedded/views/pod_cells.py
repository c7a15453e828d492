"""The table cells of a Pod; the longest printer that kube-apiserver has, for ``kubectl get pods``."""

from __future__ import annotations

from typing import Any, Final

from kcontroller.embedded.views.ages import parse, since

_NONE: Final = "<none>"


def row(pod: dict[str, Any], now: float) -> list[Any]:
    """Write name, ready containers, status, restarts, age and, for wide output, where it runs."""
    spec, status, metadata = pod.get("spec") or {}, pod.get("status") or {}, pod["metadata"]
    conditions = status.get("conditions") or []
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    reason = status.get("reason") or status.get("phase", "")
    if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in conditions):
        reason = "SchedulingGated"
    starting, ready, restarted = _init_state(spec, status, sidecars)
    initialized = any(c.get("type") == "Initialized" and c.get("status") == "True" for c in conditions)
    if starting and not initialized:
        reason = starting
    else:
        restarted = [entry for entry in restarted if entry["name"] in sidecars]
        reason, running = _reason(status, starting or reason, conditions)
        ready += running
        restarted += status.get("containerStatuses") or []
    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in {"Succeeded", "Failed"}:
            reason = "Terminating"
    total = len(spec.get("containers") or []) + len(sidecars)
    age = since(metadata.get("creationTimestamp"), now)
    return [metadata.get("name", ""), f"{ready}/{total}", reason, _restarts(restarted, now), age, *_wide(spec, status)]


def _init_state(
    spec: dict[str, Any], status: dict[str, Any], sidecars: set[str]
) -> tuple[str, int, list[dict[str, Any]]]:
    """Tell what initialization waits for, if it does, the sidecars that are ready, and the statuses up to there."""
    ready, seen = 0, []
    for index, entry in enumerate(status.get("initContainerStatuses") or []):
        seen.append(entry)
        state = entry.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason", "")
        if ended is not None and not ended.get("exitCode"):
            continue
        if entry["name"] in sidecars and entry.get("started"):
            ready += bool(entry.get("ready"))
            continue
        if ended is not None:
            return f"Init:{_ending(ended)}", ready, seen
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}", ready, seen
        return f"Init:{index}/{len(spec.get('initContainers') or [])}", ready, seen
    return "", ready, seen


def _reason(status: dict[str, Any], reason: str, conditions: list[dict[str, Any]]) -> tuple[str, int]:
    """Tell what the containers say the Pod does, and how many are ready; the first container has the last word."""
    running, failure = 0, ""
    for entry in reversed(status.get("containerStatuses") or []):
        state = entry.get("state") or {}
        waiting, ended = (state.get("waiting") or {}).get("reason", ""), state.get("terminated")
        if waiting:
            reason = waiting
        elif ended is not None:
            reason = _ending(ended)
            failure = reason if ended.get("exitCode") else failure
        elif entry.get("ready") and state.get("running") is not None:
            running += 1
    if reason == "Completed":
        is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
        if running and is_ready:
            reason = "Running"
        elif failure:
            reason = failure
        elif running:
            reason = "NotReady"
    return reason, running


def _ending(ended: dict[str, Any]) -> str:
    signal = f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"
    return str(ended.get("reason") or signal)


def _restarts(entries: list[dict[str, Any]], now: float) -> str:
    count = sum(entry.get("restartCount", 0) for entry in entries)
    ends = [((entry.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "" for entry in entries]
    last = max(filter(None, ends), key=lambda end: parse(end) or 0.0, default="")
    return f"{count} ({since(last, now)} ago)" if count and last else str(count)


def _wide(spec: dict[str, Any], status: dict[str, Any]) -> list[str]:
    ips = status.get("podIPs") or [{"ip": status.get("podIP")}]
    gates = spec.get("readinessGates") or []
    first = {c["type"]: c.get("status") for c in reversed(status.get("conditions") or []) if "type" in c}
    true = sum(first.get(gate.get("conditionType")) == "True" for gate in gates)
    return [
        ips[0].get("ip") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{true}/{len(gates)}" if gates else _NONE,
    ]
