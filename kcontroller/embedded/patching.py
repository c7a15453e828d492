"""PROVISIONAL, by the lead so that the others can start: helper B overwrites this file as a whole."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch

from kcontroller.api.differences import merge_apply


def patched(kind: Any, live: dict[str, Any], body: bytes, content_type: str) -> dict[str, Any]:
    patch = json.loads(body)
    if "json-patch" in content_type:
        return jsonpatch.apply_patch(live, patch)  # type: ignore[no-any-return]
    return merge_apply(live, patch)  # type: ignore[no-any-return]
