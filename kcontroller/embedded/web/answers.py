"""HTTP answers: bodies with their headers, refusals as Status, plain text where kube-apiserver has it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp.web_response import Response
from multidict import CIMultiDict

from kcontroller.embedded.views.representation import to_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp.web_request import BaseRequest

    from kcontroller.embedded.statuses import Refusal

JSON: Final = "application/json"
YAML: Final = "application/yaml"

COMPRESS_FROM: Final = 128 * 1024
"""Longer bodies are compressed for clients that take gzip (defaultGzipThresholdBytes of apiserver)."""

_GZIP: Final = 16 + zlib.MAX_WBITS  # The header and trailer of gzip around the deflate stream.
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\""})


def answer(
    request: BaseRequest,
    code: int,
    body: bytes,
    content_type: str = JSON,
    *,
    warnings: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make an answer with a body.

    Args:
        request: what is answered; its ``Accept-Encoding`` counts.
        code: the HTTP status.
        body: as it is written.
        content_type: of the body.
        warnings: for ``Warning`` headers with code 299.
        headers: more of them.
    """
    all_headers = CIMultiDict({"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    if headers:
        all_headers.update(headers)
    for warning in warnings:
        all_headers.add("Warning", f'299 - "{_clean(warning)}"')
    if len(body) > COMPRESS_FROM and accepts_gzip(request.headers.get("Accept-Encoding", "")):
        compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        body = compressor.compress(body) + compressor.flush()
        all_headers["Content-Encoding"] = "gzip"
        all_headers["Vary"] = "Accept-Encoding"
    return Response(status=code, body=body, headers=all_headers)


def text(request: BaseRequest, code: int, body: str) -> Response:
    """Make an answer of plain text."""
    headers = {"X-Content-Type-Options": "nosniff"}
    return answer(request, code, body.encode(), "text/plain; charset=utf-8", headers=headers)


def page_not_found(request: BaseRequest) -> Response:
    """404 for a path of which no part is served; the real server's is no Status either."""
    return text(request, 404, "404 page not found\n")


def refused(request: BaseRequest, refusal: Refusal, warnings: Sequence[str] = ()) -> Response:
    """Tell a refusal, in JSON, or in YAML to a client that takes nothing else."""
    body = msgspec.json.encode(refusal.document())
    accept = request.headers.get("Accept", "")
    if YAML in accept and JSON not in accept:
        return answer(request, refusal.code, to_yaml(body), YAML, warnings=warnings, headers=refusal.headers)
    return answer(request, refusal.code, body + b"\n", warnings=warnings, headers=refusal.headers)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip; apiserver knows the bare word alone."""
    return "gzip" in accept_encoding and any(part.strip() == "gzip" for part in accept_encoding.split(","))


def _clean(warning: str) -> str:
    """Make a text fit a quoted string in a header, as apimachinery's NewWarningHeader does."""
    return "".join(char for char in warning if char.isprintable()).translate(_ESCAPED)
