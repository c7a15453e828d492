"""RFC 7386 in its own few lines: what a difference is held against, and how the server in memory patches."""

from __future__ import annotations

from typing import Any


def merge_apply(target: Any, patch: Any) -> Any:
    """Apply a merge patch and return the result."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_apply(result.get(name), value)
    return result
