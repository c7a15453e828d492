"""What a request through `HttpFaultProxy` may suffer, and which requests a rule means.

`Refuse`, `Delay`, `Hang` and `Cut` are those of the embedded server's rules, with the same meaning; three are added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from kcontroller.embedded.faults import Cut, Delay, Hang, Refuse
from kcontroller.embedded.milo import place_of

if TYPE_CHECKING:
    import random
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """The request reaches the server, and its answer does not come back while the rule is there."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """The connection ends after so many bytes of the answer's body; `reset` ends it by RST."""

    bytes: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The request is answered with this JSON and does not reach the server; an empty body is a watch that ends."""

    body: bytes = b""
    code: int = 200


HttpFault = Refuse | Delay | Hang | Cut | HoldAnswer | Truncate | Answer


@dataclass(slots=True, eq=False)
class Rule:
    """A fault, and the requests it is for; `HttpFaultProxy.add` explains the arguments.

    Attributes:
        hits: how many requests it has acted on.
    """

    fault: HttpFault
    path_prefix: str
    project: str
    methods: Collection[str]
    watch: bool | None
    times: int | None
    probability: float
    chance: random.Random
    query: str = ""
    hits: int = field(default=0)

    def matches(self, method: str, target: str) -> bool:
        """Whether it is for a request, whatever has happened before."""
        parts = urlsplit(target)
        watches = parse_qs(parts.query).get("watch", [""])[-1] in {"1", "true", "True"}
        return (
            parts.path.startswith(self.path_prefix)
            and (not self.project or place_of(parts.path).plane == self.project)
            and (not self.methods or method in self.methods)
            and (self.watch is None or self.watch == watches)
            and self.query in parts.query
        )

    def holds(self, method: str, target: str) -> bool:
        """Whether it makes an answer stand still that is under way: it hangs all requests of the kind, not a few."""
        everything = isinstance(self.fault, Hang | HoldAnswer) and self.times is None and self.probability >= 1
        return everything and self.matches(method, target)

    def takes(self, method: str, target: str) -> bool:
        """Whether it acts on a request now; counts it if so."""
        if not self.matches(method, target) or (self.times is not None and self.hits >= self.times):
            return False
        if self.chance.random() >= self.probability:
            return False
        self.hits += 1
        return True
