"""What the gateway answers to browsers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from workers.errors import LinkRefused, ProtocolViolation, TransferFailed, WorkerError
from workers.gateway.documents import capabilities_of
from workers.gateway.engine import ENGINE, engine_version
from workers.gateway.guests import Guests
from workers.gateway.links import Links
from workers.gateway.phone import Connect, Phone
from workers.http_server import LOOPBACK
from workers.http_shield import Shield, from_elsewhere

__all__ = ["gateway_application"]

STATIC = Path(str(files("workers.gateway") / "static"))
BODY_LIMIT = 1 << 16
"""Nothing that a page says is larger: 64 KiB."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    # Together these isolate the page: only then it has threads, and a clock of 5 µs instead of 100 µs.
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Of every answer. Models are data; of code only this page's own runs, WebAssembly included."""

UNSAVED = {"cache-control": "no-store"}


class _NotAdmitted(WorkerError):
    """Who asks has no session."""


STATUS: dict[type[Exception], int] = {_NotAdmitted: 401, LinkRefused: 403, TransferFailed: 502}
"""Of errors that are not in the form of the request: those are 400."""


def gateway_application(connect: Connect, links: Links, settings: dict[str, Any]) -> Starlette:
    """Everything that the gateway answers.

    Args:
        connect: opens a connection with the service for what a browser says that it can measure.
        links: that admit browsers.
        settings: what the page is told before it joins.
    """
    guests = Guests()

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def told(request: Request) -> Response:
        admitted = guests.name(request) is not None
        return JSONResponse({**settings, "engine": engine_version(), "admitted": admitted}, headers=UNSAVED)

    async def join(request: Request) -> Response:
        document = await _document(request)
        # Read before the link is used: who says something else wrong may try again with it.
        here = capabilities_of(document)
        name = guests.name(request)
        if name is None:
            links.use(str(document.get("link", "")))
            name = guests.admit()
        guests.begin(name, Phone(connect, here))
        response = JSONResponse({"device": here.device}, 201, UNSAVED)
        guests.set_cookie(response, name, secure=request.url.scheme == "https")
        return response

    async def leases(request: Request) -> Response:
        # One that is over already says so in its stream.
        stream = _phone(request, over=True).stream()
        return StreamingResponse(stream, media_type="text/event-stream", headers=UNSAVED)

    async def model(request: Request) -> Response:
        data = await _phone(request).fetch(request.path_params["sha256"])
        return Response(data, media_type="application/octet-stream", headers=UNSAVED)

    async def answer(request: Request) -> Response:
        _phone(request).answer(await _document(request))
        return Response(status_code=204)

    async def alive(request: Request) -> Response:
        _phone(request)
        return Response(status_code=204)

    async def leave(request: Request) -> Response:
        _phone(request).leave("the page was closed")
        return Response(status_code=204)

    def _phone(request: Request, over: bool = False) -> Phone:
        """Of whoever asks, who is heard by asking."""
        phone = guests.phone(request)
        if phone is None or (phone.gone and not over):
            raise _NotAdmitted("this page has no session; accepted: to join with a link that nas phone shows")
        phone.hear()
        return phone

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        guests.close("the gateway was stopped")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/settings", told),
            Route("/join", join, methods=["POST"]),
            Route("/leases", leases),
            Route("/models/{sha256}", model),
            Route("/answer", answer, methods=["POST"]),
            Route("/alive", alive, methods=["POST"]),
            Route("/leave", leave, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/engine", StaticFiles(directory=ENGINE, check_dir=False)),
        ],
        middleware=[Middleware(Shield, headers=HEADERS, refuse=_refuse)],
        exception_handlers={WorkerError: _error},
        lifespan=lifespan,
    )


async def _refuse(request: Request) -> Response | None:
    """Whoever is not at this machine asks over HTTPS, and it is this page that asks for changes."""
    host = request.headers.get("host", "")
    here = host in LOOPBACK or host.rpartition(":")[0] in LOOPBACK
    if request.scope["scheme"] == "http" and not here:
        reason = (
            f"{host!r:.80} over plain HTTP: browsers give such a page neither threads nor WebGPU; accepted: "
            "HTTPS, or this machine's own name"
        )
    elif from_elsewhere(request):
        reason = "only this page may ask for that"
    else:
        return None
    return JSONResponse({"error": reason}, 403, UNSAVED)


async def _document(request: Request) -> dict[str, Any]:
    """A request's JSON, of which no more is read than is accepted.

    Raises:
        ProtocolViolation: it is none, no mapping, or too long.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise ProtocolViolation(f"more than {BODY_LIMIT} bytes; accepted: at most that")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ProtocolViolation(f"accepted: a mapping, not {type(document).__name__}")
    return document


async def _error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, STATUS.get(type(error), 400), UNSAVED)
