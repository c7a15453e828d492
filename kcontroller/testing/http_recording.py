"""What went through `HttpFaultProxy`."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit


class Exchange:
    """One request and what its client was sent.

    Args:
        method: such as ``GET``.
        target: path and query as they came.
        recorded: whether to keep what a watch is sent.

    Attributes:
        path: the target without its query.
        query: its parameters; of one that is given twice the last.
        is_watch: whether it asks for a watch.
        status: of the answer; 0 while there is none.
        body: what a watch was sent; other bodies are not kept.
    """

    def __init__(self, method: str, target: str, *, recorded: bool = True) -> None:
        parts = urlsplit(target)
        self.method = method
        self.target = target
        self.path = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.is_watch = self.query.get("watch") in {"1", "true", "True"}
        self.status = 0
        self.body = bytearray()
        self._keeps_body = recorded and self.is_watch

    def sent(self, data: bytes) -> None:
        """Note what the client was sent."""
        if self._keeps_body:
            self.body += data

    def __repr__(self) -> str:
        """Name it; never its body."""
        return f"<{self.method} {self.target}: {self.status}>"
