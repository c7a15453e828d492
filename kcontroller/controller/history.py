"""The steps of a trace in words, and what can be told from them."""

from __future__ import annotations

from itertools import takewhile
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
    from collections.abc import Callable, Sequence
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
        """How the last reconcile ended, if it failed; with those before it that failed alike."""
        ends = self._ends
        if not ends or ends[0].what != FAILED:
            return None
        verdict, _seconds, failures, error, place, reconcile_id = ends[0].about
        then = _then(verdict, failures if isinstance(failures, int) else 0)
        alike = list(takewhile(lambda step: _failure(step) == (error, place), ends))
        return Failure(
            self._at(ends[0].at), _clean(str(error)), str(place), str(reconcile_id), then, *self._counted(alike)
        )

    @property
    def writes(self) -> tuple[WriteShown, ...]:
        """What its reconciles wrote; what they wrote again and again is told once."""
        writes: dict[object, tuple[Written, list[Step]]] = {}
        for step in reversed(self.steps):
            for written in step.about:
                if isinstance(written, Written):
                    writes.setdefault(_alike(step), (written, []))[1].append(step)
        return tuple(self._write(*each) for each in reversed(writes.values()))

    @property
    def shown(self) -> tuple[StepShown, ...]:
        """All of it; rounds that are alike are told once, and so is the text of a failure."""
        told = {_failure(end) for end in self._ends[:1]}
        left = self.steps[::-1]
        alike = [_alike(step) for step in left]
        shown: list[StepShown] = []
        while left:
            period, length = _repeats(alike)
            for steps in (left[offset:length:period] for offset in range(period)):
                failure = _failure(steps[0])
                text = _clean(_text(steps[0], whole=failure not in told))
                shown.append(StepShown(self._at(steps[0].at), steps[0].what, text, *self._counted(steps)))
                told.add(failure)
            left, alike = left[length:], alike[length:]
        return tuple(reversed(shown))

    @property
    def _ends(self) -> list[Step]:
        """How the reconciles ended, the last first."""
        return [step for step in reversed(self.steps) if step.what in {ENDED, FAILED}]

    def _write(self, written: Written, steps: Sequence[Step]) -> WriteShown:
        what = (written.verb, _target(written), _clean(written.answer), written.refused, _change(written))
        return WriteShown(self._at(steps[0].at), *what, *self._counted(steps))

    def _counted(self, steps: Sequence[Step]) -> tuple[int, datetime | None]:
        """How many there are, and when the first was; of steps with the newest first."""
        return len(steps), self._at(steps[-1].at) if len(steps) > 1 else None


def _repeats(alike: Sequence[object]) -> tuple[int, int]:
    """In what period a sequence repeats itself from its start on, and how far it does, the last time maybe in part."""
    best = (1, 1)
    for period in range(1, len(alike) // 2 + 1):
        pairs = zip(alike, alike[period:], strict=False)
        length = period + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if length >= 2 * period and length > best[1]:
            best = (period, length)
    return best


def _alike(step: Step) -> tuple[object, ...]:
    """What tells a step from others of a request: all but its times, versions and counts."""
    match step.what, step.about:
        case "queued" | "dropped", (reason, key, _version, *predicate):
            return (step.what, reason, key, *predicate)
        case "began", (_waited, _failures, reasons):
            return (step.what, reasons)
        case "ended" | "failed", (verdict, _seconds, _failures, *_):
            return (step.what, _then(verdict, 0), *_failure(step))
        case "wrote", (Written() as written,):
            answer = written.refused and written.answer
            return (step.what, written.verb, _target(written), written.change, answer)
        case what, about:
            return (what, *about)


def _name_of(refusal: str) -> str:
    """What a refusal or an error begins with: ``403 Forbidden``, or a class."""
    return refusal.partition(": ")[0]


def _failure(step: Step) -> tuple[object, ...]:
    """The error and the place of a reconcile that failed; () of any other step."""
    return step.about[3:5] if step.what == FAILED else ()


def _text(step: Step, *, whole: bool) -> str:
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
        case "failed", (verdict, float() as seconds, int() as failures, str() as error, place, _reconcile_id):
            where = f" at {place}" if place else ""
            words = f"{error}{where}" if whole else _name_of(error)
            text = f"after {span(seconds)}, {_then(verdict, failures)}: {words}"
        case "wrote", (Written() as written,):
            answer = f"refused: {_name_of(written.answer)}" if written.refused else f"-> {written.answer}"
            text = f"{written.verb} {_target(written)} {answer}"
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
