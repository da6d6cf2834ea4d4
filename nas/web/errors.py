"""What went wrong, as an answer: the error's own HTTP status, and a document that the page shows."""

from __future__ import annotations

import json
import logging
import math
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nas.errors import InvalidSpec, LimitExceeded, NasError, ServiceFault

__all__ = ["BodyTooLarge", "answer", "answer_error"]

_LOG = logging.getLogger("nas.web")


class BodyTooLarge(Exception):
    """A request's body is over what is accepted: a limit that HTTP has a status of its own for."""

    http_status = 413


class _Plain(JSONResponse):
    """JSON in which what is not a finite number, which JSON has no word for, is null."""

    def render(self, content: Any) -> bytes:
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_finite(content), allow_nan=False, separators=(",", ":"))
        return text.encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def answer(document: Any, status: int = 200) -> Response:
    """Plain data as a response."""
    return _Plain(document, status, {"cache-control": "no-store"})


async def answer_error(request: Request, raised: Exception) -> Response:
    """The response to a request that failed; a defect is told by a reference to the log, never in detail."""
    status = None
    if isinstance(raised, NasError):
        error = raised
    elif isinstance(raised, BodyTooLarge):
        error, status = LimitExceeded(str(raised)), raised.http_status
    else:
        reference = uuid.uuid4().hex[:12]
        _LOG.error("defect %s in %s", reference, request.url.path, exc_info=raised)
        error = ServiceFault(f"a defect in the page's server; its log says more: {reference}")
    problems = error.problems if isinstance(error, InvalidSpec) else ()
    document = {
        "kind": type(error).__name__,
        "message": str(error),
        "problems": [{"path": problem.path, "message": problem.message} for problem in problems],
    }
    return answer({"error": document}, status or error.http_status)
