"""The steps of a trace in words, and what can be told from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.cluster.written import Written
from kcontroller.controller.explanation import Failure, StepShown, WriteShown
from kcontroller.controller.outcomes import Verdict
from kcontroller.controller.recording import HELD, PAUSED, REFUSED
from kcontroller.process.logs import one_line, redact, without_secrets
from kcontroller.process.spans import span
from kcontroller.process.trace import ENDED, FAILED, STEPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kcontroller.process.trace import Step

_PLAIN: Final = {
    REFUSED: "the queue is full; it is told again when there is room",
    HELD: "the cache does not show its own last write yet",
    PAUSED: "its object is annotated to be left alone",
}
_IDENTITY: Final = frozenset(("uid", "resourceVersion", "name", "namespace"))


class History:
    """What happened to one request.

    Args:
        steps: of the trace, oldest first.
        at: wall time of a step's time.
    """

    def __init__(self, steps: tuple[Step, ...], *, at: Callable[[float], datetime]) -> None:
        self.steps = steps
        self._at = at

    @property
    def complete(self) -> bool:
        """Whether no older step was dropped."""
        return len(self.steps) < STEPS

    @property
    def refused(self) -> bool:
        """Whether the queue has had no room for it."""
        return bool(self.steps) and self.steps[-1].what == REFUSED

    @property
    def reconciled(self) -> bool:
        """Whether a reconcile of it has ended."""
        return any(step.what in {ENDED, FAILED} for step in self.steps)

    @property
    def last_error(self) -> Failure | None:
        """How the last reconcile ended, if it failed."""
        last = next((step for step in reversed(self.steps) if step.what in {ENDED, FAILED}), None)
        if last is None or last.what != FAILED:
            return None
        verdict, _seconds, failures, error, place, reconcile_id = last.about
        then = _then(verdict, failures if isinstance(failures, int) else 0)
        return Failure(self._at(last.at), _clean(str(error)), str(place), str(reconcile_id), then)

    @property
    def writes(self) -> tuple[WriteShown, ...]:
        """What its reconciles wrote."""
        return tuple(
            WriteShown(
                self._at(step.at), written.verb, _target(written), _clean(written.answer), written.refused, change
            )
            for step in self.steps
            for written in step.about
            if isinstance(written, Written)
            for change in (_change(written),)
        )

    @property
    def shown(self) -> tuple[StepShown, ...]:
        """All of it."""
        return tuple(StepShown(self._at(step.at), step.what, _clean(_text(step))) for step in self.steps)


def _text(step: Step) -> str:
    match step.what, step.about:
        case "queued", (reason, key, version):
            text = f"{reason} ({key}, resourceVersion {version})"
        case "dropped", (reason, key, version, predicate):
            text = f"{reason} ({key}, resourceVersion {version}) dropped by {predicate}"
        case "began", (float() as waited, failures, tuple() as reasons):
            before = f", {failures} failures before" if failures else ""
            because = f", because of {', '.join(map(str, reasons))}" if reasons else ""
            text = f"waited {span(waited)}{before}{because}"
        case "ended", (verdict, float() as seconds, int() as failures):
            text = f"after {span(seconds)}: {_then(verdict, failures)}"
        case "failed", (verdict, float() as seconds, int() as failures, error, place, _reconcile_id):
            where = f" at {place}" if place else ""
            text = f"after {span(seconds)}, {_then(verdict, failures)}: {error}{where}"
        case "wrote", (Written() as written,):
            text = f"{written.verb} {_target(written)} -> {written.answer}"
        case what, about:
            text = _PLAIN.get(what) or " ".join(map(str, about))
    return text


def _then(verdict: object, failures: int) -> str:
    """What follows from a verdict on a request that had so many failures."""
    if not isinstance(verdict, Verdict):
        return "cut short"
    outcome = verdict.outcome
    why = f", waiting: {verdict.why}" if verdict.why else ""
    if outcome.fails:
        return f"retry {failures + 1} after its backoff{why}"
    if outcome.delay is not None:
        return f"again in {span(outcome.delay)}{why}"
    return "no retry" if verdict.terminal else f"done{why}"


def _target(written: Written) -> str:
    below = f"/{written.subresource}" if written.subresource else ""
    return f"{written.gvk} {written.key}{below}"


def _change(written: Written) -> Any:
    """What was sent, without what only names the object, and without secrets."""
    if not written.change:
        return None
    document = msgspec.json.decode(written.change)
    if not isinstance(document, dict):
        return without_secrets(document)
    metadata = document.get("metadata")
    kept = {name: value for name, value in document.items() if name not in {"apiVersion", "kind", "metadata"}}
    if isinstance(metadata, dict) and (rest := {k: v for k, v in metadata.items() if k not in _IDENTITY}):
        kept["metadata"] = rest
    return without_secrets(kept)


def _clean(text: str) -> str:
    return one_line(redact(text))
